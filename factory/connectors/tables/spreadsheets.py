"""Sheets of Excel and OpenDocument workbooks as batches of texts: what each cell holds, with the row of the sheet.

A number is written as the shortest text that is that number, a date as 2024-01-31, a moment as 2024-01-31 08:00:00, an
error as Excel shows it: #DIV/0!. An empty cell is a null. A workbook is read whole: it holds a million rows at most.
"""

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_text import unique_names
from factory.connectors.tables.files import MEMBER, PACKED, File, plain
from factory.connectors.tables.reader import BATCH_ROWS, DamagedError
from factory.storage.columns import LINE

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

_EXACT = 1e15
"""Whole numbers up to this are written without an exponent."""
_ERRORS = {
    "Div0": "#DIV/0!",
    "NA": "#N/A",
    "Name": "#NAME?",
    "Null": "#NULL!",
    "Num": "#NUM!",
    "Ref": "#REF!",
    "Value": "#VALUE!",
    "GettingData": "#DATA!",
}
"""An error by its name in Calamine, and as Excel shows it."""
_ERROR = re.compile(r"Error\((\w+)\)")


class _Sheet(NamedTuple):
    """A sheet, and the errors in its cells by row and place in the row, from 0: Calamine gives such a cell as empty."""

    cells: "CalamineSheet"
    errors: Mapping[int, Mapping[int, str]]


@dataclass(frozen=True, kw_only=True)
class SheetFormat:
    """How a sheet is read: `skip_lines` rows above the heading, `footer` rows at the end that are no records."""

    at: TableAt

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return the columns of a sheet: texts."""
        seen = file.path.stat()
        version = (seen.st_mtime_ns, seen.st_size)
        return dict.fromkeys(_names(file.at, file.member, file.name, self.at.skip_lines, version), pl.String())

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a sheet's records, those of the columns that it has, with LINE; blank rows are none."""
        with _sheet(file) as sheet:
            rows = numbered_rows(sheet)
            heading = _heading(rows, self.at.skip_lines)
            wanted = {name: heading.index(name) for name in columns if name in heading}
            records = [(line, cells) for line, cells in rows if not _is_blank(cells)]
            records = records[: len(records) - self.at.footer]
            texts = {name: texts_of([cells[place] for _, cells in records]) for name, place in wanted.items()}
            lines = [line for line, _ in records]
            kinds = {**dict.fromkeys(wanted, pl.String), LINE: pl.Int64}
            yield from pl.DataFrame({**texts, LINE: lines}, schema=kinds).iter_slices(BATCH_ROWS)


@lru_cache(maxsize=64)
def _names(at: str, member: str, name: str, skip_lines: int, _version: tuple[int, int]) -> tuple[str, ...]:
    """Return the columns of a version of a sheet: it is read whole for them."""
    with _sheet(File(at=at, member=member, name=name)) as sheet:
        return tuple(_heading(numbered_rows(sheet), skip_lines))


def _heading(rows: Iterator[tuple[int, list[Any]]], skip_lines: int) -> list[str]:
    """Return the names in the first row that is not blank, below those to skip."""
    for line, cells in rows:
        if line > skip_lines and not _is_blank(cells):
            return unique_names([text_of_cell(cell) or "" for cell in cells])
    raise DamagedError("the sheet has no heading", "mend `skip_lines` in the source's arguments, or name its sheet")


def first_rows(file: File, number: int) -> list[tuple[int, list[str]]]:
    """Return the first rows of a sheet that are not blank, each with how many rows stand above it."""
    with _sheet(file) as sheet:
        rows = ((line - 1, cells) for line, cells in numbered_rows(sheet) if not _is_blank(cells))
        return [(above, [text_of_cell(cell) or "" for cell in cells]) for above, cells in islice(rows, number)]


def numbered_rows(sheet: _Sheet) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows of a sheet, each with its number from 1."""
    line = 0
    for line, cells in enumerate(sheet.cells.iter_rows(), 1):
        for place, error in sheet.errors.get(line - 1, {}).items():
            cells[place] = error
        yield line, cells
    expected = sheet.cells.end[0] + 1 if sheet.cells.end else 0
    if line != expected:
        raise DamagedError(f"{line} rows of the sheet were read, and it has {expected}", "save it again")


def _is_blank(cells: list[Any]) -> bool:
    return all(cell == "" for cell in cells)


def texts_of(cells: list[Any]) -> list[str | None]:
    """Return a column's cells as texts; among moments a date is its midnight, which is how a workbook has it."""
    moments = any(isinstance(cell, datetime) for cell in cells)
    is_midnight = [moments and isinstance(cell, date) and not isinstance(cell, datetime) for cell in cells]
    return [
        datetime.combine(cell, time()).isoformat(" ") if midnight else text_of_cell(cell)
        for cell, midnight in zip(cells, is_midnight, strict=True)
    ]


def text_of_cell(cell: Any) -> str | None:
    """Return what a cell holds as text; an empty one is None."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell == int(cell) and abs(cell) < _EXACT else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return str(cell) or None


@contextmanager
def _sheet(file: File) -> Iterator[_Sheet]:
    """Open the sheet that is named, or the only one that is not empty."""
    try:
        import fastexcel  # noqa: F401  comes with the same extra
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise DamagedError(
            "a library for workbooks is not installed", "run `pip install 'ai-factory[excel]'`"
        ) from None
    packed = file.at.lower().endswith(PACKED)
    with plain(file if packed else File(at=file.at, name=file.name)) as path:
        try:
            with CalamineWorkbook.from_path(path) as book:
                name = _sheet_name(book, file, "" if packed else file.member)
                yield _Sheet(book.get_sheet_by_name(name), _errors_of(path, name))
        except CalamineError as error:
            raise DamagedError(str(error)[:300], "save it again as .xlsx, without a password") from error


def _sheet_name(book: Any, file: File, name: str) -> str:
    """Return the name of the sheet that is named, or of the only one with something in it."""
    if name:
        if name not in book.sheet_names:
            raise DamagedError(f"it has no sheet {name!r}; it has {', '.join(book.sheet_names)}", "mend its name")
        return name
    full = [name for name in book.sheet_names if book.get_sheet_by_name(name).height]
    if len(full) != 1:
        raise DamagedError(
            f"it has {len(full)} sheets with something in them: {', '.join(full[:8]) or 'none'}",
            f"name one, as in {file.name}{MEMBER}{full[0] if full else 'May'}",
        )
    return str(full[0])


def _errors_of(path: Path, sheet: str) -> Mapping[int, Mapping[int, str]]:
    """Return the errors in the cells of a sheet, by row and place in the row, from 0."""
    import fastexcel

    errors = defaultdict[int, dict[int, str]](dict)
    if not _may_have_errors(path):
        return errors
    cells = fastexcel.read_excel(path).load_sheet(sheet, header_row=None, skip_rows=0, dtypes="string")
    _, misfits = cells.to_arrow_with_errors()
    for misfit in misfits.errors if misfits else ():
        if error := _ERROR.search(misfit.detail):
            row, place = misfit.position
            errors[row][place] = _ERRORS.get(error[1], f"#{error[1].upper()}!")
    return errors


def _may_have_errors(path: Path) -> bool:
    """Whether a cell of a workbook may be an error, as the bytes of an .xlsx show it; others are read once more."""
    if not zipfile.is_zipfile(path):
        return True
    with zipfile.ZipFile(path) as parts:
        sheets = [name for name in parts.namelist() if re.match(r"xl/worksheets/.*\.xml$", name, re.I)]
        return not sheets or any(b't="e"' in parts.read(name) for name in sheets)

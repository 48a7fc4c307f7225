"""Sheets of Excel and OpenDocument workbooks as batches of texts: what each cell holds, with the row of the sheet.

A number is written as the shortest text that is that number, a date as 2024-01-31, a moment as 2024-01-31 08:00:00, an
error as Excel shows it: #DIV/0!. An empty cell is a null. A workbook is read whole: it holds a million rows at most.
"""

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    from python_calamine import CalamineSheet, CalamineWorkbook

_EXACT = 1e15
"""Whole numbers up to this are written without an exponent."""
_LEAST = 1e-4
"""From here to there Polars writes a number as Python does."""
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
        return dict.fromkeys(_names(*_version(file), self.at.skip_lines), pl.String())

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a sheet's records, those of the columns that it has, with LINE; blank rows are none."""
        rows = _whole(_OPENED.pop(_version(file), None) or _sheet(file))
        first, heading = _heading(rows, self.at.skip_lines)
        wanted = {name: heading.index(name) for name in columns if name in heading}
        lines = [line for line, _ in _not_blank(rows, first)]
        lines = lines[: len(lines) - self.at.footer]
        records = rows[first:] if len(lines) == len(rows) - first else [rows[line - 1] for line in lines]
        cells_of = list(zip(*records, strict=True)) or [()] * len(heading)
        texts = [texts_of(cells_of[place]).alias(name) for name, place in wanted.items()]
        yield from pl.DataFrame([*texts, pl.Series(LINE, lines, pl.Int64)]).iter_slices(BATCH_ROWS)


_OPENED: dict[tuple[Any, ...], _Sheet | None] = {}
"""The sheet that was read last for its heading, until its records are: a workbook is read whole even for a heading."""


def _version(file: File) -> tuple[Any, ...]:
    seen = file.path.stat()
    return file.at, file.member, file.name, seen.st_mtime_ns, seen.st_size


@lru_cache(maxsize=64)
def _names(at: str, member: str, name: str, mtime_ns: int, size: int, skip_lines: int) -> tuple[str, ...]:
    """Return the columns of a version of a sheet, and keep it: it is read whole for them."""
    sheet = _sheet(File(at=at, member=member, name=name))
    _OPENED.clear()
    _OPENED[at, member, name, mtime_ns, size] = sheet
    return tuple(_heading(rows_of(sheet), skip_lines)[1])


def _heading(rows: Iterable[list[Any]], skip_lines: int) -> tuple[int, list[str]]:
    """Return the names in the first row that is not blank, below those to skip, and that row's number."""
    for line, cells in _not_blank(rows, skip_lines):
        return line, unique_names([text_of_cell(cell) or "" for cell in cells])
    raise DamagedError("the sheet has no heading", "mend `skip_lines` in the source's arguments, or name its sheet")


def first_rows(file: File, number: int) -> list[tuple[int, list[str]]]:
    """Return the first rows of a sheet that are not blank, each with how many rows stand above it."""
    rows = islice(_not_blank(rows_of(_sheet(file)), 0), number)
    return [(line - 1, [text_of_cell(cell) or "" for cell in cells]) for line, cells in rows]


def rows_of(sheet: _Sheet) -> Iterator[list[Any]]:
    """Yield the cells of a sheet, row by row from its first."""
    for row, cells in enumerate(sheet.cells.iter_rows()):
        for place, error in sheet.errors.get(row, {}).items():
            cells[place] = error
        yield cells


def _whole(sheet: _Sheet) -> list[list[Any]]:
    """Return the cells of a sheet, row by row from its first."""
    above = sheet.cells.start[0] if sheet.cells.start else 0
    rows = [[""] * sheet.cells.width] * above + sheet.cells.to_python()
    for row, errors in sheet.errors.items():
        for place, error in errors.items():
            rows[row][place] = error
    expected = sheet.cells.end[0] + 1 if sheet.cells.end else 0
    if len(rows) != expected:
        raise DamagedError(f"{len(rows)} rows of the sheet were read, and it has {expected}", "save it again")
    return rows


def _not_blank(rows: Iterable[list[Any]], skip_rows: int) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows after the first few that have something in them, each with its number from 1."""
    numbered = enumerate(islice(rows, skip_rows, None), skip_rows + 1)
    return ((line, cells) for line, cells in numbered if cells != [""] * len(cells))


def texts_of(cells: Sequence[Any]) -> pl.Series:
    """Return a column's cells as texts; among moments a date is its midnight, which is how a workbook has it."""
    types = set(map(type, cells))
    if types <= {str}:
        texts = pl.Series(cells, dtype=pl.String)
        return texts.set(texts == "", None)
    if types <= {float, str}:
        return _texts_of_numbers(cells)
    if datetime in types and date in types:
        cells = [datetime.combine(cell, time()) if type(cell) is date else cell for cell in cells]
    return pl.Series([text_of_cell(cell) for cell in cells], dtype=pl.String)


def _texts_of_numbers(cells: Sequence[float | str]) -> pl.Series:
    """Return numbers, and texts among them, as `text_of_cell` does."""
    numbers = pl.Series([cell if type(cell) is float else None for cell in cells], dtype=pl.Float64)
    texts = numbers.cast(pl.String).str.strip_suffix(".0")
    others = numbers.is_null() | ~((numbers == 0) | numbers.abs().is_between(_LEAST, _EXACT, closed="left"))
    places = others.arg_true()
    return texts.scatter(places, pl.Series([text_of_cell(cells[place]) for place in places], dtype=pl.String))


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


def _sheet(file: File) -> _Sheet:
    """Read the sheet that is named, or the only one that is not empty."""
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
                cells = _cells_of(book, file, "" if packed else file.member)
                return _Sheet(cells, _errors_of(path, cells.name))
        except CalamineError as error:
            raise DamagedError(str(error)[:300], "save it again as .xlsx, without a password") from error


def _cells_of(book: "CalamineWorkbook", file: File, name: str) -> "CalamineSheet":
    """Return the sheet that is named, or the only one with something in it."""
    if name:
        if name not in book.sheet_names:
            raise DamagedError(f"it has no sheet {name!r}; it has {', '.join(book.sheet_names)}", "mend its name")
        return book.get_sheet_by_name(name)
    full: dict[str, CalamineSheet | None] = {}
    for sheet_name in book.sheet_names:
        sheet = book.get_sheet_by_name(sheet_name)
        if sheet.height:
            full[sheet_name] = None if full else sheet  # of many none is read
    if len(full) != 1:
        raise DamagedError(
            f"it has {len(full)} sheets with something in them: {', '.join(islice(full, 8)) or 'none'}",
            f"name one, as in {file.name}{MEMBER}{next(iter(full), 'May')}",
        )
    return next(sheet for sheet in full.values() if sheet)


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

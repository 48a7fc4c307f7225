"""A source: CSV files, plain, `.gz` or `.zip`, shipped inside an installed Python package and replayed to a moment.

In: the package's name and a file for each table. The package is located, never imported: importing one that ships data
often loads all of it. Out: rows in the declared columns and types, with missing values as nulls.
"""

import gzip
import importlib.util
import io
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from factory.connectors.source import newest_of
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.storage.columns import type_named

BATCH_ROWS = 100_000
_TIME_FORMAT = {True: "%Y-%m-%dT%H:%M:%SZ", False: "%Y-%m-%dT%H:%M:%S"}
"""How a `Datetime` is written, by whether its type has a time zone."""


class PackagedFiles:
    """The CSV files of an installed package; each is parsed once for the life of the object.

    `files` maps a table to its path inside the package; a field that is empty or in `missing` is a null.
    A `Datetime[us, UTC]` is written as 2013-01-31T23:00:00Z, a `Datetime[us]` without the Z; a naive `until` is UTC.
    """

    def __init__(self, package: str, files: Mapping[str, str], missing: Sequence[str] = ("NA",)) -> None:
        self.package = package
        self.files = dict(files)
        self.missing = ["", *missing]
        self._parsed: dict[tuple[str, tuple[tuple[str, str], ...]], pl.DataFrame] = {}
        self._parsing = threading.Lock()

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sorted sites that have rows before `until`; none for a table that all sites share."""
        if table.site_column is None:
            return []
        rows = self._known(table, None, until)
        return rows[table.site_column].drop_nulls().cast(pl.String).unique().sort().to_list()

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return each site's largest cursor before `until`; keeps factory.connectors.source.Dated."""
        return newest_of(self._known(table, None, until), table)

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the rows with `after` <= cursor < `until` in file order. Raises SourceError, SchemaMismatch."""
        rows = self._known(table, after, until)
        if site is not None and table.site_column is not None:
            rows = rows.filter(pl.col(table.site_column).cast(pl.String) == site)
        if len(rows):
            yield from rows.iter_slices(BATCH_ROWS)

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield each site's rows, all from one look at the file. Raises SourceError, SchemaMismatch."""
        site = pl.col(table.site_column or "").cast(pl.String).alias("_site")
        rows = self._known(table, None, until).filter(site.is_in(list(after)))
        for (name,), part in rows.group_by(site, maintain_order=True):
            new_rows = _since(part, table, after[str(name)])
            yield from ((str(name), batch) for batch in new_rows.iter_slices(BATCH_ROWS) if len(batch))

    def _known(self, table: Table, after: Any | None, until: datetime) -> pl.DataFrame:
        rows = self._rows(table)
        if table.cursor and rows.schema[table.cursor].is_temporal():
            rows = rows.filter(_cursor(rows, table) < pl.lit(_in_utc(until)))
        return _since(rows, table, after)

    def _rows(self, table: Table) -> pl.DataFrame:
        """Return all rows of a table, parsed by the first call."""
        with self._parsing:
            declaration = (table.name, tuple(table.columns.items()))
            if declaration not in self._parsed:
                self._parsed[declaration] = self._parse(table)
            return self._parsed[declaration]

    def _parse(self, table: Table) -> pl.DataFrame:
        path = self._path(table)
        try:
            text = pl.read_csv(io.BytesIO(_content(path)), infer_schema=False, null_values=self.missing)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
            raise SourceError(
                f"table {table.name}: {path.name} of package {self.package!r} cannot be read: {error}; reinstall it"
            ) from error
        _require_columns(text.columns, table, path)
        return text.select(_typed(text[name], kind, table, path) for name, kind in table.columns.items())

    def lacking(self) -> list[str]:
        """Return a sentence on each table whose file is not there; keeps factory.connectors.source.Inspected."""
        return list(dict.fromkeys(fault for fault in map(self._fault, self.files) if fault))

    def _path(self, table: Table) -> Path:
        if table.name not in self.files:
            raise SourceError(f"table {table.name}: the source has no such table; it has {', '.join(self.files)}")
        folder, fault = self._folder(), self._fault(table.name)
        if folder is None or fault:
            raise SourceError(f"table {table.name}: {fault}")
        return folder / self.files[table.name]

    def _folder(self) -> Path | None:
        spec = importlib.util.find_spec(self.package)
        places = spec.submodule_search_locations if spec else None
        return Path(places[0]) if places else None

    def _fault(self, table: str) -> str:
        folder = self._folder()
        if folder is None:
            return (
                f"its data is in the Python package {self.package!r}, which is not installed; "
                f"run `pip install {self.package}`"
            )
        exists = (folder / self.files[table]).is_file()
        return "" if exists else f"package {self.package!r} has no file {self.files[table]}"


def _since(rows: pl.DataFrame, table: Table, after: Any | None) -> pl.DataFrame:
    """Return the rows from a cursor on; all rows where there is no cursor."""
    if not table.cursor or after is None:
        return rows
    bound = _in_utc(after) if isinstance(after, datetime) else after
    return rows.filter(_cursor(rows, table) >= pl.lit(bound))


def _cursor(rows: pl.DataFrame, table: Table) -> pl.Expr:
    """Return the cursor's values, moments as naive UTC."""
    cursor = pl.col(table.cursor)
    is_moment = isinstance(rows.schema[table.cursor], pl.Datetime)
    return cursor.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if is_moment else cursor


def _in_utc(moment: datetime) -> datetime:
    """Return a moment as naive UTC, for comparing."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _content(path: Path) -> bytes:
    """Return a file's bytes, unpacked; a zip must hold one file."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as packed:
        names = [name for name in packed.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise zipfile.BadZipFile(f"it holds {len(names)} files and should hold one")
        return packed.read(names[0])


def _require_columns(columns: Sequence[str], table: Table, path: Path) -> None:
    unknown = [name for name in columns if name not in table.columns]
    lacking = [name for name in table.columns if name not in columns]
    wrong = [f"unknown column {name!r}" for name in unknown] + [f"column {name!r} is missing" for name in lacking]
    if wrong:
        raise SchemaMismatch(
            f"table {table.name}: {path.name} has {'; '.join(wrong)}; "
            "mend the file or the table's columns in the line's file"
        )


def _typed(text: pl.Series, kind: str, table: Table, path: Path) -> pl.Series:
    """Return a column in its declared type, or raise SchemaMismatch with the first value that is not of it."""
    try:
        wanted = type_named(kind)
    except ValueError as error:
        raise SchemaMismatch(f"table {table.name}, column {text.name!r}: {error}") from error
    values = _parsed(text, wanted)
    wrong = values.is_null() & text.is_not_null()
    if wrong.any():
        place = wrong.arg_max() or 0
        raise SchemaMismatch(
            f"table {table.name}: {path.name} row {place + 1}, column {text.name!r}: {text[place]!r} is not {kind}; "
            "mend the file or the column's type in the line's file"
        )
    return values


def _parsed(text: pl.Series, wanted: pl.DataType) -> pl.Series:
    if isinstance(wanted, pl.Datetime):
        zone = wanted.time_zone
        read = text.str.to_datetime(_TIME_FORMAT[zone is not None], time_unit=wanted.time_unit, strict=False)
        return read.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else read
    if wanted == pl.Date:
        return text.str.to_date("%Y-%m-%d", strict=False)
    if wanted == pl.Boolean:
        lower = text.str.to_lowercase()
        return (lower == "true").set(~lower.is_in(["true", "false"]), None)
    return text.cast(wanted, strict=False)

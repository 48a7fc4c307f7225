"""A source: CSV files, plain, `.gz` or `.zip`, shipped inside an installed Python package and replayed to a moment.

In: the package's name and a file for each table. The package is located, never imported: importing one that ships data
often loads all of it. Out: rows in the declared columns, each field as text as the file has it, an empty one as null.
"""

import importlib.util
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from factory.connectors.source import Beyond, beyond_of, cursor_of, newest_of
from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.files import state_of
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.connectors.tables.readers import reader_of
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.line.parsing.moments import within_or_unread
from factory.storage.columns import FILE, LINE, UNPARSED

BATCH_ROWS = 100_000
_CURSOR = "_source_cursor"


class PackagedFiles:
    """The CSV files of an installed package; each is parsed once for the life of the object.

    `files` maps a table to its path inside the package. A row whose cursor cannot be read comes with every load.
    """

    def __init__(self, package: str, files: Mapping[str, str]) -> None:
        self.package = package
        self.files = dict(files)
        self._parsed: dict[tuple[str, tuple[tuple[str, str], ...], str], pl.DataFrame] = {}
        self._parsing = threading.Lock()

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sorted sites that have rows before `until`; none for a table that all sites share."""
        if table.site_column is None:
            return []
        return sorted(table.by_site(self._known(table, None, until)[table.site_column].unique()))

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return each site's largest cursor before `until`; keeps factory.connectors.source.Dated."""
        return newest_of(self._known(table, None, until), table)

    def beyond(self, table: Table, until: datetime) -> dict[str, Beyond]:
        """Return what each site has in rows at or after `until`; keeps factory.connectors.source.Ahead."""
        if not table.cursor or table.site_column is None:
            return {}
        rows = self._rows(table)
        later = beyond_of(rows[table.site_column], rows[_CURSOR], until)
        return {
            site: reduce(Beyond.with_, (later[value] for value in values))
            for site, values in table.by_site(later).items()
        }

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the rows with `after` <= cursor < `until` in file order. Raises SourceError, SchemaMismatch."""
        rows = self._known(table, after, until)
        if site is not None and table.site_column is not None:
            rows = rows.filter(_site(rows, table) == site)
        if len(rows):
            yield from rows.drop(_CURSOR).iter_slices(BATCH_ROWS)

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield each site's rows, all from one look at the file. Raises SourceError, SchemaMismatch."""
        rows = self._known(table, None, until)
        rows = rows.with_columns(_site(rows, table).alias("_site")).filter(pl.col("_site").is_in(list(after)))
        for (name,), part in rows.group_by("_site", maintain_order=True):
            new_rows = part.filter(within_or_unread(part[_CURSOR], after[str(name)], None)).drop("_site", _CURSOR)
            yield from ((str(name), batch) for batch in new_rows.iter_slices(BATCH_ROWS) if len(batch))

    def _known(self, table: Table, after: Any | None, until: datetime) -> pl.DataFrame:
        rows = self._rows(table)
        return rows.filter(within_or_unread(rows[_CURSOR], after, until)) if table.cursor else rows

    def _rows(self, table: Table) -> pl.DataFrame:
        """Return all rows of a table, parsed by the first call."""
        with self._parsing:
            declaration = (table.name, tuple(table.columns.items()), f"{table.cursor} {table.parse}")
            if declaration not in self._parsed:
                self._parsed[declaration] = self._parse(table)
            return self._parsed[declaration]

    def _parse(self, table: Table) -> pl.DataFrame:
        path = self._path(table)
        reader = reader_of(Place(kind="csv", at=str(path)), TableAt(at=path.name))
        try:
            schema = reader.schema()
            empty = pl.DataFrame(schema={**schema, FILE: pl.String, LINE: pl.Int64, UNPARSED: pl.String})
            rows = pl.concat([empty, *reader.batches(list(schema), Narrowing())], how="diagonal")
        except SchemaMismatch:
            raise
        except SourceError as error:
            raise SourceError(f"package {self.package!r}: {error}, or reinstall the package") from error
        if table.site_column and table.site_column not in rows.columns:
            raise SchemaMismatch(
                f"table {table.name}: {path.name} has no column {table.site_column!r}, which names the site; mend the "
                "file or the table's columns in the line's file"
            )
        if not table.cursor or table.cursor not in rows.columns:
            return rows.with_columns(pl.lit(None).alias(_CURSOR))
        return rows.with_columns(cursor_of(rows, table).alias(_CURSOR))

    def version(self, table: Table) -> str:
        """Return the state of a table's file; keeps factory.connectors.source.Versioned."""
        return state_of([self._path(table)])

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


def _site(rows: pl.DataFrame, table: Table) -> pl.Expr:
    """Return the site of each row."""
    column = table.site_column or ""
    sites = {value: table.site_of(value) for value in rows[column].unique().to_list()}
    return pl.col(column).replace_strict(sites, return_dtype=pl.String)

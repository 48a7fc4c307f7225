"""`TableSource`: any CSV, Parquet, Delta or SQL table as a line's source, streaming, in the line's names and types."""

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from operator import add
from pathlib import Path
from typing import Any

import polars as pl

from factory.connectors.tables.arguments import TableAt, tables_of
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Narrowing, Reader
from factory.connectors.tables.readers import reader_of
from factory.connectors.tables.site_names import sites_of_values
from factory.connectors.tables.values import Wanted, typed
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.storage.project import project_root


class TableSource:
    """A `Source` for tables that a line's file names with their places and ways to write.

    A relative path is relative to the project's folder. Rows without a moment in the cursor's column are never read:
    load a table that has such rows without a cursor. Raises LineError when an argument is wrong.
    """

    def __init__(self, tables: Mapping[str, Any], root: str = "") -> None:
        self.tables = tables_of(tables)
        self.root = Path(root) if root else project_root()
        self._known_sites: dict[tuple[str, datetime], dict[str, list[str | None]]] = {}
        self._looking = threading.Lock()

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sorted sites that have rows before `until`; none for a table that all sites share."""
        if table.site_column is None:
            return []
        at = self._at(table)
        return [at.only_site] if at.only_site else sorted(self._sites(table, until))

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the rows with `after` <= cursor < `until` in the table's order. Raises SourceError, SchemaMismatch."""
        at = self._at(table)
        values = self._values(table, at, site, until)
        if values is None or values:
            yield from self._batches(table, at, values, after, until)

    def _batches(
        self, table: Table, at: TableAt, values: list[str | None] | None, after: Any | None, until: datetime
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of some values of the site column, None for all rows."""
        reader = self._reader(table, at)
        wanted = _wanted(table, at)
        only = _narrowing(table, wanted, reader.schema(), values, after, until)
        for raw in reader.batches([column.source_name for column in wanted.values()], only, at.row_number):
            rows = _within(_typed(raw, wanted, table, at), table, after, until)
            if values is not None and table.site_column:
                rows = rows.filter(pl.col(table.site_column).is_in(values, nulls_equal=True))
            if len(rows):
                yield rows.select(list(table.columns))

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield each site's rows in the table's order, from one pass over it. Raises SourceError, SchemaMismatch."""
        at, site_column = self._at(table), table.site_column
        if at.only_site or site_column is None:
            for site, cursor in after.items():
                yield from ((site, rows) for rows in self.read(table, site=site, after=cursor, until=until))
            return
        of_value = {value: site for site in after for value in self._values(table, at, site, until) or []}
        starts = [cursor for cursor in after.values() if cursor is not None]
        first = min(starts) if len(starts) == len(after) else None
        for rows in self._batches(table, at, list(of_value), first, until):
            for (value,), part in rows.group_by(site_column, maintain_order=True):
                site = of_value[value]
                new_rows = _within(part, table, after[site], until)
                if len(new_rows):
                    yield site, new_rows

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return each site's largest cursor before `until`, or its number of rows; keeps `Dated`."""
        at, newest = self._at(table), self._newest_of_values(table, until)
        if at.only_site:
            return {at.only_site: newest[None]} if newest else {}
        sites = sites_of_values(newest, at.sites, table.name)
        with self._looking:
            self._known_sites[table.name, until] = sites
        return {site: newest[value] for site, (value,) in sites.items()}

    def lacking(self) -> list[str]:
        """Return a sentence on each table that is not where it should be."""
        return [fault for fault in map(self._fault, self.tables.values()) if fault]

    def _fault(self, at: TableAt) -> str:
        try:
            reader_of(place_of(at.at, self.root), at).schema()
        except SourceError as error:
            return str(error)
        return ""

    def _at(self, table: Table) -> TableAt:
        if table.name not in self.tables:
            raise SourceError(f"table {table.name}: the source has no such table; it has {', '.join(self.tables)}")
        return self.tables[table.name]

    def _reader(self, table: Table, at: TableAt) -> Reader:
        """Return the table's reader, once its columns are those that the line declares."""
        reader = reader_of(place_of(at.at, self.root), at)
        _require_columns(list(reader.schema()), table, at)
        return reader

    def _values(self, table: Table, at: TableAt, site: str | None, until: datetime) -> list[str | None] | None:
        """Return the values of the site column that are one site's rows; None where all rows are wanted."""
        if site is None or table.site_column is None:
            return None
        if at.only_site:
            return None if site == at.only_site else []
        return self._sites(table, until).get(site, [])

    def _sites(self, table: Table, until: datetime) -> dict[str, list[str | None]]:
        """Return each site with rows before `until` and its value in the site column; read once for each `until`."""
        with self._looking:
            if (table.name, until) not in self._known_sites:
                self._known_sites[table.name, until] = self._look_for_sites(table, until)
            return self._known_sites[table.name, until]

    def _look_for_sites(self, table: Table, until: datetime) -> dict[str, list[str | None]]:
        return sites_of_values(self._newest_of_values(table, until), self._at(table).sites, table.name)

    def _newest_of_values(self, table: Table, until: datetime) -> dict[str | None, Any]:
        """Return, for each value of the site column with rows before `until`, the largest cursor or the rows' number.

        A table of one site has the one value None.
        """
        at = self._at(table)
        wanted = {
            name: column for name, column in _wanted(table, at).items() if name in (table.site_column, table.cursor)
        }
        newest_of: dict[str | None, Any] = {}
        for raw in self._reader(table, at).batches([column.source_name for column in wanted.values()], Narrowing()):
            rows = _within(typed(raw, wanted, at, table.name), table, None, until)
            for value, newest in _newest(rows, table, at).iter_rows():
                before = newest_of.get(value)
                combine = max if table.cursor in rows.columns else add
                newest_of[value] = newest if before is None else combine(before, newest)
        return newest_of


def _wanted(table: Table, at: TableAt) -> dict[str, Wanted]:
    """Return the table's columns that the source reads; it adds the others itself."""
    added = {at.row_number, table.site_column if at.only_site else None}
    return {
        name: Wanted(source_name=at.names.get(name, name), kind=kind, format=at.formats.get(name, ""))
        for name, kind in table.columns.items()
        if name not in added
    }


def _typed(raw: pl.DataFrame, wanted: Mapping[str, Wanted], table: Table, at: TableAt) -> pl.DataFrame:
    """Return the table's columns: those that are read, the row's number, the only site's name."""
    rows = typed(raw, wanted, at, table.name)
    if at.row_number:
        rows = rows.with_columns(raw[at.row_number])
    if at.only_site and table.site_column:
        rows = rows.with_columns(pl.lit(at.only_site).alias(table.site_column))
    return rows


def _newest(rows: pl.DataFrame, table: Table, at: TableAt) -> pl.DataFrame:
    """Return each value of the site column, and its largest cursor or number of rows."""
    value = pl.lit(None, pl.String) if at.only_site else pl.col(table.site_column or "")
    newest = pl.col(table.cursor).max() if table.cursor in rows.columns else pl.len()
    return rows.group_by(value.alias("value")).agg(newest.alias("newest"))


def _within(rows: pl.DataFrame, table: Table, after: Any | None, until: datetime) -> pl.DataFrame:
    """Return the rows with `after` <= cursor < `until`; `until` does not apply to a cursor that is not a time."""
    if not table.cursor or table.cursor not in rows.columns:
        return rows
    cursor, kind = pl.col(table.cursor), rows.schema[table.cursor]
    if after is not None:
        rows = rows.filter(cursor >= pl.lit(after, kind))
    return rows.filter(cursor < pl.lit(_as_value(kind, until), kind)) if kind.is_temporal() else rows


def _as_value(kind: pl.DataType, moment: datetime) -> Any:
    """Return a moment, naive ones being UTC, as a value of a temporal column."""
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if kind == pl.Date:
        return aware.date()
    return aware if isinstance(kind, pl.Datetime) and kind.time_zone else aware.replace(tzinfo=None)


def _narrowing(
    table: Table,
    wanted: Mapping[str, Wanted],
    schema: Mapping[str, pl.DataType],
    values: list[str | None] | None,
    after: Any | None,
    until: datetime,
) -> Narrowing:
    """Return the filter that the table itself can apply: only on columns whose raw values are those of the line."""
    site, cursor = wanted.get(table.site_column or ""), wanted.get(table.cursor)
    known = [value for value in values or [] if value is not None]
    by_site = site is not None and len(known) == len(values or []) and schema[site.source_name] == pl.String
    by_time = cursor is not None and isinstance(schema[cursor.source_name], pl.Datetime)
    return Narrowing(
        column=site.source_name if site and by_site else "",
        values=known if by_site else (),
        moment=cursor.source_name if cursor and by_time else "",
        after=after if by_time else None,
        until=until if by_time else None,
    )


def _require_columns(columns: list[str], table: Table, at: TableAt) -> None:
    expected = [column.source_name for column in _wanted(table, at).values()]
    unknown = [name for name in columns if name not in expected and name not in at.leave_out]
    lacking = [name for name in expected if name not in columns]
    if not lacking and not unknown:
        return
    wrong = [f"column {name!r} is missing{_near(name, unknown)}" for name in lacking[:10]]
    wrong += [f"column {name!r} is unknown" for name in unknown[:10]]
    raise SchemaMismatch(
        f"table {table.name}: {at.at} is not the table that this line was made from: {'; '.join(wrong)} "
        f"({len(lacking)} missing, {len(unknown)} unknown of {len(columns)}); mend the table, or name the new columns "
        "in the line's file, under `columns` or the source's `leave_out`"
    )


def _near(name: str, others: list[str]) -> str:
    near = get_close_matches(name, others, n=1)
    return f" (is it {near[0]!r} now?)" if near else ""

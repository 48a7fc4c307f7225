"""`TableSource`: any table of files or a database as a line's source, streaming, under the line's names.

Values are the table's own: nothing is typed, repaired or left out but what the line's file leaves out.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import polars as pl

from factory.connectors.source import Beyond, beyond_of, cursor_of, in_window
from factory.connectors.tables.arguments import TableAt, tables_of
from factory.connectors.tables.csv_text import unique_names
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Asked, Delivering, Narrowing, Reader, Sparse, Stateful
from factory.connectors.tables.readers import reader_of
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.line.parsing.moments import within_or_unread
from factory.line.parsing.values import exactly
from factory.line.site_names import SiteNames
from factory.names import LINE_SITE
from factory.storage.columns import BOOKKEEPING, FILE, SITE
from factory.storage.project import project_root
from factory.storage.raw_values import text_of

_CURSOR = "_source_cursor"
_VALUE = "_site_value"


class TableSource:
    """A `Source` for tables that a line's file names with their places.

    A relative path is relative to the project's folder. A row whose cursor cannot be read comes with every load. Raises
    LineError when an argument is wrong.
    """

    def __init__(self, tables: Mapping[str, Any], root: str = "") -> None:
        self.tables = tables_of(tables)
        self.root = Path(root) if root else project_root()
        self._known_sites: dict[tuple[str, datetime], tuple[SiteNames, dict[str, list[str | None]]]] = {}
        self._known_beyond: dict[tuple[str, datetime], dict[str | None, Beyond]] = {}
        self._delivering: dict[str, Delivering] = {}
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
            yield from (rows.drop(_VALUE) for rows in self._batches(table, at, values, after, until))

    def _batches(
        self, table: Table, at: TableAt, values: list[str | None] | None, after: Any | None, until: datetime
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of some values of the site column, None for all rows, and _VALUE, that value as text."""
        reader = self._reader(at, table)
        schema = reader.schema()
        read = {**_read_columns(table, at), **_new_columns(schema, table, at)}
        only = _narrowing(table, read, schema, values, after, until)
        sparse = isinstance(reader, Sparse)
        for batch in reader.batches([name for name in read.values() if sparse or name in schema], only, at.row_number):
            named = {**read, **_new_columns(batch.columns, table, at)} if sparse else read
            rows = _of_line(batch, named, table, at, schema)
            rows = in_window(rows, table, after, until)
            if values is not None and table.site_column:
                rows = rows.filter(pl.col(_VALUE).is_in(values, nulls_equal=True))
            if len(rows):
                yield rows

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
            named = rows.with_columns(pl.col(_VALUE).replace_strict(of_value, return_dtype=pl.String))
            for (site,), part in named.group_by(_VALUE, maintain_order=True):  # by site: one may be spelled in two ways
                yield str(site), part.drop(_VALUE)

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return each site's largest cursor before `until`, or its number of rows; keeps `Dated`."""
        at, newest = self._at(table), self._newest_of_values(table, until)
        if at.only_site:
            return {at.only_site: newest[None]} if newest else {}
        sites = table.by_site(newest)
        with self._looking:
            self._known_sites[table.name, until] = table.site_names, sites
        combine = max if table.cursor else sum
        known = {
            site: [newest[value] for value in values if newest[value] is not None] for site, values in sites.items()
        }
        return {site: combine(some) for site, some in known.items() if some}

    def version(self, table: Table) -> str | None:
        """Return the state of a table's files, None for a table of a database that finds rows itself.

        Keeps `Versioned`.
        """
        at = self._at(table)
        reader = self._reader(at, table)
        if not isinstance(reader, Stateful):
            return ""
        state = reader.state(_read_columns(table, at).get(table.cursor, ""))
        return f"{at} {state}" if state else state

    def counts(self, table: Table, until: datetime) -> dict[str, int] | None:
        """Return each site's number of rows with a cursor before `until`, or one that cannot be read; keeps `Counted`.

        None where the table is no database's, or its cursor is none that the database can compare.
        """
        at = self._at(table)
        reader, read = self._reader(at, table), _read_columns(table, at)
        if not isinstance(reader, Asked):
            return None
        answer = reader.counts(
            read.get(table.site_column or "", ""), read.get(table.cursor, ""), _on_clock(until, table)
        )
        if answer is None:
            return None
        counts = dict(zip(text_of(answer["site"]), answer["rows"], strict=True))
        if table.site_column is None or at.only_site:
            return {at.only_site or LINE_SITE: sum(counts.values())}
        return {site: sum(counts[value] for value in values) for site, values in table.by_site(counts).items()}

    def beyond(self, table: Table, until: datetime) -> dict[str, Beyond]:
        """Return what each site has in rows with a cursor at or after `until`; keeps `Ahead`.

        Of files it is known once their sites are; a database is asked.
        """
        at = self._at(table)
        if not table.cursor:
            return {}
        self._sites(table, until)
        later = self._known_beyond.get((table.name, until))
        if later is None:
            later = self._asked_beyond(table, until)
        if table.site_column is None or at.only_site:
            return {at.only_site or LINE_SITE: reduce(Beyond.with_, later.values())} if later else {}
        return {
            site: reduce(Beyond.with_, (later[value] for value in values))
            for site, values in table.by_site(later).items()
        }

    def _asked_beyond(self, table: Table, until: datetime) -> dict[str | None, Beyond]:
        """Return what the table itself says of each value of the site column; nothing where it cannot."""
        at, now = self._at(table), datetime.now(UTC)
        reader, read = self._reader(at, table), _read_columns(table, at)
        if not isinstance(reader, Asked):
            return {}
        columns = read.get(table.site_column or "", ""), read.get(table.cursor, "")
        answer = reader.beyond(*columns, _on_clock(until, table))
        if answer is None or answer.is_empty():
            return {}
        latest = cursor_of(answer.select(exactly("latest").alias(table.cursor)), table)
        known = beyond_of(text_of(answer["site"]), latest, until)
        ahead = reader.beyond(*columns, _on_clock(now, table)) if any(one.ahead for one in known.values()) else None
        rows = dict(zip(text_of(answer["site"]), answer["rows"], strict=True))
        future = {} if ahead is None else dict(zip(text_of(ahead["site"]), ahead["rows"], strict=True))
        return {value: Beyond(rows[value], future.get(value, 0), one.latest) for value, one in known.items()}

    def acknowledge(self, table: Table, lines: pl.Series) -> None:
        """Let a table that gives its rows until they are in the lake go on to others; keeps `Acknowledged`."""
        if reader := self._delivering.get(table.name):
            reader.acknowledge(lines)

    def lacking(self) -> list[str]:
        """Return a sentence on each table that is not where it should be."""
        return [fault for fault in map(self._fault, self.tables.values()) if fault]

    def _fault(self, at: TableAt) -> str:
        try:
            self._reader(at).schema()
        except SourceError as error:
            return str(error)
        return ""

    def _at(self, table: Table) -> TableAt:
        if table.name not in self.tables:
            raise SourceError(f"table {table.name}: the source has no such table; it has {', '.join(self.tables)}")
        return self.tables[table.name]

    def _reader(self, at: TableAt, table: Table | None = None) -> Reader:
        declared = {} if table is None else _read_columns(table, at)
        reader = reader_of(place_of(at.at, self.root), at, declared.values())
        if table is not None and isinstance(reader, Delivering):
            ways = {declared.get(table.cursor), declared.get(table.changes.column)}
            if reader.arrival not in ways:
                raise SourceError(
                    f"table {table.name}: messages come once, and late: declare their column {reader.arrival}, and say "
                    f"`changes: {{known_by: change_log, column: {reader.arrival}}}`"
                )
            self._delivering[table.name] = reader
        return reader

    def _values(self, table: Table, at: TableAt, site: str | None, until: datetime) -> list[str | None] | None:
        """Return the values of the site column that are one site's rows; None where all rows are wanted."""
        if site is None or table.site_column is None:
            return None
        if at.only_site:
            return None if site == at.only_site else []
        return self._sites(table, until).get(site, [])

    def _sites(self, table: Table, until: datetime) -> dict[str, list[str | None]]:
        """Return each site with rows before `until` and its values in the site column; read once for each `until`."""
        with self._looking:
            rules, sites = self._known_sites.get((table.name, until), (None, {}))
            if rules != table.site_names:
                sites = table.by_site(self._newest_of_values(table, until))
                self._known_sites[table.name, until] = table.site_names, sites
            return sites

    def _newest_of_values(self, table: Table, until: datetime) -> dict[str | None, Any]:
        """Return, for each value of the site column with rows before `until`, the largest cursor or the rows' number.

        A table of one site has the one value None. None is the cursor of a value none of whose cursors can be read.
        """
        at = self._at(table)
        roles = (table.site_column, table.cursor)
        read = {name: source for name, source in _read_columns(table, at).items() if name in roles}
        reader = self._reader(at, table)
        there = reader.schema()
        if isinstance(reader, Asked) and there.keys() >= set(read.values()):
            asked = _asked_newest(reader, table, read, until)
            if asked is not None:
                return asked
        newest_of: dict[str | None, Any] = {}
        later: dict[str | None, Beyond] = {}
        sparse = isinstance(reader, Sparse)
        columns = [name for name in read.values() if sparse or name in there] or list(there)[
            :1
        ]  # one, to count rows by
        for batch in reader.batches(columns, Narrowing()):
            rows = _of_line(batch, read, table, at, there)
            rows = _with_cursor(rows, table)
            if _CURSOR in rows.columns:
                more = beyond_of(rows[_VALUE], rows[_CURSOR], until)
                later |= {value: one.with_(later.get(value)) for value, one in more.items()}
            for value, newest in _newest(rows, table, until).iter_rows():
                before = newest_of.get(value)
                combine = max if table.cursor else add
                newest_of[value] = newest if before is None else before if newest is None else combine(before, newest)
        self._known_beyond[table.name, until] = later
        return newest_of


def _read_columns(table: Table, at: TableAt) -> dict[str, str]:
    """Return the table's columns that are read, each with its own name there; the source adds the others itself."""
    added = {at.row_number, table.site_column if at.only_site else None}
    return {name: at.names.get(name, name) for name in table.columns if name not in added}


def _of_line(
    batch: pl.DataFrame, read: Mapping[str, str], table: Table, at: TableAt, columns: Iterable[str]
) -> pl.DataFrame:
    """Return a batch's columns under the line's names: those that are read, the row's number, the only site's name.

    Beside them _VALUE, the value of the site column as text, and what the reader tells of where the rows come from. A
    batch has those of the table's `columns` that its file has; raises SchemaMismatch where no row could be given to a
    site.
    """
    there = {name: source for name, source in read.items() if source in batch.columns}
    if table.site_column in read and table.site_column not in there:
        raise SchemaMismatch(_without_sites(batch, read[table.site_column or ""], table, at, columns))
    origin = [name for name in batch.columns if name in BOOKKEEPING - {SITE} or name == (at.row_number or None)]
    rows = batch.select(*(exactly(source).alias(name) for name, source in there.items()), *origin)
    if at.only_site and table.site_column:
        rows = rows.with_columns(pl.lit(at.only_site).alias(table.site_column))
    if at.only_site or table.site_column not in rows.columns:
        return rows.with_columns(pl.lit(None, pl.String).alias(_VALUE))
    return rows.with_columns(text_of(rows[table.site_column]).alias(_VALUE))


def _with_cursor(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return rows with _CURSOR, their cursor as it is declared, where they have one."""
    return rows.with_columns(cursor_of(rows, table).alias(_CURSOR)) if table.cursor in rows.columns else rows


def _newest(rows: pl.DataFrame, table: Table, until: datetime) -> pl.DataFrame:
    """Return each value of the site column, and its largest _CURSOR or number of rows before a moment."""
    if not table.cursor:
        return rows.group_by(_VALUE).agg(pl.len())
    if _CURSOR not in rows.columns:
        return rows.group_by(_VALUE).agg(pl.lit(None).alias(_CURSOR))
    known = rows.filter(within_or_unread(rows[_CURSOR], None, until))
    return known.group_by(_VALUE).agg(pl.col(_CURSOR).max())


def _on_clock(until: datetime, table: Table) -> datetime:
    """Return a moment on the clock of a table's moments without a zone."""
    return (until if until.tzinfo else until.replace(tzinfo=UTC)).astimezone(table.parse.zone())


def _asked_newest(
    reader: Asked, table: Table, read: Mapping[str, str], until: datetime
) -> dict[str | None, Any] | None:
    """Return what the table itself says is newest; None where it cannot, or where that is no cursor before `until`."""
    site, cursor = read.get(table.site_column or "", ""), read.get(table.cursor, "")
    answer = reader.newest(site, cursor, _on_clock(until, table))
    if answer is None:
        return None
    values = answer.select(text_of(answer["site"]).alias(_VALUE), exactly("newest").alias(table.cursor or _CURSOR))
    if not cursor:
        counts = values.group_by(_VALUE).agg(pl.col(_CURSOR).sum())
        return dict(counts.filter(pl.col(_CURSOR) > 0).iter_rows())
    values = _with_cursor(values, table)
    newest = _newest(values, table, until)
    some = values.filter(exactly(table.cursor).is_not_null())
    fit = _newest(some, table, until).drop_nulls(_CURSOR)
    return dict(newest.iter_rows()) if fit.height == some[_VALUE].n_unique() else None


def _narrowing(
    table: Table,
    read: Mapping[str, str],
    schema: Mapping[str, pl.DataType],
    values: list[str | None] | None,
    after: Any | None,
    until: datetime,
) -> Narrowing:
    """Return the filter that the table itself can apply: only on columns whose raw values are those of the line."""
    site, cursor = read.get(table.site_column or ""), read.get(table.cursor)
    known = [value for value in values or [] if value is not None]
    by_site = site is not None and len(known) == len(values or []) and schema.get(site) == pl.String
    by_cursor = cursor in schema and table.parse.time_zone == "UTC"
    return Narrowing(
        column=site if site and by_site else "",
        values=known if by_site else (),
        moment=cursor if cursor and by_cursor else "",
        after=after if by_cursor else None,
        until=until if by_cursor else None,
    )


def _new_columns(columns: Collection[str], table: Table, at: TableAt) -> dict[str, str]:
    """Return the columns of the table that the line neither declares nor leaves out, by their names there.

    One without a name is called by its place, as in a text file, for "" stands for no cursor and no site column. Raises
    SchemaMismatch where the line has given such a name to another column.
    """
    read = _read_columns(table, at)
    named = dict(zip(unique_names(list(columns)), columns, strict=True))
    new = {name: there for name, there in named.items() if there not in read.values() and there not in at.leave_out}
    if taken := [name for name in new if name in table.columns]:
        raise SchemaMismatch(
            f"table {table.name}: {at.at} has a new column {taken[0]!r}, which is the line's name of "
            f"{read.get(taken[0], taken[0])!r}; give the new one another name in the source's `names`, or name it in "
            "its `leave_out`"
        )
    return {name: there for name, there in new.items() if there not in BOOKKEEPING - {SITE}}


def _without_sites(batch: pl.DataFrame, column: str, table: Table, at: TableAt, columns: Iterable[str]) -> str:
    near = get_close_matches(column, [name for name in columns if name not in at.names.values()], n=1)
    file = str(batch[FILE].first()) if FILE in batch.columns else at.at
    hint = f" (is it {near[0]!r} now?)" if near else ""
    return (
        f"table {table.name}, {file}: the column {column!r}, which names the site, is lost{hint}: no row could be "
        "given to a site, and nothing was loaded; bring it back, or say its new name in the source's `names`"
    )

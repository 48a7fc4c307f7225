"""Ingestion: source rows in, the lake's raw table out, exactly as they came and each once.

Nothing is typed here but the cursor, by which loading goes on: from the largest value the lake has for a site. Rows
with exactly that value are read again, and so are those whose cursor cannot be read; what the lake already has is left
out by content, copy for copy: a repeated run adds nothing, and a row corrected at the source comes in as a new version
of its key. All batches of a site are read before its first row is written. A source that is `Pooled` is read once for
all sites; where that fails, each site is read alone, so that only those at fault fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.connectors.source import Pooled, Source
from factory.data.content import COPY, IDENTITY, identified
from factory.data.contract.typing import typed_column, typed_rows, typed_values
from factory.data.schema_changes import SchemaChange, SchemaWatch, require_schema
from factory.errors import SourceError
from factory.line.announced import Announced, aware
from factory.line.line import Table
from factory.line.parsing.moments import within
from factory.names import LINE_SITE, checked_name
from factory.storage.columns import (
    BOOKKEEPING,
    CURSOR,
    FILE,
    LINE,
    LOAD,
    MENDED,
    MENDS,
    ROW,
    SCHEMA,
    UNPARSED,
    type_named,
)
from factory.storage.lake import SITE, Lake
from factory.storage.raw_values import TEXT
from factory.storage.raw_values import together as as_one


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """How many rows a site has in the raw table, how many of them this load brought, and what came otherwise."""

    rows: int
    new_rows: int
    changes: tuple[SchemaChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What a source gave of one site: its raw rows with CURSOR, and how their columns differ from the declared ones."""

    rows: pl.DataFrame
    changes: tuple[SchemaChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the lake already has of one site."""

    cursor: Any = None
    load: int = 0
    rows: int = 0
    version: int = 0


def ingest(
    lake: Lake, source: Source, table: Table, sites: Sequence[str], until: datetime, *, from_start: bool = False
) -> Isolated[Ingested]:
    """Bring the sites' new rows before `until` into `raw/<table>` in one commit.

    `from_start` reads each source from its first row rather than from the cursor, for rows that arrived late.

    A site whose source fails, or has other columns and the line's file says that this stops it, is left as it was.
    Shared tables have the one site LINE_SITE. A site's error is in the result; it is not raised.
    """
    name = f"raw/{table.name}"
    known = _known(lake, table, name, sites)
    if from_start:
        known = {site: replace(state, cursor=None) for site, state in known.items()}
    after = {site: state.cursor for site, state in known.items()}
    kept = lake.scan(name).collect_schema() if lake.has(name) else {}
    read = _require_rows(_read(source, table, after, until, kept), table, known, until)
    new = together(
        list(read.done), lambda group: _new_rows(lake, table, {site: read.done[site].rows for site in group}, known)
    )

    def write(group: Sequence[str]) -> Mapping[str, Ingested]:
        versions = {site: known[site].version for site in group if len(new.done[site])}
        if versions:
            lake.append(name, pl.concat([new.done[site] for site in versions]), versions, widen=True)
        return {
            site: Ingested(
                rows=known[site].rows + len(new.done[site]),
                new_rows=len(new.done[site]),
                changes=read.done[site].changes,
            )
            for site in group
        }

    written = together(list(new.done), write)
    return Isolated(done=written.done, failed={**read.failed, **new.failed, **written.failed})


def stored_raw_rows(lake: Lake, table: Table, sites: Sequence[str] | None = None) -> pl.LazyFrame:
    """Return a table's raw rows, of some sites or of all, as they came.

    Columns that the line declares no more are left out; one that was declared since is not there in a lake that has no
    row with it. Raises TableMissing.
    """
    rows = lake.scan(f"raw/{table.name}", sites)
    there = rows.collect_schema()
    return rows.select(name for name in _stored(table) if name in there)


def _stored(table: Table) -> list[str]:
    """Return the columns of a raw table that something is made of: the declared ones, and the lake's own."""
    declared = [name for column in table.columns for name in (column, f"{column}{TEXT}")]
    return list(dict.fromkeys([*declared, SITE, LOAD, ROW, CURSOR, FILE, LINE, UNPARSED, SCHEMA, MENDS, MENDED]))


def typed_raw_rows(lake: Lake, table: Table) -> pl.LazyFrame:
    """Return all raw rows of a table in the declared types, null where a value does not fit; raises TableMissing."""
    rows = typed_rows(stored_raw_rows(lake, table), table, ())
    return rows.select(list(dict.fromkeys([*table.columns, SITE, LOAD, ROW])))


def announced_rows(
    source: Source, table: Table, announced: Announced, sites: Sequence[str], until: datetime
) -> Isolated[pl.DataFrame]:
    """Return the sites' rows that are announced before `until` and happen at that moment or later, as raw rows.

    What is not known of a row when it is announced is null, whatever the source says. A site may have none.
    """
    after = dict.fromkeys(sites, _as_cursor(table, until))
    read = _read(source, table, after, announced.before(until))

    def known(site: str) -> pl.DataFrame:
        delivered = read.done[site].rows
        delivered = delivered.select(name for name in _stored(table) if name in delivered.columns)
        typed = typed_rows(delivered.lazy(), table, ())
        is_known = announced.moment(table.cursor, typed.collect_schema()) < aware(until)
        rows = delivered.filter(typed.select(is_known).collect().to_series())
        unknown = [name for name in table.columns if name not in announced.columns]
        later = {*unknown, *(f"{name}{TEXT}" for name in unknown)} & set(rows.columns)
        return _first_load(rows.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in later), site)

    return Isolated(done={site: known(site) for site in read.done}, failed=read.failed)


def raw_rows(source: Source, table: Table, site: str, until: datetime) -> pl.DataFrame | None:
    """Return all of a site's rows before `until` as raw rows, written nowhere; None where they cannot be read."""
    read = _read(source, table, {site: None}, until).done.get(site)
    return None if read is None or read.rows.is_empty() else _first_load(read.rows, site)


def _first_load(rows: pl.DataFrame, site: str) -> pl.DataFrame:
    return rows.with_columns(
        pl.lit(site).alias(SITE), pl.lit(1, pl.Int64).alias(LOAD), pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW)
    )


def _as_cursor(table: Table, moment: datetime) -> datetime:
    """Return a moment as a value of the table's cursor."""
    kind = type_named(table.columns[table.cursor])
    zoned = isinstance(kind, pl.Datetime) and kind.time_zone
    return aware(moment) if zoned else aware(moment).replace(tzinfo=None)


def _read(
    source: Source,
    table: Table,
    after: Mapping[str, Any],
    until: datetime,
    kept: Mapping[str, pl.DataType] | None = None,
) -> Isolated[Delivered]:
    """Return what the source gives of each site from its cursor on; in one pass where the source can.

    `kept` is the schema of the raw table. A site has failed where the line's policy says that its columns stop it.
    """
    sites = list(after)

    def of(site: str, batches: Sequence[pl.DataFrame], watch: SchemaWatch) -> Delivered:
        return Delivered(rows=_whole(batches, kept or {}, table, after[site], until), changes=watch.changes(site))

    def in_one_pass(pooled: Pooled, group: Sequence[str]) -> Mapping[str, Delivered]:
        for site in group:
            checked_name(site)
        batches: dict[str, list[pl.DataFrame]] = {site: [] for site in group}
        watch = SchemaWatch(table, kept or {})
        for site, batch in pooled.read_sites(table, after={site: after[site] for site in group}, until=until):
            batches[site].append(watch.take(batch, site))
        return {site: of(site, batches[site], watch) for site in group}

    def alone(site: str) -> Delivered:
        if site != LINE_SITE:
            checked_name(site)
        watch = SchemaWatch(table, kept or {})
        batches = source.read(table, site=None if site == LINE_SITE else site, after=after[site], until=until)
        return of(site, [watch.take(batch, site) for batch in batches], watch)

    if isinstance(source, Pooled) and sites != [LINE_SITE]:
        read = together(sites, partial(in_one_pass, source))
    else:
        read = one_by_one(sites, alone)
    fit = one_by_one(list(read.done), lambda site: require_schema(read.done[site].changes, table, site))
    return Isolated(done={site: read.done[site] for site in fit.done}, failed={**read.failed, **fit.failed})


def _whole(
    batches: Sequence[pl.DataFrame], kept: Mapping[str, pl.DataType], table: Table, after: Any, until: datetime
) -> pl.DataFrame:
    """Return a site's batches as one, with CURSOR, without rows that are before or beyond what was asked for."""
    rows = as_one(batches, kept)
    if not rows.columns:
        rows = pl.DataFrame(schema={name: type_named(kind) for name, kind in table.columns.items()})
    if not table.cursor:
        return rows
    rows = rows.with_columns(typed_values(rows, table.cursor, table).alias(CURSOR))
    return rows.filter(within(pl.col(CURSOR), rows.schema[CURSOR], after, until) | pl.col(CURSOR).is_null())


def _require_rows(
    read: Isolated[Delivered], table: Table, known: Mapping[str, _Known], until: datetime
) -> Isolated[Delivered]:
    """Return what was read; a site of which neither source nor lake has a row has failed."""
    empty = {
        site: SourceError(
            f"site {site}, table {table.name}: the source has no rows before {until:%Y-%m-%d}; "
            "check the site's name and the as-of date"
        )
        for site, delivered in read.done.items()
        if known[site].rows == 0 and delivered.rows.is_empty()
    }
    return Isolated(
        done={site: delivered for site, delivered in read.done.items() if site not in empty},
        failed={**read.failed, **empty},
    )


def _known(lake: Lake, table: Table, name: str, sites: Sequence[str]) -> dict[str, _Known]:
    versions = lake.site_versions(name, sites)
    states: dict[str, _Known] = {}
    if lake.has(name):
        rows = stored_raw_rows(lake, table, sites)
        delivered = pl.col(MENDS).is_null() if MENDS in rows.collect_schema() else pl.lit(True)
        cursor = _stored_cursor(rows.collect_schema(), table).filter(delivered).max() if table.cursor else pl.lit(None)
        per_site = rows.group_by(SITE).agg(cursor=cursor, load=pl.col(LOAD).max(), rows=pl.len())
        for row in per_site.collect().iter_rows(named=True):
            site = row.pop(SITE)
            states[site] = _Known(version=versions[site], **row)
    return {site: states.get(site, _Known(version=versions[site])) for site in sites}


def _stored_cursor(schema: Mapping[str, pl.DataType], table: Table) -> pl.Expr:
    """Return the cursor of stored raw rows as it is declared now; of rows from before it was kept it is read anew."""
    typed = typed_column(schema, table.cursor, table)
    return pl.col(CURSOR) if schema.get(CURSOR) == type_named(table.columns[table.cursor]) else typed.alias(CURSOR)


def _new_rows(
    lake: Lake, table: Table, read: Mapping[str, pl.DataFrame], known: Mapping[str, _Known]
) -> Mapping[str, pl.DataFrame]:
    """Return the sites' rows that the lake does not have, with the columns that number loads and rows."""
    delivered = {site: rows for site, rows in read.items() if len(rows)}
    if not delivered:
        return {site: pl.DataFrame() for site in read}
    name = f"raw/{table.name}"
    kept = lake.scan(name).collect_schema() if lake.has(name) else {}
    rows = as_one([rows.with_columns(pl.lit(site).alias(SITE)) for site, rows in delivered.items()], kept)
    before = {site: known[site] for site in delivered if known[site].rows}
    if before:
        rows = _unknown(rows, _old_rows(lake, table, before), table)
    loads = pl.DataFrame(
        {SITE: list(delivered), LOAD: [known[site].load + 1 for site in delivered]}, {SITE: pl.String, LOAD: pl.Int64}
    )
    numbered = rows.join(loads, on=SITE, maintain_order="left").with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).over(SITE).alias(ROW)
    )
    by_site = numbered.partition_by(SITE, as_dict=True, maintain_order=True)
    return {site: by_site.get((site,), pl.DataFrame()) for site in read}


def _old_rows(lake: Lake, table: Table, known: Mapping[str, _Known]) -> pl.DataFrame:
    """Return the rows of some sites that the lake has from each one's cursor on, in the order they came."""
    old = stored_raw_rows(lake, table, list(known))
    schema = old.collect_schema()
    cursors = {site: _just_before(state.cursor) for site, state in known.items() if state.cursor is not None}
    if table.cursor and len(cursors) == len(known):
        if schema.get(CURSOR) != type_named(table.columns[table.cursor]):
            old = old.with_columns(_stored_cursor(schema, table))
        unread = pl.col(CURSOR).is_null()
        bounds = pl.LazyFrame({SITE: list(cursors), "_from": list(cursors.values())})
        old = old.filter((pl.col(CURSOR) >= min(cursors.values())) | unread).join(bounds, on=SITE)
        old = old.filter((pl.col(CURSOR) >= pl.col("_from")) | unread).drop("_from")
    delivered = old.filter(pl.col(MENDS).is_null()) if MENDS in schema else old  # what a person corrected did not come
    return delivered.sort(SITE, LOAD, ROW).collect()


def _unknown(rows: pl.DataFrame, old: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return the rows the lake does not have, and those whose correction was taken back.

    A row whose correction was taken back is in the lake, but is not the newest of its key there. Rows are told apart by
    all that is declared, and by why they wait: of equal ones the lake is to have as many as were delivered. A column
    that is not declared makes no row another: some change with every export.
    """
    content = sorted(({*rows.columns, *old.columns} & {*_stored(table)}) - (BOOKKEEPING - {SITE, UNPARSED, SCHEMA}))
    key, place = list(dict.fromkeys([SITE, *table.key])), "_place"
    delivered = identified(rows, content, _types(rows, old)).with_row_index(place)
    stored = identified(old, content, _types(rows, old))
    newest = stored.unique(key, keep="last", maintain_order=True)
    never = delivered.join(stored, on=[*IDENTITY, COPY], how="anti")
    last = delivered.unique(key, keep="last", maintain_order=True)
    changed = last.join(newest, on=list(IDENTITY), how="anti").join(newest, on=key, how="semi", nulls_equal=True)
    return pl.concat([never, changed]).unique(place).sort(place).drop(place, *IDENTITY, COPY)


def _types(rows: pl.DataFrame, old: pl.DataFrame) -> dict[str, pl.DataType]:
    return {**rows.schema, **old.schema}


def _just_before(cursor: Any) -> Any:
    """Return a millisecond before a moment.

    The lake's file statistics are cut to milliseconds: a file whose greatest moment lies between two of them would be
    skipped as too old.
    """
    return cursor - timedelta(milliseconds=1) if isinstance(cursor, datetime) else cursor

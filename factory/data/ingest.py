"""Ingestion: source rows in, the lake's raw table out, exactly as they came and each once.

Nothing is typed here but cursor and key. How much of a site is read again the table's `changes` say
(factory/line/changes.py): all of it, its newest days, what changed, or what came since the largest cursor that the lake
has. What was read is compared with what the lake has of it (factory/data/comparison.py): a repeated run adds nothing, a
row that was corrected comes in as a new version of its key, and one that is gone is named in `withdrawn/<table>`. A
file that did not change is not read again. A site of which the source counts another number of rows than stand in the
lake is read whole.

All batches of a site are read before its first row is written. What is withdrawn is written first, then raw rows: they
decide how much is read again, so after a run that died between the two as much is. A source that is `Pooled` is read
once for all sites; where that fails, each site is read alone, so that only those at fault fail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.connectors.source import Acknowledged, Counted, Pooled, Source
from factory.data.comparison import NO_FLAGS, Difference, Extent, differences
from factory.data.content import COPY, IDENTITY, identified, with_surrogate_key
from factory.data.contract.typing import typed_rows, typed_values
from factory.data.extents import Known, Reading, Seen, as_cursor, known_rows
from factory.data.raw_rows import corrections_of, delivered_raw_rows, stored_columns, stored_cursor, version_flags
from factory.data.schema_changes import SchemaChange, SchemaWatch, require_schema
from factory.data.versions import withdrawn_table
from factory.errors import SourceError
from factory.line.announced import FAR, Announced, aware
from factory.line.line import Table
from factory.line.parsing.moments import within_or_unread
from factory.names import LINE_SITE, checked_name
from factory.storage.columns import BOOKKEEPING, CURSOR, LINE, LOAD, ROW, UNPARSED, type_named
from factory.storage.journal import utc_now
from factory.storage.lake import SITE, Lake
from factory.storage.raw_values import TEXT
from factory.storage.raw_values import together as as_one

Result = TypeVar("Result")
WHY_GONE = "the source has it no more"


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """How many rows a site has in the raw table, how many this load brought, and how many it found gone."""

    rows: int
    new_rows: int = 0
    withdrawn: int = 0
    delivered: int | None = None
    """How many rows the source gave, known ones among them; None where nothing was read."""
    changes: tuple[SchemaChange, ...] | None = None
    """How the columns that came differ from those declared; None where nothing was read."""
    seen: Seen = field(default_factory=Seen)
    """What the next load is to be given."""
    remark: str = ""
    """Why the site was read whole, in a sentence; empty where it was read as its table says."""


def ingest(
    lake: Lake,
    source: Source,
    table: Table,
    sites: Sequence[str],
    until: datetime,
    *,
    from_start: bool = False,
    seen: Mapping[str, Seen] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Isolated[Ingested]:
    """Bring the sites' new rows before `until` into `raw/<table>`, and name those that are gone in `withdrawn/<table>`.

    `from_start` reads each source from its first row, whatever the table's `changes` say. `seen` is what earlier loads
    gave back, by site.

    A site is left as it was whose source fails, or has other columns and the line's file says that this stops it, and
    so is one of which more rows are gone than its table allows. Shared tables have the one site LINE_SITE. A site's
    error is in the result; it is not raised.
    """
    before, now = {site: (seen or {}).get(site, Seen()) for site in sites}, clock()
    counts = source.counts(table.delivered, until) if isinstance(source, Counted) and not from_start else None
    reading = Reading.of(source, table, until, can_count=counts is not None, from_start=from_start)
    known = known_rows(lake, table, sites, now)
    extents = {site: reading.extent(known[site], before[site]) for site in sites}
    idle = {site: Ingested(rows=known[site].rows, seen=before[site]) for site in sites if extents[site] is None}
    load = _Load(
        lake=lake, source=source, table=table, reading=reading, known=known, seen=before, counts=counts, now=now
    )
    loaded = load.of({site: extent for site, extent in extents.items() if extent is not None})
    return Isolated(done={**idle, **loaded.done}, failed=loaded.failed)


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What a source gave of one site: its raw rows with CURSOR, and how their columns differ from the declared ones."""

    rows: pl.DataFrame
    changes: tuple[SchemaChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Load:
    """One load of a table: what is read is compared with the lake, and the difference written."""

    lake: Lake
    source: Source
    table: Table
    reading: Reading
    known: Mapping[str, Known]
    seen: Mapping[str, Seen]
    counts: Mapping[str, int] | None
    """How many rows the source has of each site; None where that is not asked or not known."""
    now: datetime

    def of(self, extents: Mapping[str, Extent], remarks: Mapping[str, str] | None = None) -> Isolated[Ingested]:
        """Load extents of sites; where the source's count tells that something was missed, the whole site."""
        read = self._require_rows(self._read(extents))
        compared = together(list(read.done), lambda group: self._compared(_of(group, read.done), extents))
        reasons = {site: self._missed(site, extents[site], difference) for site, difference in compared.done.items()}
        missed = {site: reason for site, reason in reasons.items() if reason}
        complete = [site for site in compared.done if site not in missed]
        fit = one_by_one(complete, lambda site: self._require_share(site, extents[site], compared.done[site]))
        written = together(
            list(fit.done),
            lambda group: self._write(_of(group, fit.done), extents, _of(group, read.done), remarks or {}),
        )
        whole = self.of(dict.fromkeys(missed, Extent()), missed) if missed else Isolated[Ingested]()
        failed = {**read.failed, **compared.failed, **fit.failed, **written.failed, **whole.failed}
        return Isolated(done={**written.done, **whole.done}, failed=failed)

    def _read(self, extents: Mapping[str, Extent]) -> Isolated[Delivered]:
        """Return each site's raw rows from its cursor on, and those that changed."""
        table, until = self.table, self.reading.until
        changed = {site: extent.change for site, extent in extents.items() if extent.change is not None}
        by_cursor = table.cursor not in ("", table.changes.column)
        after = {site: extent.start for site, extent in extents.items() if by_cursor or site not in changed}
        read = _read(self.source, table, after, until, self._kept)
        if not changed:
            return read
        other = _read(self.source, replace(table, cursor=table.changes.column), changed, FAR, self._kept)
        failed = {**read.failed, **other.failed}
        done = {
            site: _union(read.done.get(site), other.done.get(site), table, until)
            for site in extents
            if site not in failed
        }
        return Isolated(done=done, failed=failed)

    @property
    def _kept(self) -> Mapping[str, pl.DataType]:
        """The columns of the raw table as the lake has them."""
        name = f"raw/{self.table.name}"
        return self.lake.scan(name).collect_schema() if self.lake.has(name) else {}

    def _require_rows(self, read: Isolated[Delivered]) -> Isolated[Delivered]:
        """Return what was read; a site of which neither source nor lake has a row has failed."""
        empty = {
            site: SourceError(
                f"site {site}, table {self.table.name}: the source has no rows before {self.reading.until:%Y-%m-%d}; "
                "check the site's name and the as-of date"
            )
            for site, delivered in read.done.items()
            if self.known[site].rows == 0 and delivered.rows.is_empty()
        }
        complete = [site for site in read.done if site not in empty]
        return Isolated(done=_of(complete, read.done), failed={**read.failed, **empty})

    def _compared(self, read: Mapping[str, Delivered], extents: Mapping[str, Extent]) -> Mapping[str, Difference]:
        """Return how what was read of each site differs from what the lake has of it."""
        parts = [delivered.rows.with_columns(pl.lit(site).alias(SITE)) for site, delivered in read.items()]
        rows = as_one(parts, self._kept)
        before = [site for site in read if self.known[site].rows]
        stored = self._stored(before, extents) if before else _with_place(rows.clear(), 0)
        if stored.is_empty() and self.counts is None:
            by_site = rows.partition_by(SITE, as_dict=True, maintain_order=True)
            return {site: Difference(new=by_site.get((site,), rows.clear())) for site in read}
        flags = version_flags(self.lake, self.table, before, self.reading.until) if before else NO_FLAGS
        return differences(rows, stored, flags, self.table, {site: extents[site] for site in read}, self.reading.until)

    def _stored(self, sites: Sequence[str], extents: Mapping[str, Extent]) -> pl.DataFrame:
        """Return the rows that the lake has of what was read, in the order they came.

        A row that is read because it changed may have been anywhere: all rows are looked through for its key.
        """
        stored = delivered_raw_rows(self.lake, self.table, sites)
        schema = stored.collect_schema()
        if self.table.cursor:
            if schema.get(CURSOR) != type_named(self.table.columns[self.table.cursor]):
                stored = stored.with_columns(stored_cursor(schema, self.table))
            starts = {site: _just_before(extents[site].start) for site in sites if extents[site].change is None}
            if len(starts) == len(sites) and all(start is not None for start in starts.values()):
                unread = pl.col(CURSOR).is_null()
                bounds = pl.LazyFrame({SITE: list(starts), "_from": list(starts.values())})
                stored = stored.filter((pl.col(CURSOR) >= min(starts.values())) | unread).join(bounds, on=SITE)
                stored = stored.filter((pl.col(CURSOR) >= pl.col("_from")) | unread).drop("_from")
        return stored.sort(SITE, LOAD, ROW).collect()

    def _missed(self, site: str, extent: Extent, difference: Difference) -> str:
        """Return how the source's count tells that more changed than was read; empty where it does not."""
        if self.counts is None or extent.is_whole:
            return ""
        counted, surplus = self.counts.get(site, 0), self.seen[site].surplus
        if counted - surplus == difference.standing:
            return ""
        return (
            f"site {site}, table {self.table.name}: the source has {counted:,} rows before "
            f"{self.reading.until:%Y-%m-%d} where the lake would have {difference.standing + surplus:,}: rows came "
            "late, or were deleted; all were read"
        )

    def _require_share(self, site: str, extent: Extent, difference: Difference) -> Difference:
        """Return a difference; raises SourceError where more rows are gone at once than the table allows."""
        share, is_window = self.table.changes.max_withdrawn_share, self.reading.way == "count" and not extent.is_whole
        replaced = 0 if self.table.key else len(difference.new)
        gone = len(difference.gone) - replaced
        if is_window or gone <= share * difference.searched:
            return difference
        raise SourceError(
            f"site {site}, table {self.table.name}: {gone:,} of the {difference.searched:,} rows that the lake has are "
            f"gone from the source at once, more than the share {share:g} that is taken for deleted; nothing was "
            "written. Bring a whole export; where the rows are really gone, raise `changes: {max_withdrawn_share: …}` "
            f"of the table {self.table.name} in the line's file, up to 1.0, for that run"
        )

    def _write(
        self,
        differing: Mapping[str, Difference],
        extents: Mapping[str, Extent],
        read: Mapping[str, Delivered],
        remarks: Mapping[str, str],
    ) -> Mapping[str, Ingested]:
        """Write what is gone of the sites in one commit and their new rows in another; return what was done."""
        new = {site: _with_place(one.new, self.known[site].load + 1) for site, one in differing.items() if len(one.new)}
        gone = {site: one.gone for site, one in differing.items() if len(one.gone)}
        if gone:
            versions = {site: self.known[site].withdrawn_version for site in gone}
            when = pl.lit(self.now, pl.Datetime("us", "UTC")).alias("when")
            places = pl.concat(gone.values())
            places = pl.concat([places, corrections_of(self.lake, self.table, places)])
            rows = places.with_columns(when, pl.lit(WHY_GONE).alias("why"))
            self.lake.append(withdrawn_table(self.table), rows, versions)
        if new:
            versions = {site: self.known[site].version for site in new}
            self.lake.append(f"raw/{self.table.name}", pl.concat(new.values()), versions, widen=True)
        self._acknowledge(read)
        return {
            site: Ingested(
                rows=self.known[site].rows + len(one.new),
                new_rows=len(one.new),
                withdrawn=len(one.gone),
                delivered=len(read[site].rows),
                changes=read[site].changes,
                seen=self._seen(site, extents[site], one),
                remark=remarks.get(site, ""),
            )
            for site, one in differing.items()
        }

    def _acknowledge(self, read: Mapping[str, Delivered]) -> None:
        """Tell a source that keeps its rows until they are in the lake that those are which were read."""
        lines = [delivered.rows[LINE] for delivered in read.values() if LINE in delivered.rows.columns]
        if lines and isinstance(self.source, Acknowledged):
            self.source.acknowledge(self.table.delivered, pl.concat(lines))

    def _seen(self, site: str, extent: Extent, difference: Difference) -> Seen:
        """Return what to remember of a site that was written."""
        state = self.known[site]
        written = replace(
            state,
            version=state.version + (len(difference.new) > 0),
            withdrawn_version=state.withdrawn_version + (len(difference.gone) > 0),
        )
        surplus = self.seen[site].surplus
        if self.counts is not None and extent.is_whole:
            surplus = self.counts.get(site, 0) - difference.standing
        return self.reading.seen(written, surplus)


def announced_rows(
    source: Source, table: Table, announced: Announced, sites: Sequence[str], until: datetime
) -> Isolated[pl.DataFrame]:
    """Return the sites' rows that are announced before `until` and happen at that moment or later, as raw rows.

    What is not known of a row when it is announced is null, whatever the source says. A site may have none.
    """
    after = dict.fromkeys(sites, as_cursor(table, until))
    read = _read(source, table, after, announced.before(until))

    def known(site: str) -> pl.DataFrame:
        delivered = read.done[site].rows
        delivered = delivered.select(name for name in stored_columns(table) if name in delivered.columns)
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
    return _with_place(rows.with_columns(pl.lit(site).alias(SITE)), 1)


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
        watch = SchemaWatch(table.delivered, kept or {})
        for site, batch in pooled.read_sites(table.delivered, after={site: after[site] for site in group}, until=until):
            batches[site].append(watch.take(batch, site))
        return {site: of(site, batches[site], watch) for site in group}

    def alone(site: str) -> Delivered:
        if site != LINE_SITE:
            checked_name(site)
        watch = SchemaWatch(table.delivered, kept or {})
        batches = source.read(table.delivered, site=None if site == LINE_SITE else site, after=after[site], until=until)
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
    return _dated(with_surrogate_key(rows, table), table, after, until)


def _with_place(rows: pl.DataFrame, load: int) -> pl.DataFrame:
    """Return a site's rows as those of a load, numbered in their order."""
    return rows.with_columns(pl.lit(load, pl.Int64).alias(LOAD), pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW))


def _of(group: Sequence[str], results: Mapping[str, Result]) -> dict[str, Result]:
    return {site: results[site] for site in group}


def _union(by_cursor: Delivered | None, changed: Delivered | None, table: Table, until: datetime) -> Delivered:
    """Return what two reads of a site gave, rows that are in both once, with CURSOR; none from `until` on."""
    read = [one for one in (by_cursor, changed) if one is not None]
    changes = tuple(dict.fromkeys(change for one in read for change in one.changes))
    parts = [_dated(one.rows, table, None, until) for one in read]
    rows = as_one(parts)
    if len(parts) > 1:
        content = sorted({*rows.columns} - (BOOKKEEPING - {UNPARSED}))
        first, second = (identified(as_one([part], rows.schema), content, rows.schema) for part in parts)
        other = second.join(first, on=[*IDENTITY, COPY], how="anti")
        rows = pl.concat([first, other], how="diagonal").drop(*IDENTITY, COPY)
    return Delivered(rows=rows, changes=changes)


def _dated(rows: pl.DataFrame, table: Table, after: Any, until: datetime) -> pl.DataFrame:
    """Return raw rows from a cursor on and before a moment, with their cursor as CURSOR, whatever they were read by."""
    if not table.cursor:
        return rows.drop(CURSOR, strict=False)
    dated = rows.with_columns(typed_values(rows, table.cursor, table).alias(CURSOR))
    return dated.filter(within_or_unread(dated[CURSOR], after, until))


def _just_before(cursor: Any) -> Any:
    """Return a millisecond before a moment.

    The lake's file statistics are cut to milliseconds: a file whose greatest moment lies between two of them would be
    skipped as too old.
    """
    return cursor - timedelta(milliseconds=1) if isinstance(cursor, datetime) else cursor

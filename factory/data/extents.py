"""How much of each site's source is read again: what the lake has of a site and how changes are known in, extents out.

What was read is compared with the lake; what was not is taken for unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from factory.connectors.source import Source, Versioned
from factory.data.comparison import Extent
from factory.data.contract.typing import typed_column
from factory.data.raw_rows import stored_cursor, stored_raw_rows
from factory.data.versions import withdrawn_table
from factory.line.announced import aware
from factory.line.line import Table
from factory.storage.columns import LOAD, MENDS, type_named
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE, Lake


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a load remembers of a site's source: what is still the same need not be read again."""

    mark: str = ""
    """Of a file that was compared whole: the file, the table's declaration, and the lake then; else empty."""
    until: str = ""
    """The moment before which it was, ISO."""
    surplus: int = 0
    """How many rows more the source has than stand in the lake, as where it gives keys twice."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the lake already has of one site."""

    cursor: Any = None
    """The largest cursor that is not later than now: a clock that is ahead must not hide what comes after it."""
    change: Any = None
    """The largest value of the change column, likewise."""
    load: int = 0
    rows: int = 0
    version: int = 0
    withdrawn_version: int = 0


def known_rows(lake: Lake, table: Table, sites: Sequence[str], now: datetime) -> dict[str, Known]:
    """Return what the lake has of each site."""
    name = f"raw/{table.name}"
    versions, withdrawn = lake.site_versions(name, sites), lake.site_versions(withdrawn_table(table), sites)
    blank = {site: {"version": versions[site], "withdrawn_version": withdrawn[site]} for site in sites}
    if not lake.has(name):
        return {site: Known(**blank[site]) for site in sites}
    rows = stored_raw_rows(lake, table, sites)
    schema = rows.collect_schema()
    came = pl.col(MENDS).is_null() if MENDS in schema else pl.lit(True)
    cursor = stored_cursor(schema, table) if table.cursor else pl.lit(None)
    change = typed_column(schema, table.changes.column, table) if table.changes.column else pl.lit(None)
    per_site = rows.group_by(SITE).agg(
        cursor=_largest(cursor, table, table.cursor, came, now),
        change=_largest(change, table, table.changes.column, came, now),
        load=pl.col(LOAD).max(),
        rows=pl.len(),
    )
    states = {row.pop(SITE): row for row in per_site.collect().iter_rows(named=True)}
    return {site: Known(**blank[site], **states.get(site, {})) for site in sites}


def _largest(values: pl.Expr, table: Table, column: str, wanted: pl.Expr, now: datetime) -> pl.Expr:
    """Return a column's largest value, of wanted rows, that is not later than now; null without a column."""
    if not column:
        return pl.lit(None)
    limit = _as_value(table.columns[column], now)
    sane = pl.lit(True) if limit is None else values <= pl.lit(limit, type_named(table.columns[column]))
    return values.filter(wanted & sane).max()


def as_cursor(table: Table, moment: datetime) -> datetime | date | None:
    """Return a moment as a value of the table's cursor; None where that tells no time."""
    return _as_value(table.columns[table.cursor], moment) if table.cursor else None


def _as_value(kind: str, moment: datetime) -> datetime | date | None:
    dtype = type_named(kind)
    if not isinstance(dtype, pl.Datetime):
        return aware(moment).astimezone(UTC).date() if dtype == pl.Date else None
    return aware(moment) if dtype.time_zone else aware(moment).astimezone(UTC).replace(tzinfo=None)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What decides how much of a table is read again in one load."""

    table: Table
    until: datetime
    version: str | None
    """The state of a source that always reads all of a table; None where it can read a part of it."""
    can_count: bool
    """Whether the source tells cheaply how many rows it has."""
    from_start: bool
    """Whether everything is read, whatever the table's `changes` say."""

    @classmethod
    def of(cls, source: Source, table: Table, until: datetime, *, can_count: bool, from_start: bool) -> "Reading":
        """Return how a table is read; the source's state is taken before its first row is."""
        version = source.version(table.delivered) if isinstance(source, Versioned) else None
        return cls(table=table, until=until, version=version, can_count=can_count, from_start=from_start)

    @property
    def is_rolling(self) -> bool:
        """Whether rows older than the first that is read are taken for still there."""
        return self.table.changes.rolling or (not self.table.changes.known_by and bool(self.table.cursor))

    @property
    def way(self) -> str:
        """How changes are known: as the table says, or else as the source can."""
        if self.table.changes.known_by:
            return self.table.changes.known_by
        if self.version is not None or not self.table.cursor:
            return "whole"
        return "count" if self.can_count else "append"

    def mark(self, state: Known) -> str:
        """Return what stays the same as long as a file and a site's rows in the lake do; empty where none can tell."""
        if not self.version or self.way != "whole":
            return ""
        table = self.table
        declared = [
            dict(table.columns),
            table.key,
            table.surrogate_key,
            table.cursor,
            table.site_column,
            table.changes,
            table.schema_changes,
        ]
        said = [str(one) for one in (*declared, table.parse, table.site_names)]
        return fingerprint(self.version, said, state.version, state.withdrawn_version)

    def extent(self, state: Known, seen: Seen) -> Extent | None:
        """Return how much of a site is read; None where nothing can have changed."""
        adds_only = self.way in ("append", "change_column", "change_log")
        if self.from_start or not state.rows:
            return Extent(withdraws=not adds_only, rolling=self.is_rolling)
        if self.way == "whole":
            return self._of_file(state, seen)
        start, change = state.cursor, state.change
        if start is not None and self.way == "look_back":
            start -= timedelta(days=self.table.changes.days)
        if self.table.changes.column and change is None:
            start = None  # no row tells of a change yet, and so any may be another
        if isinstance(change, date):
            change -= timedelta(hours=self.table.changes.overlap_hours)
        return Extent(start=start, change=change, withdraws=not adds_only)

    def _of_file(self, state: Known, seen: Seen) -> Extent | None:
        """Return the extent of a table that is compared whole: of an unchanged file, only what came before `until`."""
        if not seen.mark or seen.mark != self.mark(state):
            return Extent(rolling=self.is_rolling)
        before = as_cursor(self.table, datetime.fromisoformat(seen.until))
        if before is None or aware(self.until) <= aware(datetime.fromisoformat(seen.until)):
            return None
        return Extent(start=before, rolling=self.is_rolling)

    def seen(self, state: Known, surplus: int) -> Seen:
        """Return what to remember of a site that was read, and is in the lake, as `state` says."""
        mark = self.mark(state)
        return Seen(mark=mark, until=f"{self.until.isoformat()}" if mark else "", surplus=surplus)

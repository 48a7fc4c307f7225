"""Tables made of other tables' rows: a calendar's decisions, and sites that another table knows.

In: a line's source and its tables. Out: a source for one of them, so that what is made goes the way of all rows: raw,
contract, clean, with its account.

Both look at the things as the source has them now, whatever moment is asked about: when a thing came to be, its own
columns say. A thing that moves to another site takes its rows with it. Decisions are compared whole, so that those of
the old site are withdrawn; rows of a table are where it is compared whole or counted (`changes`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from factory.connectors.source import Source
from factory.errors import SourceError
from factory.line.announced import FAR, aware
from factory.line.calendar import DUE_AT, Calendar
from factory.line.line import Line, Table
from factory.line.parsing import read
from factory.line.site_names import UNKNOWN, SiteNames
from factory.storage.columns import type_named
from factory.storage.journal import fingerprint
from factory.storage.raw_values import text_of

BATCH_ROWS = 200_000
_MOMENT = pl.Datetime("us", "UTC")
_FROM, _UNTIL = "_from", "_until"
_VALUE = "_site_value"


@dataclass(frozen=True, kw_only=True)
class ListedSites(SiteNames):
    """Sites of the keys that a table of things lists; a key that it does not list is of no known site."""

    def spelling(self, value: str | None) -> str | None:
        """Return the site of a key; None where it is not known."""
        return None if value is None else self.mapping.get(value)

    def site(self, value: str | None) -> str:
        """Return the site of a key."""
        return self.spelling(value) or UNKNOWN


def sited(source: Source, line: Line, table: Table) -> Table:
    """Return a table whose site another one knows with the sites of its keys, as the source has them now."""
    through = table.site_through
    if through is None:
        return table
    other = line.tables[through.through]
    rows = _newest_rows(source, other, [other.key[0], through.column])
    rules = replace(other, site_column=through.column)
    keys, values = text_of(rows[other.key[0]]), text_of(rows[through.column])
    sites = {key: rules.site_of(value) for key, value in zip(keys, values, strict=True) if key is not None}
    return replace(table, site_names=ListedSites(mapping=sites))


class CalendarSource:
    """The decisions of a calendar, as a `Source` gives rows: each thing in service at each moment."""

    def __init__(self, source: Source, line: Line, calendar: Calendar) -> None:
        self._source, self._calendar = source, calendar
        self._of = line.tables[calendar.of]
        self._on = line.tables[calendar.on] if calendar.on else None

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sites that have decisions before `until`."""
        return sorted(self.newest(table, until))

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return the moment of each site's newest decision before `until`; keeps `Dated`."""
        newest: dict[str, Any] = {}
        for value, moment in self._newest_of_values(table, until).iter_rows():
            site = table.site_of(value)
            newest[site] = max(moment, newest.get(site, moment))
        return newest

    def version(self, table: Table) -> str:
        """Return what changes when the decisions may; empty where events decide. Keeps `Versioned`."""
        if self._on is not None:
            return ""
        things = self._things(table)
        return fingerprint(str(self._calendar), str(table.site_names), things.sort(things.columns).rows())

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield one site's decisions with `after` <= moment < `until`, in their order."""
        yield from (rows for _, rows in self._read(table, None if site is None else {site: after}, after, until))

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield decisions of sites, each with its site, from one pass; keeps `Pooled`."""
        starts = [start for start in after.values() if start is not None]
        first = min(starts) if starts and len(starts) == len(after) else None
        yield from self._read(table, after, first, until)

    def _read(
        self, table: Table, wanted: Mapping[str, Any | None] | None, first: Any | None, until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        things = self._things(table)
        sites = {value: table.site_of(value) for value in things[_VALUE].unique()}
        named = things.with_columns(pl.Series(_VALUE, [sites[value] for value in things[_VALUE]], pl.String))
        if wanted is not None:
            named = named.filter(pl.col(_VALUE).is_in(list(wanted)))
        for rows in self._decisions(table, named, None if first is None else aware(first), aware(until)):
            for (site,), part in rows.group_by(_VALUE, maintain_order=True):
                start = (wanted or {}).get(str(site))
                kept = part if start is None else part.filter(pl.col(DUE_AT) >= pl.lit(aware(start), _MOMENT))
                if len(kept):
                    yield str(site), kept.select(list(table.columns))

    def _decisions(
        self, table: Table, things: pl.DataFrame, first: datetime | None, until: datetime
    ) -> Iterator[pl.DataFrame]:
        """Yield things with moments, in batches of bounded size, those of a later moment later."""
        in_service = pl.col(DUE_AT) >= pl.col(_FROM).fill_null(pl.col(DUE_AT))
        in_service &= pl.col(DUE_AT) < pl.col(_UNTIL).fill_null(pl.lit(aware(FAR), _MOMENT))
        if self._on is not None:
            events = self._events().filter(pl.col(DUE_AT) < pl.lit(until, _MOMENT))
            events = events if first is None else events.filter(pl.col(DUE_AT) >= pl.lit(first, _MOMENT))
            rows = events.join(things, on=list(self._of.key), how="inner").filter(in_service)
            yield rows.sort(DUE_AT, *table.key)
            return
        moments = self._moments(things, first, until)
        step = max(1, BATCH_ROWS // max(1, len(things)))
        for start in range(0, len(moments), step):
            some = pl.DataFrame({DUE_AT: pl.Series(moments[start : start + step], dtype=_MOMENT)})
            yield things.join(some, how="cross").filter(in_service).sort(DUE_AT, *table.key)

    def _moments(self, things: pl.DataFrame, first: datetime | None, until: datetime) -> list[datetime]:
        """Return the calendar's moments from the first on that any of the things is in service at."""
        if things.is_empty():
            return []
        earliest: Any = things[_FROM].min()
        if first is None and (things[_FROM].null_count() or earliest is None):
            if not self._calendar.begins:
                raise SourceError(
                    f"table {self._of.name}: {self._calendar.since} is unknown of {things[_FROM].null_count()} of its "
                    "rows, and nobody says since when they are decided about; fill it in at the source, or say "
                    "`begins` in the calendar"
                )
            earliest = aware(datetime.min.replace(year=1970))
        return self._calendar.moments(first or earliest, until)

    def _newest_of_values(self, table: Table, until: datetime) -> pl.DataFrame:
        """Return each value of the site's column, and the moment of its newest decision before `until`."""
        things = self._things(table)
        if self._on is not None:
            rows = pl.concat(
                [
                    pl.DataFrame(schema={_VALUE: pl.String, DUE_AT: _MOMENT}),
                    *(batch.select(_VALUE, DUE_AT) for batch in self._decisions(table, things, None, aware(until))),
                ]
            )
            return rows.group_by(_VALUE).agg(pl.col(DUE_AT).max())
        limit = pl.lit(aware(until), _MOMENT)
        dated = things.with_columns(
            pl.min_horizontal(pl.col(_UNTIL).fill_null(limit), limit).dt.offset_by("-1us").alias("_last")
        )
        moments = pl.DataFrame({DUE_AT: pl.Series(self._moments(things, None, aware(until)), dtype=_MOMENT)})
        last = dated.sort("_last").join_asof(moments.sort(DUE_AT), left_on="_last", right_on=DUE_AT)
        decided = last.filter(pl.col(DUE_AT) >= pl.col(_FROM).fill_null(pl.col(DUE_AT)))
        return decided.group_by(_VALUE).agg(pl.col(DUE_AT).max())

    def _things(self, table: Table) -> pl.DataFrame:
        """Return the things: key, site column and its text, and between which moments each is in service."""
        of, calendar, site = self._of, self._calendar, table.site_column or ""
        dated = {_FROM: calendar.since, _UNTIL: calendar.until}
        rows = _newest_rows(self._source, of, [*of.key, site, *filter(None, dated.values())])
        moments = [
            _in_utc(pl.col(column), rows.schema[column]).alias(name) if column else pl.lit(None, _MOMENT).alias(name)
            for name, column in dated.items()
        ]
        value = text_of(rows[site]).alias(_VALUE)
        kept = list(dict.fromkeys([*of.key, site]))
        return rows.select(*kept, *moments).with_columns(value, value.alias(site)).drop_nulls(list(of.key))

    def _events(self) -> pl.DataFrame:
        """Return the key of the thing and the moment of the decision, of each event once."""
        assert self._on is not None  # noqa: S101
        rows = _typed(self._source, self._on, [*self._of.key, self._on.cursor])
        happened = _in_utc(pl.col(self._on.cursor), rows.schema[self._on.cursor]) + self._calendar.after_event
        return rows.select(*self._of.key, happened.alias(DUE_AT)).drop_nulls().unique(maintain_order=True)


def _in_utc(moments: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Return days and moments as moments in UTC; those without a zone are in it."""
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        return moments.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return moments.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _newest_rows(source: Source, table: Table, columns: list[str]) -> pl.DataFrame:
    """Return some columns of a table, typed, of the newest row of each key that its source has."""
    named = list(dict.fromkeys([*columns, *(table.changes.columns if table.changes.deleted else [])]))
    rows = _typed(source, table, named).unique(list(table.key), keep="last", maintain_order=True)
    if (deleted := table.changes.deleted) is not None:
        marked = text_of(rows[deleted.column])
        is_gone = marked.is_in(deleted.texts) if deleted.texts else marked.is_not_null()
        rows = rows.filter(~is_gone.fill_null(value=False))
    return rows.select(list(dict.fromkeys(columns)))


def _typed(source: Source, table: Table, columns: list[str]) -> pl.DataFrame:
    """Return some columns of all of a table's rows as their declared types, null where a value does not fit."""
    batches = source.read(table.delivered, site=None, after=None, until=FAR)
    wanted = list(dict.fromkeys(columns))
    parts = []
    for batch in batches:
        if missing := [name for name in wanted if name not in batch.columns]:
            raise SourceError(
                f"table {table.name}: the source gives no {', '.join(missing)}, of which decisions are made"
            )
        parts.append(pl.DataFrame([read(batch[name], name, table.columns[name], table.parse) for name in wanted]))
    if parts:
        return pl.concat(parts)
    return pl.DataFrame(schema={name: type_named(table.columns[name]) for name in wanted})

"""What a request could have had at a moment of the past: a snapshot's rows, cut to what was known before it.

Of each table: a row that had not happened is there with its announced columns if it was announced by then, and else not
at all; columns that become known at a moment of their own (`known_at`) are null until then. Such rows are made of raw
ones by the table's own repair, so that nothing is seen on which a later column has left its mark.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from factory.features.announced import Dated, told_apart
from factory.features.online.manifest import announced_name
from factory.features.windows import PENDING
from factory.line.announced import ANNOUNCED_AT, aware, in_utc
from factory.line.line import Line, Table
from factory.line.look_back import tells_time
from factory.line.split import DECIDED_AT
from factory.storage.columns import LOAD, ROW, SITE

_HAPPENS = "_happens"


class Past:
    """A snapshot's tables as they were known at moments; moments are what `decided_at` of the line's features holds."""

    def __init__(
        self,
        line: Line,
        snapshot: Mapping[str, pl.DataFrame],
        raw: Mapping[str, pl.LazyFrame],
        features: pl.LazyFrame,
        asked: pl.DataFrame,
    ) -> None:
        """Take a snapshot's tables, the lake's raw rows by table, and its feature rows; `asked` are to be built."""
        self.line = line
        self._by_time = isinstance(asked.schema[DECIDED_AT], pl.Datetime)
        self._plain = {
            name: rows for name, rows in snapshot.items() if name in line.tables and name != line.decision_table
        }
        self._cut: dict[str, _CutTable] = {}
        for table in line.tables.values():
            if table.announced or table.known_at or table.name == line.decision_table:
                rows = newest_versions(raw[table.name], table)
                keys = snapshot[table.name].lazy().select(_key(table, snapshot[table.name]))
                here = rows.join(keys, on=keys.collect_schema().names(), how="semi", nulls_equal=True)
                if table.name == line.decision_table:
                    by = [SITE, *line.features.key]
                    here = pl.concat([here, rows.join(asked.lazy().select(by), on=by, how="semi", nulls_equal=True)])
                self._cut[table.name] = _CutTable(
                    table,
                    self._timed(table, here.unique(maintain_order=True), features),
                    snapshot.get(announced_name(table.name)),
                )

    def tables(self, moment: Any) -> dict[str, pl.DataFrame]:
        """Return every table's clean rows as they were known at a moment."""
        at = self._comparable(moment)
        plain = {name: self._before(rows, self.line.tables[name], at) for name, rows in self._plain.items()}
        return {**plain, **{name: table.seen(at) for name, table in self._cut.items()}}

    def asked(self, rows: pl.DataFrame, moment: Any) -> pl.DataFrame:
        """Return the clean decision rows of some feature rows as a request has them at a moment."""
        by = [SITE, *self.line.features.key]
        return self._cut[self.line.decision_table].asked(rows.select(by), self._comparable(moment))

    def _comparable(self, moment: Any) -> Any:
        return aware(moment) if isinstance(moment, datetime) else moment

    def _before(self, rows: pl.DataFrame, table: Table, at: Any) -> pl.DataFrame:
        timed = self._by_time and tells_time(rows.lazy(), table.cursor)
        return rows.filter(in_utc(pl.col(table.cursor)) < pl.lit(at)) if timed else rows

    def _timed(self, table: Table, rows: pl.LazyFrame, features: pl.LazyFrame) -> pl.DataFrame:
        """Return raw rows with the moment at which each happens: its cursor, or else its decision by its own clock."""
        if self._by_time and tells_time(rows, table.cursor):
            return rows.with_columns(in_utc(pl.col(table.cursor)).alias(_HAPPENS)).collect()
        by = [SITE, *self.line.features.key]
        moments = features.select(*by, pl.col(DECIDED_AT).alias(_HAPPENS)).unique(by)
        if self._by_time:
            moments = moments.with_columns(in_utc(pl.col(_HAPPENS)))
        return rows.join(moments, on=by, how="left", nulls_equal=True).collect()


class _CutTable:
    """A table of which more is known of a row the later one looks."""

    def __init__(self, table: Table, raw: pl.DataFrame, coming: pl.DataFrame | None) -> None:
        self._table, self._coming, self._key = table, coming, list(dict.fromkeys([SITE, *table.key]))
        since = {name: _since(name) for name in table.known_at}
        moments = table.repair(raw.drop(_HAPPENS).lazy()).select(
            *self._key, *(in_utc(pl.col(name)).alias(alias) for name, alias in since.items())
        )
        dated = raw.lazy().join(moments, on=self._key, how="left", nulls_equal=True)
        announced = [table.announced.moment(table.cursor, raw.schema)] if table.announced else []
        self._rows = dated.with_columns(announced).collect()
        self._known_at = {column: since[name] for name, columns in table.known_at.items() for column in columns}

    def seen(self, at: Any) -> pl.DataFrame:
        """Return the clean rows that were known."""
        known = pl.col(_HAPPENS) < pl.lit(at)
        if self._table.announced:
            known |= pl.col(ANNOUNCED_AT) < pl.lit(at)
        rows = self._clean(self._rows.filter(known), at).drop([] if self._table.site_column else [SITE])
        if self._coming is None:
            return rows
        coming = self._coming.filter(pl.col(ANNOUNCED_AT) < pl.lit(at)).with_columns(pl.lit(True).alias(PENDING))
        return pl.concat([rows, coming.select(rows.columns)])

    def asked(self, keys: pl.DataFrame, at: Any) -> pl.DataFrame:
        """Return rows as they are asked; as they came where nothing says which of their columns are announced."""
        rows = self._rows.join(keys, on=keys.columns, how="semi", nulls_equal=True)
        return self._clean(rows, at, given=self._table.announced is None)

    def _clean(self, rows: pl.DataFrame, at: Any, *, given: bool = False) -> pl.DataFrame:
        happened = pl.lit(True) if given else pl.col(_HAPPENS) < pl.lit(at)
        raw = rows.select(SITE, *(self._known(name, happened, at) for name in self._table.columns if name != SITE))
        return told_apart(self._table, self._table.repair(raw.lazy()), raw, at).collect()

    def _known(self, column: str, happened: pl.Expr, at: Any) -> pl.Expr:
        """Return a column as far as it was known."""
        if self._table.announced and column in self._table.announced.columns:
            return pl.col(column)
        since = self._known_at.get(column)
        return pl.when(pl.col(since) < pl.lit(at) if since else happened).then(pl.col(column)).alias(column)


def newest_versions(raw: pl.LazyFrame, table: Dated) -> pl.LazyFrame:
    """Return the newest version of each of a table's raw rows, with SITE."""
    newest = raw.sort(LOAD, ROW).unique([SITE, *table.key], keep="last", maintain_order=True)
    return newest.select(list(dict.fromkeys([SITE, *table.columns])))


def _key(table: Table, rows: pl.DataFrame) -> list[str]:
    return [name for name in (SITE, *table.key) if name in rows.columns]


def _since(name: str) -> str:
    return f"_since_{name}"

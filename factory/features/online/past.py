"""What a request could have had at a moment of the past: a snapshot's rows, cut to what was known before it.

Of each table: a row that had not happened is there with its announced columns if it was announced by then, and else not
at all; columns that become known at a moment of their own (`known_at`, and of the decision table those that tell the
label) are null until then; of a row that was changed, where the table tells when, there is the version of that moment.
Such rows are made of raw ones by the table's own repair, so that nothing is seen on which a later column has left its
mark.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from factory.features.announced import Dated, told_apart
from factory.features.online.manifest import announced_name
from factory.features.windows import PENDING
from factory.line.announced import ANNOUNCED_AT, aware, in_utc
from factory.line.line import Line, Table
from factory.line.split import DECIDED_AT
from factory.storage.columns import LOAD, ROW, SITE

_MOMENT = pl.Datetime("us", "UTC")
_HAPPENS, _CHANGED, _LABEL_KNOWN = "_happens", "_changed", "_label_known"


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
        """Take a snapshot's tables, the lake's raw rows by table, and its feature rows; `asked` are to be built.

        Of a table that tells when its rows were changed the raw rows may have superseded versions, too.
        """
        self.line = line
        self.by_time = isinstance(asked.schema[DECIDED_AT], pl.Datetime)
        self._plain = {
            name: rows for name, rows in snapshot.items() if name in line.tables and name != line.decision_table
        }
        self._cut: dict[str, _CutTable] = {}
        for table in line.tables.values():
            if self._is_cut(table, snapshot[table.name], raw.get(table.name)):
                rows = (
                    versions(raw[table.name], table)
                    if tells_changes(table)
                    else newest_versions(raw[table.name], table)
                )
                keys = snapshot[table.name].lazy().select(_key(table, snapshot[table.name]))
                here = rows.join(keys, on=keys.collect_schema().names(), how="semi", nulls_equal=True)
                if table.name == line.decision_table:
                    by = [SITE, *line.features.key]
                    here = pl.concat([here, rows.join(asked.lazy().select(by), on=by, how="semi", nulls_equal=True)])
                timed = self._timed(table, here.unique(maintain_order=True), features)
                self._cut[table.name] = _CutTable(
                    table,
                    self._with_label_known(timed, features) if table.name == line.decision_table else timed,
                    snapshot.get(announced_name(table.name)),
                    outcome=line.label.columns if table.name == line.decision_table else (),
                )

    def _is_cut(self, table: Table, clean: pl.DataFrame, raw: pl.LazyFrame | None) -> bool:
        """Whether rows are made anew of raw ones: more is known of one the later one looks, or its time is no more."""
        if table.announced or table.known_at or table.name == self.line.decision_table or tells_changes(table):
            return True
        renamed = self.by_time and table.cursor not in clean.columns
        return renamed and raw is not None and _is_dated(raw, table.cursor)

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
        timed = self.by_time and _is_dated(rows.lazy(), table.cursor)
        return rows.filter(in_utc(pl.col(table.cursor)) < pl.lit(at)) if timed else rows

    def _timed(self, table: Table, rows: pl.LazyFrame, features: pl.LazyFrame) -> pl.DataFrame:
        """Return raw rows with the moment at which each happens: its cursor, or else its decision by its own clock.

        Rows of other tables that tell no time have none, and were always there.
        """
        if self.by_time and _is_dated(rows, table.cursor):
            return rows.with_columns(in_utc(pl.col(table.cursor)).alias(_HAPPENS)).collect()
        if table.name != self.line.decision_table:
            return rows.with_columns(pl.lit(None, _MOMENT if self.by_time else pl.Int64).alias(_HAPPENS)).collect()
        by = [SITE, *self.line.features.key]
        moments = features.select(*by, pl.col(DECIDED_AT).alias(_HAPPENS)).unique(by)
        if self.by_time:
            moments = moments.with_columns(in_utc(pl.col(_HAPPENS)))
        return rows.join(moments, on=by, how="left", nulls_equal=True).collect()

    def _with_label_known(self, rows: pl.DataFrame, features: pl.LazyFrame) -> pl.DataFrame:
        """Return decision rows with the moment at which the label of each is known; where none is said, its own."""
        if not self.line.label.columns:
            return rows
        by = [SITE, *self.line.features.key]
        decided_at = in_utc(pl.col(DECIDED_AT)) if self.by_time else pl.col(DECIDED_AT)
        known = decided_at + self.line.label.after if self.by_time else decided_at
        moments = features.select(*by, known.alias(_LABEL_KNOWN)).unique(by, keep="any").collect()
        dated = rows.join(moments, on=by, how="left", nulls_equal=True, maintain_order="left")
        return dated.with_columns(pl.col(_LABEL_KNOWN).fill_null(pl.col(_HAPPENS)))


class _CutTable:
    """A table of which more is known of a row the later one looks."""

    def __init__(
        self, table: Table, raw: pl.DataFrame, coming: pl.DataFrame | None, *, outcome: Sequence[str] = ()
    ) -> None:
        self._table, self._coming, self._key = table, coming, list(dict.fromkeys([SITE, *table.key]))
        self._tells_no_time = raw[_HAPPENS].null_count() == len(raw)
        self._rows = raw if tells_changes(table) else self._dated(raw)
        since = {column: _since(name) for name, columns in table.known_at.items() for column in columns}
        self._known_at = {**dict.fromkeys(outcome, _LABEL_KNOWN), **since}

    def _dated(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Return raw rows, one a key, with the moments since which they, and columns of theirs, are known."""
        since = {name: _since(name) for name in self._table.known_at}
        announced = [self._table.announced.moment(self._table.cursor, raw.schema)] if self._table.announced else []
        if not since:
            return raw.with_columns(announced)
        moments = self._table.repair(raw.select(SITE, *(name for name in self._table.columns if name != SITE)).lazy())
        known = moments.select(*self._key, *(in_utc(pl.col(name)).alias(alias) for name, alias in since.items()))
        return raw.lazy().join(known, on=self._key, how="left", nulls_equal=True).with_columns(announced).collect()

    def _as_of(self, at: Any, *, first: bool) -> pl.DataFrame:
        """Return one version of each row: the last that was there at a moment.

        Where all came later there is the first: of a change log only if that is wished, for a log has every version.
        """
        if not tells_changes(self._table):
            return self._rows
        was_there = pl.col(_CHANGED) < pl.lit(at)
        if first or self._table.changes.known_by != "change_log":
            was_there |= pl.int_range(pl.len()).over(self._key) == 0
        known = self._rows.filter(was_there.fill_null(True)).unique(self._key, keep="last", maintain_order=True)
        return self._dated(known)

    def seen(self, at: Any) -> pl.DataFrame:
        """Return the clean rows that were known."""
        known = self._happened(at)
        if self._table.announced:
            known |= pl.col(ANNOUNCED_AT) < pl.lit(at)
        seen = self._as_of(at, first=False).filter(known)
        rows = self._clean(seen, at).drop([] if self._table.site_column else [SITE])
        if self._coming is None:
            return rows
        coming = self._coming.filter(pl.col(ANNOUNCED_AT) < pl.lit(at)).with_columns(pl.lit(True).alias(PENDING))
        return pl.concat([rows, coming.select(rows.columns)])

    def asked(self, keys: pl.DataFrame, at: Any) -> pl.DataFrame:
        """Return rows as they are asked; as they came where nothing says which of their columns are announced."""
        rows = self._as_of(at, first=True).join(keys, on=keys.columns, how="semi", nulls_equal=True)
        return self._clean(rows, at, given=self._table.announced is None)

    def _clean(self, rows: pl.DataFrame, at: Any, *, given: bool = False) -> pl.DataFrame:
        happened = pl.lit(True) if given else self._happened(at)
        raw = rows.select(SITE, *(self._known(name, happened, at) for name in self._table.columns if name != SITE))
        return told_apart(self._table, self._table.repair(raw.lazy()), raw, at).collect()

    def _happened(self, at: Any) -> pl.Expr:
        return (pl.col(_HAPPENS) < pl.lit(at)).fill_null(self._tells_no_time)

    def _known(self, column: str, happened: pl.Expr, at: Any) -> pl.Expr:
        """Return a column as far as it was known."""
        if self._table.announced and column in self._table.announced.columns:
            return pl.col(column)
        since = self._known_at.get(column)
        return pl.when(pl.col(since) < pl.lit(at) if since else happened).then(pl.col(column)).alias(column)


def newest_versions(raw: pl.LazyFrame, table: Dated) -> pl.LazyFrame:
    """Return the newest version of each of a table's raw rows, with SITE."""
    newest = raw.sort(LOAD, ROW)
    if table.key:
        newest = newest.unique([SITE, *table.key], keep="last", maintain_order=True)
    return newest.select(list(dict.fromkeys([SITE, *table.columns])))


def tells_changes(table: Table) -> bool:
    """Whether the table says since when each version of a row is there."""
    changes = table.changes
    return changes.known_by in ("change_column", "change_log") and table.columns[changes.column].startswith("Datetime")


def versions(raw: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """Return all versions of a table's raw rows in the order in which they came to be, with the moment of each."""
    changed = in_utc(pl.col(table.changes.column)).alias(_CHANGED)
    order = [changed] if table.changes.known_by == "change_log" else []
    return raw.sort(*order, LOAD, ROW).select(*dict.fromkeys([SITE, *table.columns]), changed)


def _is_dated(rows: pl.LazyFrame, column: str) -> bool:
    """Whether the table has the column, and it holds moments, or days, which begin at midnight UTC."""
    return isinstance(rows.collect_schema().get(column), pl.Datetime | pl.Date)


def _key(table: Table, rows: pl.DataFrame) -> list[str]:
    return [name for name in (SITE, *table.key) if name in rows.columns]


def _since(name: str) -> str:
    return f"_since_{name}"

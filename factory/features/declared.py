"""Features that a line's file declares: windows over other tables before each decision, and an event's label after it.

Clean tables come in, features of every decision that is asked go out, one lazy plan. A window of a decision at `t` is
of rows in `[t - within, t)`; the row of the very moment is not known yet. A row is known at its table's cursor, and
where `known_at` says that a column comes later, not before that. The label is of rows in `[t, t + horizon)`.

A line's own `build` may stand behind them: it is given the decision table with the windows, and the label, as columns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import reduce
from operator import and_
from typing import Any

import polars as pl

from factory.features.windows import AT, PENDING, asked
from factory.line.line import BuildFeatures
from factory.line.look_back import LookBack
from factory.line.split import DECIDED_AT, LABEL
from factory.line.windows import OVER_ROWS
from factory.storage.columns import SITE

_EVENT, _ORDER, _FIRST, _LAST, _VALUE = "_event", "_order", "_first", "_last", "_value"
_MOMENT = pl.Datetime("us", "UTC")
_LATE = timedelta(days=31)
"""How much later than it happened a row may become known, and still be looked back on at the gateway."""
_UNITS = {"days_since": timedelta(days=1), "hours_since": timedelta(hours=1)}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Which rows of a table a decision is about, and since when each is known."""

    table: str
    by: Mapping[str, str]
    """Column of the decision → column of the table."""
    where: Mapping[str, tuple[bool | int | float | str, ...]] = field(default_factory=dict)
    moments: tuple[str, ...] = ()
    """Columns with moments, after the last of which a row is known; none: always."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One declared window with all that its plan needs."""

    rows: Rows
    kind: str
    column: str = ""
    seconds: float | None = None
    """How far it reaches back."""
    equals: bool | int | float | str | None = None


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a line's file declares of its features, as plain data that an online snapshot's manifest can hold."""

    decision_table: str
    moment: str
    """The column of the decision table with the moment of the decision."""
    key: tuple[str, ...]
    features: tuple[str, ...]
    looks: Mapping[str, Look]
    event: Rows | None = None
    """The rows whose coming within the horizon is the label."""
    horizon_s: float = 0.0


Tables = Mapping[str, pl.LazyFrame]


@dataclass(frozen=True, kw_only=True)
class DeclaredFeatures:
    """Builds what is declared; keeps `BuildFeatures`."""

    declared: Declared
    own: BuildFeatures | None = None
    """The line's own function, which sees windows and label as columns of the decision table."""

    def covering(self, look_back: LookBack) -> LookBack:
        """Return a look back that reaches as far as the windows do, and keeps the last rows that they look at."""
        if look_back.row_alone:
            look_back = LookBack()
        days, last_of = look_back.days, {name: list(by) for name, by in look_back.last_of.items()}
        for look in self.declared.looks.values():
            if look.seconds is not None:
                late = _LATE if len(look.rows.moments) > 1 else timedelta(0)
                days = max(days, math.ceil((timedelta(seconds=look.seconds) + late) / timedelta(days=1)))
            elif look.rows.moments:
                by = last_of.setdefault(look.rows.table, [])
                by.extend(name for name in (*look.rows.by.values(), *look.rows.where) if name not in by)
        return replace(look_back, days=days, last_of={name: tuple(by) for name, by in last_of.items()})

    def __call__(self, tables: Tables) -> pl.LazyFrame:
        """Return `site`, the key, `decided_at`, `label` and the features of every decision that is asked."""
        declared = self.declared
        rows = with_windows(tables, declared)
        if self.own is not None:
            return self.own({**tables, declared.decision_table: rows})
        key = [name for name in declared.key if name not in (SITE, DECIDED_AT)]
        label = pl.col(LABEL) if declared.event else pl.lit(None, pl.Float32).alias(LABEL)
        features = (pl.col(name).cast(pl.Float32) for name in declared.features)
        return asked(rows).select(SITE, *key, DECIDED_AT, label, *features)


def with_windows(tables: Tables, declared: Declared) -> pl.LazyFrame:
    """Return the decision table with `decided_at`, a column for each window, and `label` where an event is declared.

    Windows of rows that are not asked, but only looked back on, are null.
    """
    decisions = tables[declared.decision_table]
    rows = made = decisions.with_columns(_in_utc(declared.moment, decisions).alias(DECIDED_AT))
    groups: dict[Any, dict[str, Look]] = {}
    for name, look in declared.looks.items():
        groups.setdefault(_plan_of(look), {})[name] = look
    for looks in groups.values():
        rows = _joined(rows, made, looks, tables)
    if declared.event is not None:
        by = list(declared.event.by)
        coming = next_event(_queries(made, declared.event), events_of(tables, declared.event, ()), by)
        within = pl.col(_LAST) - pl.col(DECIDED_AT) < pl.lit(timedelta(seconds=declared.horizon_s))
        label = pl.when(_is_about(declared.event)).then(within.fill_null(value=False).cast(pl.Float32)).alias(LABEL)
        rows = rows.join(coming, left_on=[*by, DECIDED_AT], right_on=[*by, AT], how="left", maintain_order="left")
        rows = rows.with_columns(label).drop(_LAST)
    return rows


def _plan_of(look: Look) -> tuple[Any, ...]:
    """Return what looks have in common that one plan answers."""
    way = "rolling" if look.kind in OVER_ROWS else "attribute" if not look.rows.moments else "last"
    alone = look.column if way == "last" and look.kind == "last" else ""
    rows = look.rows
    return way, alone, look.seconds, rows.table, str(rows.by), str(rows.where), rows.moments


def _joined(rows: pl.LazyFrame, decisions: pl.LazyFrame, looks: Mapping[str, Look], tables: Tables) -> pl.LazyFrame:
    """Return the decisions with the columns of looks that one plan answers.

    Queries come from the decisions as they were before the first look: plans that come from one another would grow
    with each look.
    """
    look = next(iter(looks.values()))
    by, way = list(look.rows.by), _plan_of(look)[0]
    if way == "attribute":
        return _with_attributes(rows, looks, tables)
    queries = _queries(decisions, look.rows)
    if way == "rolling":
        columns = list(dict.fromkeys(one.column for one in looks.values() if one.column))
        answers = over_rows(queries, events_of(tables, look.rows, columns), by, looks)
    else:
        columns = [look.column] if look.column else []
        answers = last_rows(queries, events_of(tables, look.rows, columns), by, looks)
    return rows.join(answers, left_on=[*by, DECIDED_AT], right_on=[*by, AT], how="left", maintain_order="left")


def _is_about(rows: Rows) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_not_null() for name in rows.by)


def _queries(rows: pl.LazyFrame, about: Rows) -> pl.LazyFrame:
    """Return what decisions are about and when, each once."""
    by = list(about.by)
    return asked(rows).select(*by, pl.col(DECIDED_AT).alias(AT)).drop_nulls().unique()


def events_of(tables: Tables, about: Rows, columns: Sequence[str]) -> pl.LazyFrame:
    """Return the rows that count, by the decision's columns, with the moment AT at which each is known, and columns.

    NaN is no value.
    """
    rows = tables[about.table]
    schema = rows.collect_schema()
    if PENDING in schema:
        rows = rows.filter(~pl.col(PENDING))
    if about.where:
        rows = rows.filter(reduce(and_, (pl.col(name).is_in(list(values)) for name, values in about.where.items())))
    moments = [_in_utc(name, rows) for name in about.moments]
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in (*about.moments, *about.by.values()))
    by = [pl.col(name).alias(decision) for decision, name in about.by.items()]
    values = [pl.col(name).fill_nan(None) if schema[name].is_float() else pl.col(name) for name in columns]
    return rows.filter(known).select(*by, pl.max_horizontal(moments).alias(AT), *values)


def over_rows(
    queries: pl.LazyFrame, events: pl.LazyFrame, by: Sequence[str], looks: Mapping[str, Look]
) -> pl.LazyFrame:
    """Return the queries with what the events in `[at - length, at)` come to, as each look says."""
    seconds = next(iter(looks.values())).seconds or 0.0
    period = timedelta(seconds=seconds)
    line = _time_line(queries, events, by, period)
    answers = [_answer(look).alias(name) for name, look in looks.items()]
    rolled = line.rolling(AT, period=period, closed="left", group_by=list(by)).agg(answers)
    return rolled.unique([*by, AT], keep="any")


def _answer(look: Look) -> pl.Expr:
    values = pl.col(look.column or _EVENT).cast(pl.Float64)
    match look.kind:
        case "count" | "sum":
            return values.sum()
        case "mean":
            return values.mean()
        case "std":
            return values.std()
        case "min":
            return values.min()
        case _:
            return values.max()


def last_rows(
    queries: pl.LazyFrame, events: pl.LazyFrame, by: Sequence[str], looks: Mapping[str, Look]
) -> pl.LazyFrame:
    """Return the queries with the value of the last event before, or how long ago it was, as each look says."""
    look = next(iter(looks.values()))
    value = pl.col(look.column) if look.column else pl.col(_EVENT)
    line = _time_line(queries, events, by).with_columns(
        pl.when(pl.col(_EVENT).is_not_null() & value.is_not_null()).then(pl.col(AT)).alias(_LAST)
    )
    filled = line.with_columns(pl.col(_LAST).forward_fill().over(by), value.forward_fill().over(by).alias(_VALUE))
    asked_rows = filled.filter(pl.col(_EVENT).is_null())
    ago = pl.col(AT) - pl.col(_LAST)
    answers = []
    for name, one in looks.items():
        is_near = pl.lit(True) if one.seconds is None else ago <= pl.lit(timedelta(seconds=one.seconds))
        last = _compared(pl.col(_VALUE), one) if one.kind == "last" else ago / _UNITS[one.kind]
        answers.append(pl.when(is_near).then(last).alias(name))
    return asked_rows.select(*by, AT, *answers)


def next_event(queries: pl.LazyFrame, events: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Return the queries with the moment of the next event, one of the very moment included, null where none came."""
    line = _time_line(queries, events, by)
    moments = pl.when(pl.col(_EVENT).is_not_null()).then(pl.col(AT))
    filled = line.with_columns(moments.backward_fill().over(by).alias(_LAST))
    return filled.filter(pl.col(_EVENT).is_null()).select(*by, AT, _LAST)


def _time_line(
    queries: pl.LazyFrame, events: pl.LazyFrame, by: Sequence[str], period: timedelta | None = None
) -> pl.LazyFrame:
    """Return queries and events of the same things in order, queries before events of their moment.

    Events that are further back than a period before the first query of their thing are left out.
    """
    first = queries.group_by(by).agg(pl.col(AT).min().alias(_FIRST))
    about = events.join(first, on=list(by), how="inner")
    if period is not None:
        about = about.filter(pl.col(AT) >= pl.col(_FIRST) - pl.lit(period))
    about = about.drop(_FIRST)
    parts = [
        queries.with_columns(pl.lit(None, pl.Float64).alias(_EVENT), pl.lit(0, pl.Int8).alias(_ORDER)),
        about.with_columns(pl.lit(1.0, pl.Float64).alias(_EVENT), pl.lit(1, pl.Int8).alias(_ORDER)),
    ]
    return pl.concat(parts, how="diagonal").sort(*by, AT, _ORDER)


def _with_attributes(rows: pl.LazyFrame, looks: Mapping[str, Look], tables: Tables) -> pl.LazyFrame:
    """Return the decisions with columns of the one row that each is about, or with how long its moments were ago."""
    look = next(iter(looks.values()))
    others = tables[look.rows.table]
    by = look.rows.by
    columns = {name: f"_{name}" for name in looks}
    named = [pl.col(look.column).alias(columns[name]) for name, look in looks.items()]
    keys = [pl.col(other).alias(decision) for decision, other in by.items()]
    one_each = others.select(*keys, *named).unique(list(by), keep="last", maintain_order=True)
    joined = rows.join(one_each, on=list(by), how="left", maintain_order="left")
    answers = []
    for name, one in looks.items():
        if one.kind in _UNITS:
            answers.append(((pl.col(DECIDED_AT) - _in_utc(columns[name], joined)) / _UNITS[one.kind]).alias(name))
        else:
            answers.append(_compared(pl.col(columns[name]), one).alias(name))
    return joined.with_columns(answers).drop(list(columns.values()))


def _compared(value: pl.Expr, look: Look) -> pl.Expr:
    """Return a value, or whether it is the one that the look asks for; unknown where it is."""
    return value if look.equals is None else (value == pl.lit(look.equals)).cast(pl.Float32)


def _in_utc(column: str, rows: pl.LazyFrame) -> pl.Expr:
    """Return days and moments of a column as moments in UTC; those without a zone are in it."""
    kind = rows.collect_schema()[column]
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        return pl.col(column).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")

"""Whether features look at the future: recent decisions of several moments are built anew from what was known then.

The features of some sites come in, with all that they were made of; a sentence on each leak goes out. At a moment
every table is cut to what was known of it (factory/features/online/past.py), and what the line's own code builds of it
for the newest decisions of each site must be the features that are learnt from. One build looks at all sites at once.
Moments are taken from the decisions, and from the rows of other tables: what happens seldom shows only beside its own
moment.

Decisions of a table that tells no time are built beside half of the other rows instead: there is no order in which they
could be known, so none may depend on another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from factory.features.announced import known_tables
from factory.features.comparison import differences, in_same_order
from factory.features.online.assembly import collected_tables
from factory.features.online.past import Past
from factory.features.windows import ASKED
from factory.line.announced import aware, in_utc
from factory.line.line import Line
from factory.line.split import DECIDED_AT
from factory.storage.columns import SITE

MOST_MOMENTS, FEWEST_MOMENTS, ROWS_IN_ALL = 16, 4, 1_000_000
"""So many moments are looked at; fewer where there are many rows, each of which is looked at once a moment."""
MOMENTS_AGAIN = 2
"""So many where the same code and file passed before: the newest is always among them."""
NEWEST = 256
"""So many decisions of each site are compared at each moment, those just before it."""
SUSPECT_COLUMNS = 3
"""So many times of a table without a cursor are looked at."""
JUST_BEFORE = timedelta(microseconds=1)
HALF = 5
"""The seed by which a table that tells no time is halved."""
_OLDEST_SHARE = 0.25
"""Moments are taken after the first quarter, before which there is little past to look at."""


@dataclass(frozen=True, kw_only=True)
class MadeOf:
    """What features were made of."""

    line: Line
    raw: Mapping[str, pl.LazyFrame]
    """The raw rows of each table by its name, typed, with SITE, load and number; see Past."""
    happened: Mapping[str, pl.LazyFrame]
    """The clean rows of each table that happened."""
    announced: Mapping[str, pl.LazyFrame]
    """The clean rows that are announced and have not happened."""


@dataclass(frozen=True, kw_only=True)
class Proved:
    """What the proof came to."""

    moments: int
    """How many moments were looked at."""
    decisions: Mapping[str, int]
    """By site how many decisions came out as they are learnt from."""
    leaks: Mapping[str, str]
    """By site what is built otherwise: the first feature, with the decision and both values."""
    suspects: Mapping[str, str] = field(default_factory=dict)
    """The same where a table has no cursor, and is cut by another of its times, by which its rows may become known."""


def proved(made_of: MadeOf, features: pl.DataFrame, *, most: int = MOST_MOMENTS) -> Proved:
    """Return what comes of building some of the sites' features anew, at so many moments or fewer."""
    rows = features.filter(pl.col(DECIDED_AT).is_not_null())
    if rows[DECIDED_AT].n_unique() < 2:
        return _beside_half(made_of, rows)
    line = made_of.line
    tables = collected_tables(line, made_of.happened, made_of.happened, made_of.announced)
    all_decisions = line.features.build(known_tables(line, made_of.happened, made_of.announced))
    moments_of = all_decisions.select(SITE, *line.features.key, DECIDED_AT)
    past = Past(line, tables, made_of.raw, moments_of, rows.head(0))
    decisions = dict.fromkeys(rows[SITE].unique(), 0)
    moments = _moments(made_of, tables, rows)[:most]
    for moment in moments:
        expected = _newest(rows, moment)
        told = _compared(line, _built(line, past, expected, moment), expected, f"what was known at {_text(moment)}")
        if told.leaks:
            return replace(told, moments=len(moments))
        decisions = {site: count + told.decisions.get(site, 0) for site, count in decisions.items()}
    suspects = _suspects(line, past, tables, rows) if past.by_time else {}
    return Proved(moments=len(moments), decisions=decisions, leaks={}, suspects=suspects)


def _moments(made_of: MadeOf, tables: Mapping[str, pl.DataFrame], rows: pl.DataFrame) -> list[Any]:
    """Return the moments to look at, each once, as many as the number of rows allows; the newest is among them."""
    line, decided = made_of.line, rows[DECIDED_AT].sort()
    series = [decided]
    if isinstance(decided.dtype, pl.Datetime):
        for table in line.tables.values():
            if table.name != line.decision_table and table.cursor:
                is_there = table.cursor in tables[table.name].columns
                dated = tables[table.name].lazy() if is_there else made_of.raw[table.name]
                series.append(_events(dated, table.cursor, decided))
    count = max(FEWEST_MOMENTS, min(MOST_MOMENTS, ROWS_IN_ALL // max(1, sum(map(len, tables.values())))))
    turns = [some[int(place * (len(some) - 1))] for place in _places(count) for some in series if len(some)]
    return list(dict.fromkeys(turns))[:count]


def _suspects(line: Line, past: Past, tables: Mapping[str, pl.DataFrame], rows: pl.DataFrame) -> dict[str, str]:
    """Return features that look ahead if the rows of a table without a cursor become known at another of its times."""
    decided = rows[DECIDED_AT].sort()
    for table in line.tables.values():
        if table.name == line.decision_table or table.cursor in tables[table.name].columns:
            continue
        times = [name for name, kind in tables[table.name].schema.items() if isinstance(kind, pl.Datetime | pl.Date)]
        for name in times[:SUSPECT_COLUMNS]:
            events = _events(tables[table.name].lazy(), name, decided)
            places = _places(FEWEST_MOMENTS) if len(events) else []
            for event in {events[int(place * (len(events) - 1))] for place in places}:
                moment = event - JUST_BEFORE  # of a row of that very moment nobody can say whether it was known
                expected = _newest(rows, moment)
                until = (in_utc(pl.col(name)) <= pl.lit(aware(moment))).fill_null(value=True)
                built = _built(line, past, expected, moment, cut={table.name: until})
                known = f"rows of {table.name} whose {name} was before {_text(moment)}"
                if leaks := _compared(line, built, expected, known).leaks:
                    say = f". The table has no cursor: if {name} is when a row becomes known, say `cursor: {name}`"
                    return {site: why.partition(": it looks at")[0] + say for site, why in leaks.items()}
    return {}


def _places(count: int) -> list[float]:
    """Return so many places between _OLDEST_SHARE and 1, the first ones spread as far as all are (van der Corput)."""
    halves = [sum(((place >> bit) & 1) / 2 ** (bit + 1) for bit in range(count.bit_length())) for place in range(count)]
    return [1 - half * (1 - _OLDEST_SHARE) for half in halves]


def _events(rows: pl.LazyFrame, cursor: str, decided: pl.Series) -> pl.Series:
    """Return the moments, in order and as those of decisions are, of a table's rows between first and last decision."""
    if not isinstance(rows.collect_schema().get(cursor), pl.Datetime | pl.Date):
        return decided.clear()
    moments = rows.select(in_utc(pl.col(cursor)).alias(cursor)).collect().to_series().drop_nulls().unique().sort()
    zone = decided.dtype.time_zone if isinstance(decided.dtype, pl.Datetime) else None
    like = moments.dt.convert_time_zone(zone) if zone else moments.dt.replace_time_zone(None)
    return like.filter((like > decided[0]) & (like <= decided[-1]))


def _newest(rows: pl.DataFrame, moment: Any) -> pl.DataFrame:
    """Return the newest decisions of each site that were taken by a moment."""
    taken = rows.filter(pl.col(DECIDED_AT) <= moment).sort(DECIDED_AT, maintain_order=True)
    return taken.group_by(SITE, maintain_order=True).tail(NEWEST)


def _built(
    line: Line, past: Past, expected: pl.DataFrame, moment: Any, *, cut: Mapping[str, pl.Expr] | None = None
) -> pl.DataFrame:
    """Return features built from what was known at a moment; of tables in `cut` from the rows that it says, too."""
    tables, asked = past.tables(moment), past.asked(expected, moment)
    known = tables.pop(line.decision_table)
    key = [SITE, *(line.decisions.key or line.features.key)]
    others = known.join(asked, on=key, how="anti", nulls_equal=True)
    frames = [others, asked.select(others.columns)]
    decisions = pl.concat(rows.with_columns(pl.lit(place == 1).alias(ASKED)) for place, rows in enumerate(frames))
    lazy = {name: rows.lazy().filter((cut or {}).get(name, pl.lit(True))) for name, rows in tables.items()}
    return line.features.build({**lazy, line.decision_table: decisions.lazy()}).collect()


def _compared(line: Line, built: pl.DataFrame, expected: pl.DataFrame, known: str) -> Proved:
    """Return which decisions came out as expected; those that did not come out, or twice, are not compared."""
    by = [SITE, *line.features.key]
    once = [rows.filter(pl.struct(by).is_unique()) for rows in (built, expected)]
    again, before = (
        one.join(other.select(by), on=by, how="semi", nulls_equal=True) for one, other in (once, reversed(once))
    )
    decisions, leaks = dict[str, int](), dict[str, str]()
    for (site,), rows in before.group_by(SITE, maintain_order=True):
        difference = _difference(line, again.filter(pl.col(SITE) == site), rows, known)
        if difference:
            leaks[str(site)] = f"line {line.name}, site {site}: {difference}"
        else:
            decisions[str(site)] = len(rows)
    return Proved(moments=1, decisions=decisions, leaks=leaks)


def _difference(line: Line, built: pl.DataFrame, expected: pl.DataFrame, known: str) -> str | None:
    """Return what is wrong with a site's features that were built anew; None if they are those that are learnt from."""
    names = list(line.features.columns)
    both = in_same_order(built, expected, line.features.key, names)
    if both is None:
        return f"decisions have another `decided_at` when they are built from {known}; it must not depend on later rows"
    wrong = differences(*both, names)
    if not wrong:
        return None
    (name, place), *more = wrong.items()
    built, expected = both
    key = ", ".join(f"{column} {expected[column][place]}" for column in line.features.key)
    others = f" (so are {', '.join(other for other, _ in more[:5])})" if more else ""
    return (
        f"{name} of the decision at {_text(expected[DECIDED_AT][place])} ({key}) is {expected[name][place]} in the "
        f"features, and {built[name][place]} when it is built from {known}{others}: it looks at what became known "
        "later. Let it use only what is known before `decided_at`; where rows or columns are known earlier than the "
        "line's file says, say so there: `announced`, `known_at`, `label: columns`"
    )


def _beside_half(made_of: MadeOf, rows: pl.DataFrame) -> Proved:
    """Build the decisions of a table that tells no time beside half of the others."""
    line = made_of.line
    decisions = made_of.happened[line.decision_table]
    things = [name for name in line.told_apart_by if name in decisions.collect_schema()]
    if rows.is_empty() or not things:
        return Proved(moments=0, decisions={}, leaks={})
    half = pl.struct(SITE, *things).hash(seed=HALF) % 2 == 0
    alone = {**made_of.happened, line.decision_table: decisions.filter(half)}
    built = line.features.build(known_tables(line, alone, made_of.announced)).collect()
    return _compared(line, built, rows, "half of the rows")


def _text(moment: Any) -> str:
    return moment.isoformat(sep=" ") if isinstance(moment, datetime) else str(moment)

"""How punctual origin, carrier, destination and route were, as known at the moment of decision.

Three kinds of event tell it: a flight left, a flight landed, a flight began or ceased to be overdue.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from factory.features.windows import AT, QUERY, Total, totals_before

LATE_AFTER_MIN = 15
DELAY_RANGE_MIN = (-20, 240)
"""Delays are cut to this range, lest one stranded flight speak for an airport."""
WAITED_FOR = timedelta(hours=6)
"""A flight that has not left after this long is taken for cancelled and no longer counts as overdue."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ORIGIN, CARRIER, DEST = ("origin",), ("carrier",), ("dest",)
CARRIER_ORIGIN = ("carrier", "origin")
ROUTE = ("carrier", "origin", "dest")
FLIGHT = ("carrier", "origin", "flight")


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of an event column over a window before the decision, among the flights that share `by`."""

    by: tuple[str, ...]
    of: str
    per: str
    over: timedelta


MEANS: Mapping[str, Mean] = {
    "origin_delay_1h": Mean(by=ORIGIN, of="delay", per="left", over=HOUR),
    "origin_late_share_3h": Mean(by=ORIGIN, of="late", per="left", over=3 * HOUR),
    "origin_late_share_24h": Mean(by=ORIGIN, of="late", per="left", over=DAY),
    "carrier_origin_delay_2h": Mean(by=CARRIER_ORIGIN, of="delay", per="left", over=2 * HOUR),
    "carrier_origin_late_share_6h": Mean(by=CARRIER_ORIGIN, of="late", per="left", over=6 * HOUR),
    "carrier_late_share_3h": Mean(by=CARRIER, of="late", per="left", over=3 * HOUR),
    "carrier_late_share_28d": Mean(by=CARRIER, of="late", per="left", over=28 * DAY),
    "dest_delay_3h": Mean(by=DEST, of="delay", per="left", over=3 * HOUR),
    "dest_arrival_delay_4h": Mean(by=DEST, of="arrival_delay", per="landed", over=4 * HOUR),
    "route_late_share_21d": Mean(by=ROUTE, of="late", per="left", over=21 * DAY),
    "flight_late_share_28d": Mean(by=FLIGHT, of="late", per="left", over=28 * DAY),
}

OVERDUE: Mapping[str, tuple[str, ...]] = {
    "origin_overdue": ORIGIN,
    "carrier_origin_overdue": CARRIER_ORIGIN,
    "dest_overdue": DEST,
}
"""The number of overdue flights among those that share these columns; `<name>_min` adds up how long they wait."""


def punctuality(wanted: pl.LazyFrame, flights: pl.LazyFrame) -> pl.LazyFrame:
    """Return `QUERY` and the columns of MEANS and OVERDUE, one row a wanted departure, from what all flights did."""
    events = pl.concat([_departures(flights), _landings(flights), _waiting(flights)], how="diagonal")
    rows = wanted.select(QUERY, AT)
    for by in (ORIGIN, CARRIER_ORIGIN, CARRIER, DEST, ROUTE, FLIGHT):
        totals = _totals(by)
        found = totals_before(wanted, events, by=by, totals=totals)
        rows = rows.join(found, on=QUERY, how="left").with_columns(_answers(by)).drop(totals)
    return rows.select(QUERY, *MEANS, *OVERDUE, *(f"{name}_min" for name in OVERDUE))


def _departures(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.select(
        *FLIGHT,
        "dest",
        pl.col("dep_utc").alias(AT),
        left=pl.lit(1),
        late=(pl.col("dep_delay") > LATE_AFTER_MIN).cast(pl.Int64),
        delay=pl.col("dep_delay").clip(*DELAY_RANGE_MIN),
    )


def _landings(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.select(
        *FLIGHT,
        "dest",
        pl.col("arr_utc").alias(AT),
        landed=pl.lit(1),
        arrival_delay=pl.col("arr_delay").clip(*DELAY_RANGE_MIN),
    )


def _waiting(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Return +1 when a flight is due and -1 when it leaves or is given up, and its due time with the same sign.

    Who leaves early gives both at the due time: they cancel out, and nobody sees the -1 alone.
    """
    due, given_up = pl.col("sched_dep_utc"), pl.col("sched_dep_utc") + pl.lit(WAITED_FOR)
    gone = pl.when(pl.col("dep_utc") < given_up).then(pl.col("dep_utc")).otherwise(given_up)
    over = pl.when(gone > due).then(gone).otherwise(due)
    return pl.concat(
        flights.select(*FLIGHT, "dest", moment.alias(AT), overdue=pl.lit(sign), overdue_since=sign * _minutes(due))
        for moment, sign in ((due, 1), (over, -1))
    )


def _minutes(moment: pl.Expr) -> pl.Expr:
    """Return whole minutes since 1970."""
    return moment.cast(pl.Int64) // 60_000_000


def _totals(by: tuple[str, ...]) -> dict[str, Total]:
    """Return the sums that the means and counts of one grouping need."""
    totals = {}
    for mean in MEANS.values():
        if mean.by == by:
            totals[f"{mean.of} {mean.over}"] = Total(of=mean.of, length=mean.over)
            totals[f"{mean.per} {mean.over}"] = Total(of=mean.per, length=mean.over)
    if by in OVERDUE.values():
        totals |= {name: Total(of=name, length=None) for name in ("overdue", "overdue_since")}
    return totals


def _answers(by: tuple[str, ...]) -> list[pl.Expr]:
    answers = []
    for name, mean in MEANS.items():
        if mean.by == by:
            count = pl.col(f"{mean.per} {mean.over}")
            answers.append(pl.when(count > 0).then(pl.col(f"{mean.of} {mean.over}") / count).alias(name))
    for name, whose in OVERDUE.items():
        if whose == by:
            waited = _minutes(pl.col(AT)) * pl.col("overdue") - pl.col("overdue_since")
            answers += [pl.col("overdue").alias(name), waited.alias(f"{name}_min")]
    return answers

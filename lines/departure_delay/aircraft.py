"""The aircraft: where its departure before this one stands at the moment of decision, and how tight the turnaround is.

Only departures from New York are known, so an aircraft is seen leaving and, a flight out and a flight back later, due
to leave again. Which aircraft flies is taken from the timetable as it stands; a swap in the last two hours is not seen.
"""

import polars as pl

from factory.features.windows import AT, PENDING, QUERY, with_pending

_DAY_MIN = 24 * 60
_DELAY_RANGE_MIN = (-60, 400)
_SLACK_RANGE_MIN = (-300, _DAY_MIN)
_LONGEST_GAP_MIN = 2 * _DAY_MIN


def aircraft_state(wanted: pl.LazyFrame, flights: pl.LazyFrame, planes: pl.LazyFrame) -> pl.LazyFrame:
    """Return `QUERY` and what is known of the aircraft of the wanted flights, from what all flights did.

    There is no row for a flight whose aircraft is not named, and there may be some for flights that are not wanted.
    """
    legs = _legs(with_pending(flights).join(wanted.select("tailnum").unique(), on="tailnum", how="semi"))
    gap = _minutes(pl.col("sched_dep_utc") - pl.col("before_due"))
    left, landed = pl.col("before_left") < pl.col(AT), pl.col("before_landed") < pl.col(AT)
    due = pl.col("before_due") < pl.col(AT)
    silent = due & pl.col("before_pending")  # nothing but the timetable speaks of it: who knows whether it left?
    overdue = pl.when(silent).then(None).otherwise(due & ~left.fill_null(False))
    so_far = pl.when(left).then(pl.col("before_delay")).when(overdue).then(_minutes(pl.col(AT) - pl.col("before_due")))
    behind = pl.when(landed).then(pl.col("before_arrival_delay")).otherwise(so_far).fill_null(0)
    recent, slack = gap < _DAY_MIN, gap - 2 * pl.col("before_block")
    return legs.join(planes.select("tailnum", "built_year", "seats"), on="tailnum", how="left").select(
        QUERY,
        aircraft_gap_min=gap.clip(0, _LONGEST_GAP_MIN),
        aircraft_slack_min=slack.clip(*_SLACK_RANGE_MIN),
        aircraft_slack_left_min=(slack - behind.clip(*_DELAY_RANGE_MIN)).clip(*_SLACK_RANGE_MIN),
        aircraft_delay_min=pl.when(recent).then(so_far.clip(*_DELAY_RANGE_MIN)),
        aircraft_arrival_delay_min=pl.when(recent & landed).then(
            pl.col("before_arrival_delay").clip(*_DELAY_RANGE_MIN)
        ),
        aircraft_overdue=recent & overdue,
        aircraft_leg_of_day="leg",
        aircraft_age_years=pl.col("year") - pl.col("built_year"),
        aircraft_seats="seats",
    )


def _legs(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Return each departure beside the one that the same aircraft was due for before it.

    The order is the timetable's alone: to sort by what happened would let the future in.
    """
    before = {
        "before_due": "sched_dep_utc",
        "before_left": "dep_utc",
        "before_landed": "arr_utc",
        "before_block": "sched_block_min",
        "before_delay": "dep_delay",
        "before_arrival_delay": "arr_delay",
        "before_pending": PENDING,
    }
    order = flights.filter(pl.col("tailnum").is_not_null()).sort("tailnum", "sched_dep_utc", "carrier", "flight")
    return order.with_columns(leg=pl.lit(1)).with_columns(
        *(pl.col(source).shift(1).over("tailnum").alias(name) for name, source in before.items()),
        pl.col("leg").cum_sum().over("tailnum", "year", "month", "day"),
    )


def _minutes(length: pl.Expr) -> pl.Expr:
    return length.cast(pl.Int64) // 60_000_000

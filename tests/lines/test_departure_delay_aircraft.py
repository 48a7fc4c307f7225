"""What the aircraft's earlier departure tells, moment by moment, on flights made for the purpose."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from factory.features.windows import AT, QUERY
from lines.departure_delay.aircraft import aircraft_state

DAY = datetime(2013, 1, 8, tzinfo=UTC)
PLANES = pl.LazyFrame({"tailnum": ["N1"], "built_year": [2003], "seats": [180]})
MOMENT = pl.Datetime("us", "UTC")


def leg(number: int, due: float, *, delay: int | None = 0, tail: str | None = "N1") -> dict[str, object]:
    """Return a departure due at an hour of the day, a flight of two hours, decided on two hours before it is due."""
    at = DAY + timedelta(hours=due)
    left = None if delay is None else at + timedelta(minutes=delay)
    return {
        QUERY: number,
        AT: at - timedelta(hours=2),
        "tailnum": tail,
        "carrier": "UA",
        "flight": number,
        **{"year": 2013, "month": 1, "day": 8},
        "sched_dep_utc": at,
        "sched_block_min": 120,
        "dep_utc": left,
        "dep_delay": delay,
        "arr_utc": left + timedelta(hours=2) if left else None,
        "arr_delay": delay,
    }


def known_of_last(*legs: dict[str, object]) -> dict[str, object]:
    times = dict.fromkeys((AT, "sched_dep_utc", "dep_utc", "arr_utc"), MOMENT)
    schema = times | dict.fromkeys(("dep_delay", "arr_delay"), pl.Int64) | {"tailnum": pl.String}
    flights = pl.LazyFrame(list(legs), schema_overrides=schema)
    state = aircraft_state(flights, flights, PLANES).collect()
    return state.row(by_predicate=pl.col(QUERY) == len(legs) - 1, named=True)


@pytest.mark.parametrize(
    ("delay", "overdue", "known_min"),
    [
        (60, 0, 60),  # left at 11, known at 12
        (119, 0, 119),  # left a minute before the decision
        (120, 1, 120),  # leaves at the very moment of decision: not known yet
        (150, 1, 120),  # leaves between decision and schedule
        (None, 1, 120),  # never leaves
    ],
)
def test_a_departure_after_the_decision_is_known_only_as_overdue_so_far(
    delay: int | None, overdue: int, known_min: int
) -> None:
    state = known_of_last(leg(0, 10, delay=delay), leg(1, 14))
    assert (state["aircraft_overdue"], state["aircraft_delay_min"]) == (overdue, known_min)
    assert state["aircraft_arrival_delay_min"] is None
    assert state["aircraft_slack_left_min"] == 4 * 60 - 2 * 120 - known_min


def test_a_landing_before_the_decision_is_known() -> None:
    state = known_of_last(leg(0, 8, delay=30), leg(1, 14))
    assert state["aircraft_arrival_delay_min"] == 30
    assert state["aircraft_gap_min"] == 360


def test_an_aircraft_not_due_before_the_decision_tells_nothing_yet() -> None:
    state = known_of_last(leg(0, 13, delay=90), leg(1, 14))
    assert (state["aircraft_overdue"], state["aircraft_delay_min"]) == (0, None)
    assert state["aircraft_slack_left_min"] == 60 - 240


def test_legs_are_counted_and_age_and_seats_are_the_registers() -> None:
    state = known_of_last(leg(0, 6), leg(1, 10), leg(2, 14))
    assert (state["aircraft_leg_of_day"], state["aircraft_age_years"], state["aircraft_seats"]) == (3, 10, 180)


def test_flights_without_a_named_aircraft_are_not_taken_for_one_aircraft() -> None:
    rows = [leg(0, 6, tail=None), leg(1, 10, tail=None)]
    schema = {"tailnum": pl.String, "dep_utc": MOMENT, "arr_utc": MOMENT}
    flights = pl.LazyFrame(rows, schema_overrides=schema)
    assert aircraft_state(flights, flights, PLANES).collect().is_empty()

"""No feature knows the future, and the features are what they say, on three real weeks of January."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from lines.departure_delay.features import FEATURES, KEY, build
from tests.lines.departures import january

MOMENTS = [
    datetime(2013, 1, 14, 15, 7, tzinfo=UTC),
    datetime(2013, 1, 16, 20, 15, tzinfo=UTC),
    datetime(2013, 1, 20, 23, 30, tzinfo=UTC),
    datetime(2013, 1, 24, 22, 45, tzinfo=UTC),
]
Tables = Mapping[str, pl.DataFrame]


def features(tables: Tables) -> pl.DataFrame:
    return build({name: rows.lazy() for name, rows in tables.items()}).collect()


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return features(january())


def shifted(tables: Tables, known_until: datetime) -> Tables:
    """Return the tables with another future: all that became known at `known_until` or later is different.

    Flights that had not left leave later, or never, or now where they were cancelled; flights in the air land at
    another time or nowhere; the weather to come is another. The timetable and the aircraft named in it stay.
    """
    moment, due = pl.lit(known_until), pl.col("sched_dep_utc")
    pick = pl.col("flight") % 4
    to_leave = pl.col("dep_utc").is_null() | (pl.col("dep_utc") >= moment)
    to_land = to_leave | pl.col("arr_utc").is_null() | (pl.col("arr_utc") >= moment)
    earliest = pl.max_horizontal(due, moment)
    leaves = pl.when(pick > 0).then(earliest + pl.duration(minutes=pick * 61))
    minutes_late = (leaves - due).dt.total_minutes()
    lands = pl.when(pick > 1).then(pl.max_horizontal("sched_arr_utc", moment) + pl.duration(minutes=pick * 47))
    flights = tables["flights"].with_columns(
        dep_utc=pl.when(to_leave).then(leaves).otherwise("dep_utc"),
        dep_delay=pl.when(to_leave).then(minutes_late).otherwise("dep_delay"),
        arr_utc=pl.when(to_land).then(lands).otherwise("arr_utc"),
        arr_delay=pl.when(to_land).then((lands - pl.col("sched_arr_utc")).dt.total_minutes()).otherwise("arr_delay"),
        air_time=pl.when(to_land).then(999).otherwise("air_time"),
        dep_time=pl.when(to_leave).then(1).otherwise("dep_time"),
        arr_time=pl.when(to_land).then(1).otherwise("arr_time"),
    )
    to_come = pl.col("observed_utc") >= moment
    measured = [name for name, kind in tables["weather"].schema.items() if kind == pl.Float32]
    weather = tables["weather"].with_columns(
        pl.when(to_come).then(pl.col(name) + 50).otherwise(name).alias(name) for name in measured
    )
    return {**tables, "flights": flights, "weather": weather}


def decided(rows: pl.DataFrame, until: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("decided_at") <= until)


@pytest.mark.parametrize("moment", MOMENTS)
def test_another_future_moves_no_feature_decided_before_it(real: pl.DataFrame, moment: datetime) -> None:
    other = features(shifted(january(), moment))
    before = decided(real, moment)
    assert len(before) > 3000
    assert before.drop("label").equals(decided(other, moment).drop("label"))
    assert not before.equals(decided(other, moment)), "the labels of flights yet to leave should have changed"


def test_a_change_in_the_hours_before_the_decision_is_noticed(real: pl.DataFrame) -> None:
    """The test above can fail: what changes before the moment of decision does move features, each group of them."""
    moment = MOMENTS[2]
    other = decided(features(shifted(january(), moment - timedelta(hours=4))), moment)
    before = decided(real, moment)
    moved = {name for name in FEATURES if not before[name].equals(other[name])}
    assert moved >= {
        "origin_delay_1h",
        "origin_overdue",
        "carrier_origin_overdue_min",
        "dest_arrival_delay_4h",
        "route_late_share_21d",
        "humidity_pct",
        "aircraft_delay_min",
        "aircraft_slack_left_min",
        "aircraft_arrival_delay_min",
    }


def test_every_departure_has_one_row_with_the_declared_columns(real: pl.DataFrame) -> None:
    assert real.columns == ["site", *KEY, "decided_at", "label", *FEATURES]
    assert len(real) == len(january()["flights"])
    assert {real.schema[name] for name in (*FEATURES, "label")} == {pl.Float32}
    assert real.schema["decided_at"] == pl.Datetime("us", "UTC")
    assert real.select(pl.col(list(FEATURES)).is_nan().any()).row(0) == (False,) * len(FEATURES)


def test_the_label_is_late_by_more_than_15_minutes_and_null_if_cancelled(real: pl.DataFrame) -> None:
    flights = january()["flights"]
    assert real["label"].null_count() == flights["dep_utc"].null_count() > 0
    assert real["label"].sum() == (flights["dep_delay"] > 15).sum()


def test_the_order_of_rows_in_the_lake_changes_no_byte(real: pl.DataFrame) -> None:
    mixed = {name: rows.sample(fraction=1.0, shuffle=True, seed=7) for name, rows in january().items()}
    assert features(mixed).equals(real)


def test_state_of_the_origin_agrees_with_a_count_by_hand(real: pl.DataFrame) -> None:
    flights = january()["flights"]
    for row in real.filter(pl.col("origin") == "LGA").sample(12, seed=3).iter_rows(named=True):
        now = row["decided_at"]
        here = flights.filter(pl.col("origin") == "LGA")
        left = here.filter(pl.col("dep_utc").is_between(now - timedelta(hours=3), now, closed="left"))
        waiting = here.filter(
            pl.col("sched_dep_utc").is_between(now - timedelta(hours=6), now, closed="none"),
            (pl.col("dep_utc") >= now) | pl.col("dep_utc").is_null(),
        )
        share = (left["dep_delay"] > 15).mean()
        assert row["origin_late_share_3h"] == (pytest.approx(share) if share is not None else None)
        assert row["origin_overdue"] == len(waiting)
        assert row["origin_overdue_min"] == pytest.approx(
            sum((now - due).total_seconds() / 60 for due in waiting["sched_dep_utc"])
        )


def test_a_plane_that_has_not_left_is_overdue_by_the_time_that_passed(real: pl.DataFrame) -> None:
    flights = january()["flights"]
    overdue = real.filter(pl.col("aircraft_overdue") == 1)
    assert len(overdue) > 50
    for row in overdue.sample(10, seed=1).iter_rows(named=True):
        this = flights.filter(pl.all_horizontal(pl.col(name) == row[name] for name in KEY)).row(0, named=True)
        earlier = flights.filter(
            pl.col("tailnum") == this["tailnum"], pl.col("sched_dep_utc") < this["sched_dep_utc"]
        ).sort("sched_dep_utc")
        before = earlier.row(-1, named=True)
        assert before["dep_utc"] is None or before["dep_utc"] >= row["decided_at"]
        waited = (row["decided_at"] - before["sched_dep_utc"]).total_seconds() / 60
        assert row["aircraft_delay_min"] == min(waited, 400)


def test_a_tail_that_the_register_does_not_know_gives_unknown_age_and_keeps_its_flight(real: pl.DataFrame) -> None:
    flights, planes = january()["flights"], january()["planes"]
    unknown = flights.join(planes, on="tailnum", how="anti").height
    assert real["aircraft_seats"].null_count() == unknown > 0

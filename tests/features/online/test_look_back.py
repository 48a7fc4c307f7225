"""What a snapshot keeps of a table: the newest days, and single rows however old."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from factory.line.look_back import RECENT, LookBack

NEWEST = datetime(2024, 5, 1, tzinfo=UTC)


def rows(*ages_and_tails):
    """Rows so many days older than the newest, each of a tail."""
    return pl.LazyFrame(
        {
            "at": [NEWEST - timedelta(days=age) for age, _ in ages_and_tails],
            "tail": [tail for _, tail in ages_and_tails],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def kept(look_back, table, frame, cursor="at", newest=NEWEST):
    found = look_back.rows_needed(table, frame, cursor, newest).collect()
    return sorted((round((NEWEST - at).days), tail) for at, tail in found.iter_rows())


def test_the_newest_days_are_kept_and_what_recent_decisions_look_back_on():
    reach = 3 + RECENT.days
    found = kept(LookBack(days=3), "flights", rows((0, "a"), (reach, "b"), (reach + 1, "c")))
    assert found == [(0, "a"), (reach, "b")]


def test_of_named_columns_the_newest_earlier_row_is_kept_however_old():
    frame = rows((0, "a"), (40, "b"), (90, "b"), (400, "c"), (50, "a"), (60, None))
    found = kept(LookBack(days=1, last_of={"flights": ("tail",)}), "flights", frame)
    assert found == [(0, "a"), (40, "b"), (50, "a"), (400, "c")]
    assert kept(LookBack(days=1, last_of={"flights": ("tail",)}), "weather", frame) == [(0, "a")]


def test_rows_of_one_moment_are_all_the_newest():
    frame = rows((0, "a"), (40, "b"), (40, "b"))
    assert len(kept(LookBack(days=1, last_of={"flights": ("tail",)}), "flights", frame)) == 3


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York"])
def test_a_table_may_tell_its_moments_in_another_zone_than_decisions_do(zone):
    at = pl.col("at").dt
    frame = rows((0, "a"), (5, "b"), (5.1, "c")).with_columns(
        at.convert_time_zone(zone) if zone else at.replace_time_zone(None)
    )
    found = LookBack(days=3).rows_needed("weather", frame, "at", NEWEST).collect()
    assert found["tail"].to_list() == ["a", "b"]


@pytest.mark.parametrize(("cursor", "newest"), [("tail", NEWEST), ("", NEWEST), ("at", None)])
def test_a_table_that_tells_no_time_is_kept_whole(cursor, newest):
    frame = rows((0, "a"), (400, "b"))
    assert LookBack().rows_needed("planes", frame, cursor, newest).collect().height == 2


@pytest.mark.parametrize("wrong", [{"days": -1}, {"stale_after_hours": 0}, {"row_alone": True, "days": 3}])
def test_a_length_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|leave days"):
        LookBack(**wrong)

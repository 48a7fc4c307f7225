"""Invariant 5: splits are by time, or by whole things."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import LineError
from factory.line.split import EntitySplit, LearntFrom, TimeSplit

UNTIL = datetime(2013, 5, 1)
SPLIT = TimeSplit(holdout_days=30, validation_days=14, train_days=76)


def rows(days, labels=None):
    moments = [UNTIL.replace(tzinfo=UTC) + timedelta(days=day) for day in days]
    return pl.DataFrame(
        {
            "site": ["A"] * len(days),
            "decided_at": moments,
            "label": labels or [1.0] * len(days),
            "x": [float(d) for d in days],
        },
        schema={"site": pl.String, "decided_at": pl.Datetime("us", "UTC"), "label": pl.Float32, "x": pl.Float32},
    )


@given(st.lists(st.floats(-200, 10), min_size=1, max_size=50))
def test_nothing_in_training_is_later_than_anything_judged(days):
    parts = SPLIT.divided(rows(days), UNTIL, ["x"])
    ordered = [part["decided_at"] for part in (parts.train, parts.validation, parts.holdout)]
    for earlier, later in [(0, 1), (1, 2), (0, 2)]:
        if len(ordered[earlier]) and len(ordered[later]):
            assert ordered[earlier].max() < ordered[later].min()
    assert all(len(part) == 0 or part.max() < UNTIL.replace(tzinfo=UTC) for part in ordered)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York"])
def test_windows_end_at_the_same_moment_whatever_zone_the_moments_are_in(zone):
    hours = rows([hour / 24 for hour in range(-24, 24)])
    moved = pl.col("decided_at").dt.convert_time_zone(zone) if zone else pl.col("decided_at").dt.replace_time_zone(None)
    holdout = SPLIT.divided(hours.with_columns(moved), UNTIL, ["x"]).holdout
    assert holdout["x"].to_list() == hours["x"].to_list()[:24]


def test_a_row_without_an_outcome_is_in_no_window():
    parts = SPLIT.divided(rows([-1, -2], [None, 0.0]), UNTIL, ["x"])
    assert len(parts.holdout) == 1


def engines(count, cycles=3, site="A"):
    names = [f"engine {number}" for number in range(count) for _ in range(cycles)]
    moments = [cycle for _ in range(count) for cycle in range(cycles)]
    frame = pl.DataFrame({"engine": names, "decided_at": moments}).with_columns(site=pl.lit(site), label=pl.lit(1.0))
    return frame.with_columns(tested=pl.col("engine").str.ends_with("7"))


def names(part):
    return set(part["engine"])


SHARES = st.floats(0.05, 0.6)


@given(st.integers(1, 200), SHARES, SHARES)
def test_no_thing_is_on_two_sides_and_every_row_is_on_one(count, holdout, validation):
    rows = engines(count)
    parts = EntitySplit(holdout_share=holdout, validation_share=validation).divided(rows, UNTIL, ["engine"])
    sides = [names(parts.train), names(parts.validation), names(parts.holdout)]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert sum(map(len, (parts.train, parts.validation, parts.holdout))) == len(rows)
    assert "_held" not in parts.train.columns


def test_the_shares_are_what_was_asked_for():
    parts = EntitySplit(holdout_share=0.3, validation_share=0.2).divided(engines(3000, 1), UNTIL, ["engine"])
    assert len(parts.holdout) == pytest.approx(900, abs=80)
    assert len(parts.validation) == pytest.approx(420, abs=60)


def test_a_thing_stays_on_its_side_when_others_come():
    split = EntitySplit(holdout_share=0.3, validation_share=0.2)
    before, after = (split.divided(engines(count), UNTIL, ["engine"]) for count in (100, 200))
    for side in ("train", "validation", "holdout"):
        assert names(getattr(before, side)) <= names(getattr(after, side))


def test_a_holdout_that_the_features_mark_is_held_out_whole_and_judged_by_its_last_rows():
    split = EntitySplit(holdout="tested", last_only=True, validation_share=0.3)
    parts = split.divided(engines(50), UNTIL, ["engine"])
    assert names(parts.holdout) == {f"engine {n}" for n in range(50) if n % 10 == 7}
    assert parts.holdout["decided_at"].to_list() == [2] * 5
    assert not names(parts.holdout) & (names(parts.train) | names(parts.validation))


def test_a_mark_that_the_features_do_not_give_is_told():
    with pytest.raises(LineError, match="no column 'testing'"):
        EntitySplit(holdout="testing").divided(engines(3), UNTIL, ["engine"])


@pytest.mark.parametrize("wrong", [{}, {"holdout": "tested", "holdout_share": 0.2}, {"holdout_share": 1.0}])
def test_a_split_that_says_too_little_or_too_much_is_a_line_error(wrong):
    with pytest.raises(LineError, match="split: "):
        EntitySplit(**wrong)


@given(
    st.lists(st.floats(-200, 10), min_size=1, max_size=50),
    st.sampled_from([SPLIT, EntitySplit(holdout_share=0.4), EntitySplit(holdout="tested", validation_share=0.5)]),
    st.sampled_from([UNTIL, UNTIL - timedelta(days=45), UNTIL + timedelta(days=45)]),
)
def test_what_a_model_learnt_from_is_on_record_and_is_training_and_validation_and_never_the_holdout(days, split, until):
    judged = rows(days).with_columns(tested=pl.col("x") > -50).with_row_index("row")
    record = LearntFrom(split=split, until=until)
    assert LearntFrom.from_json(record.to_json()) == record
    learnt = judged.filter(LearntFrom.from_json(record.to_json()).of(judged, ["x"]))
    parts = split.divided(judged, until, ["x"])
    assert sorted(learnt["row"]) == sorted([*parts.train["row"], *parts.validation["row"]])
    assert not set(learnt["row"]) & set(parts.holdout["row"])


def test_a_row_without_an_outcome_yet_counts_as_learnt_from_for_its_outcome_may_come_in_later():
    assert LearntFrom(split=SPLIT, until=UNTIL).of(rows([-40, -1], [None, None]), ["x"]).to_list() == [True, False]


def test_of_a_division_by_a_column_that_is_gone_all_rows_count_as_learnt_from():
    record = LearntFrom(split=EntitySplit(holdout="tested"), until=UNTIL)
    assert record.of(rows([-40, -1]), ["x"]).to_list() == [True, True]


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"kind": "moon"}', '{"kind": "time", "until": "2013-05-01"}'])
def test_a_record_that_nobody_wrote_is_a_mistake_in_words(record):
    with pytest.raises(LineError, match="what a model learnt from cannot be read"):
        LearntFrom.from_json(record)

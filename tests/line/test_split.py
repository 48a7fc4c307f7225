"""Invariant 5: splits are by time, or by whole things."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import LineError
from factory.line.file import LineFile
from factory.line.lengths import length_of, length_text
from factory.line.split import EntitySplit, TimeSplit, division_on_record
from tests.toy.line import FILE

UNTIL = datetime(2013, 5, 1)
SPLIT = TimeSplit(holdout_days=30, validation_days=14, train_days=76)


NO_TIME = timedelta(0)


def divided(split, rows, entity=("x",), *, until=UNTIL, horizon=NO_TIME):
    return split.division(rows, until, horizon).divided(rows, entity)


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
    parts = divided(SPLIT, rows(days))
    ordered = [part["decided_at"] for part in (parts.train, parts.validation, parts.holdout)]
    for earlier, later in [(0, 1), (1, 2), (0, 2)]:
        if len(ordered[earlier]) and len(ordered[later]):
            assert ordered[earlier].max() < ordered[later].min()
    assert all(len(part) == 0 or part.max() < UNTIL.replace(tzinfo=UTC) for part in ordered)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York"])
def test_windows_end_at_the_same_moment_whatever_zone_the_moments_are_in(zone):
    hours = rows([hour / 24 for hour in range(-24, 24)])
    moved = pl.col("decided_at").dt.convert_time_zone(zone) if zone else pl.col("decided_at").dt.replace_time_zone(None)
    holdout = divided(SPLIT, hours.with_columns(moved)).holdout
    assert holdout["x"].to_list() == hours["x"].to_list()[:24]


def test_a_row_without_an_outcome_is_in_no_window():
    parts = divided(SPLIT, rows([-1, -2], [None, 0.0]))
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
    parts = divided(EntitySplit(holdout_share=holdout, validation_share=validation), rows, ["engine"])
    sides = [names(parts.train), names(parts.validation), names(parts.holdout)]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert sum(map(len, (parts.train, parts.validation, parts.holdout))) == len(rows)
    assert "_held" not in parts.train.columns


def test_the_shares_are_what_was_asked_for():
    parts = divided(EntitySplit(holdout_share=0.3, validation_share=0.2), engines(3000, 1), ["engine"])
    assert len(parts.holdout) == pytest.approx(900, abs=80)
    assert len(parts.validation) == pytest.approx(420, abs=60)


def test_a_thing_stays_on_its_side_when_others_come():
    split = EntitySplit(holdout_share=0.3, validation_share=0.2)
    before, after = (divided(split, engines(count), ["engine"]) for count in (100, 200))
    for side in ("train", "validation", "holdout"):
        assert names(getattr(before, side)) <= names(getattr(after, side))


def test_a_holdout_that_the_features_mark_is_held_out_whole_and_judged_by_its_last_rows():
    split = EntitySplit(holdout="tested", last_only=True, validation_share=0.3)
    parts = divided(split, engines(50), ["engine"])
    assert names(parts.holdout) == {f"engine {n}" for n in range(50) if n % 10 == 7}
    assert parts.holdout["decided_at"].to_list() == [2] * 5
    assert not names(parts.holdout) & (names(parts.train) | names(parts.validation))


def test_a_mark_that_the_features_do_not_give_is_told():
    with pytest.raises(LineError, match="no column 'testing'"):
        divided(EntitySplit(holdout="testing"), engines(3), ["engine"])


def test_a_mark_is_true_and_false_or_one_and_zero_and_nothing_else():
    split, marked = EntitySplit(holdout="tested"), engines(20)
    whole = divided(split, marked, ["engine"]).holdout
    for kind in (pl.Int64, pl.Float32):
        numbers = divided(split, marked.with_columns(pl.col("tested").cast(kind)), ["engine"]).holdout
        assert numbers.drop("tested").equals(whole.drop("tested"))
    with pytest.raises(LineError, match="'tested' says what is held out, and is Int64 with values such as 0, 2"):
        divided(split, marked.with_columns(pl.col("tested").cast(pl.Int64) * 2), ["engine"])


@pytest.mark.parametrize("wrong", [{}, {"holdout": "tested", "holdout_share": 0.2}, {"holdout_share": 1.0}])
def test_a_split_that_says_too_little_or_too_much_is_a_line_error(wrong):
    with pytest.raises(LineError, match="split: "):
        EntitySplit(**wrong)


DAYS = st.lists(st.floats(-200, 10), min_size=1, max_size=50)
HORIZONS = st.timedeltas(NO_TIME, timedelta(days=40))
SHARED = TimeSplit(holdout=0.2, validation=0.2)
MIXED = TimeSplit(holdout="90m", validation=0.5), TimeSplit(holdout=0.3, validation="6h")
BY_ENGINE = EntitySplit(holdout_share=0.4), EntitySplit(holdout="tested", validation_share=0.5)


@given(
    DAYS,
    st.sampled_from([SPLIT, SHARED, *BY_ENGINE]),
    st.sampled_from([UNTIL, UNTIL - timedelta(days=45), UNTIL + timedelta(days=45)]),
    HORIZONS,
)
def test_what_a_model_learnt_from_is_on_record_and_is_training_and_validation_and_never_the_holdout(
    days, split, until, horizon
):
    judged = rows(days).with_columns(tested=pl.col("x") > -50).with_row_index("row")
    division = split.division(judged, until, horizon)
    on_record = division_on_record(division.record)
    assert on_record == division
    learnt = judged.filter(on_record.learnt_from(judged, ["x"]))
    parts = division.divided(judged, ["x"])
    assert sorted(learnt["row"]) == sorted([*parts.train["row"], *parts.validation["row"]])
    assert not set(learnt["row"]) & set(parts.holdout["row"])


@given(DAYS, st.sampled_from([SPLIT, SHARED, *MIXED]), HORIZONS)
def test_every_outcome_is_known_before_the_first_decision_of_the_next_window(days, split, horizon):
    parts = divided(split, rows(days), horizon=horizon)
    windows = [part["decided_at"] for part in (parts.train, parts.validation, parts.holdout) if len(part)]
    for earlier, later in pairwise(windows):
        assert earlier.max() + horizon <= later.min()
        assert earlier.max() < later.min()
    assert all(window.max() + horizon <= UNTIL.replace(tzinfo=UTC) for window in windows)


@given(st.integers(50, 300), st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(1, 10**6))
def test_a_share_is_one_of_the_rows_there_are_however_long_or_short_they_take(count, holdout, validation, seconds):
    """The same shares of ticks of a second and of readings of years."""
    moments = [UNTIL - timedelta(seconds=seconds * (place + 1)) for place in range(count)]
    ticks = rows([0.0] * count).with_columns(decided_at=pl.Series(moments).dt.replace_time_zone("UTC"))
    parts = divided(TimeSplit(holdout=holdout, validation=validation), ticks)
    assert len(parts.holdout) == pytest.approx(holdout * count, abs=1)
    assert len(parts.validation) == pytest.approx(validation * (count - len(parts.holdout)), abs=1)
    assert len(parts.train) + len(parts.validation) + len(parts.holdout) == count


def test_rows_of_one_moment_are_in_one_window_and_an_empty_table_in_none():
    parts = divided(SHARED, rows([-3.0] * 10 + [-2.0] * 10))
    assert len(parts.holdout) in (0, 10, 20)
    assert sum(map(len, (parts.train, parts.validation, parts.holdout))) == 20
    assert len(divided(SHARED, rows([])).holdout) == 0


@pytest.mark.parametrize(
    ("first", "split", "said"),
    [
        (-228, TimeSplit(holdout="189d", validation="14d"), "models learn from 24 days and are judged on 189 days"),
        (-120, SPLIT, None),
        (-30, SPLIT, None),  # nothing to learn from is told by the training itself
        (-300, SHARED, None),
    ],
)
def test_where_models_learn_from_less_than_they_are_judged_on_it_is_said(first, split, said):
    days = rows([float(day) for day in range(first, 0)])
    told = split.division(days, UNTIL, NO_TIME).little_history(days)
    assert told is None if said is None else said in told


def test_hours_divide_a_series_of_a_day():
    parts = divided(TimeSplit(holdout="6h", validation="90m", train="10h"), rows([-hour / 24 for hour in range(1, 25)]))
    assert [len(part) for part in (parts.train, parts.validation, parts.holdout)] == [10, 1, 6]


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({}, "say `holdout` once"),
        ({"holdout": "30d"}, "say `validation` once"),
        ({"holdout": "30d", "holdout_days": 30, "validation": "1d"}, "say `holdout` once"),
        ({"holdout": "a month", "validation": "1d"}, "'a month' is no length of time"),
        ({"holdout": 30, "validation": "1d"}, "share between 0 and 1"),
        ({"holdout": "0d", "validation": "1d"}, "longer than nothing"),
        ({"holdout_days": 0, "validation_days": 3}, "must be 1 or more"),
        ({"holdout": 0.2, "validation": 0.2, "train": "3d", "train_days": 3}, "`train` or `train_days`"),
    ],
)
def test_windows_that_say_too_little_or_too_much_are_a_line_error(keys, what):
    with pytest.raises(LineError, match=what):
        TimeSplit(**keys)


@given(st.integers(0, 10**6))
def test_a_length_is_read_as_it_is_written(seconds):
    assert length_of(length_text(timedelta(seconds=seconds)), "holdout") == timedelta(seconds=seconds)


def test_a_row_without_an_outcome_yet_counts_as_learnt_from_for_its_outcome_may_come_in_later():
    unknown = rows([-40, -1], [None, None])
    assert SPLIT.division(unknown, UNTIL, NO_TIME).learnt_from(unknown, ["x"]).to_list() == [True, False]


def test_of_a_division_by_a_column_that_is_gone_all_rows_count_as_learnt_from():
    division = EntitySplit(holdout="tested").division(rows([]), UNTIL, NO_TIME)
    assert division.learnt_from(rows([-40, -1]), ["x"]).to_list() == [True, True]


def test_the_record_of_a_model_from_before_windows_were_kept_is_read():
    old = (
        '{"kind": "time", "until": "2013-05-01T00:00:00", "holdout_days": 30, "validation_days": 14, "train_days": 76}'
    )
    assert division_on_record(old) == SPLIT.division(rows([]), UNTIL, NO_TIME)


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"kind": "moon"}', '{"kind": "time", "until": "2013-05-01"}'])
def test_a_record_that_nobody_wrote_is_a_mistake_in_words(record):
    with pytest.raises(LineError, match="what a model learnt from cannot be read"):
        division_on_record(record)


def read(tmp_path, split):
    """The split of a line's file with these keys, which lacks all else."""
    file = tmp_path / "lines" / "press_faults" / "defs.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    written = yaml.safe_load(FILE.read_text())
    written["attributes"]["split"] = split
    file.write_text(yaml.safe_dump(written))
    return LineFile(file).sections().split


@pytest.mark.parametrize(
    ("keys", "split"),
    [
        ({"holdout_days": 30, "validation_days": 14, "train_days": 76}, SPLIT),
        ({"holdout": "6h", "validation": "90m"}, TimeSplit(holdout="6h", validation="90m")),
        ({"holdout": 0.2, "validation": 0.2}, SHARED),
        ({"holdout": "tested"}, EntitySplit(holdout="tested")),
        ({"holdout": "tested", "validation_share": 0.5}, EntitySplit(holdout="tested", validation_share=0.5)),
        ({"holdout_share": 0.4}, EntitySplit(holdout_share=0.4)),
    ],
)
def test_a_lines_file_says_a_split_by_its_keys(tmp_path, keys, split):
    assert read(tmp_path, keys) == split


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"holdout": "30 days", "validation": "1d"}, "no length of time"),
        ({"holdout": "30d"}, "say `validation` once"),
        ({"holdout": 3, "validation": "1d"}, "share between 0 and 1"),
        ({"hold_out": "30d", "validation": "1d"}, "did you mean 'holdout'"),
    ],
)
def test_a_mistake_in_a_split_is_told_with_its_line(tmp_path, keys, what):
    with pytest.raises(LineError, match=rf"defs.yaml:\d+: split.*{what}"):
        read(tmp_path, keys)

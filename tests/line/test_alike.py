"""Which rows are alike: by entity, by day, by likeness; whatever leaves fewest witnesses."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import LineError
from factory.line.alike import NEAR, blocks, near_groups
from factory.line.split import Parts
from tests.toy.line import toy_line

FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def line(alike="auto", entity=()):
    toy = toy_line()
    features = dataclasses.replace(toy.features, columns={"x": "", "y": ""}, entity=entity)
    return dataclasses.replace(toy, features=features, gates=dataclasses.replace(toy.gates, alike=alike))


def parts(rows=60, hours=12, **columns):
    chance = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "site": "north",
            "thing": [str(number % 7) for number in range(rows)],
            "decided_at": [FIRST + timedelta(hours=hours * number) for number in range(rows)],
            "label": chance.integers(0, 2, rows),
            "x": chance.normal(size=rows),
            "y": chance.normal(size=rows),
            **columns,
        }
    )
    return Parts(train=frame, validation=frame, holdout=frame, rows=frame)


def test_rows_of_one_day_are_one_witness_in_the_order_of_time():
    found = blocks(line(), parts(rows=60))
    assert (found.count, found.what, found.in_time) == (30, "days", True)
    assert (np.diff(found.of_row) >= 0).all()


def test_seconds_of_one_experiment_are_one_witness():
    assert blocks(line(), parts(rows=1147, hours=1 / 3600)).count == 1


def test_whatever_leaves_fewest_witnesses_says_what_is_alike():
    assert blocks(line(entity=("thing",)), parts(rows=60)).what == "values of thing"
    few_days = blocks(line(entity=("thing",)), parts(rows=60, hours=1))
    assert (few_days.count, few_days.what) == (3, "days")


def test_a_clock_that_is_not_time_makes_no_days():
    found = blocks(line(entity=("thing",)), parts(decided_at=list(range(60))))
    assert (found.count, found.in_time) == (7, False)


@pytest.mark.parametrize(
    ("alike", "count"), [("6h", 60), ("1d", 30), ("1w", 5), ("row", 60), (("thing",), 7), (("thing", "label"), 14)]
)
def test_a_line_may_say_what_is_alike(alike, count):
    assert blocks(line(alike), parts()).count == count


@pytest.mark.parametrize("alike", ["days", "0d", "1 d", "", "entities"])
def test_a_word_that_says_nothing_is_refused(alike):
    with pytest.raises(LineError, match="alike"):
        line(alike)


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(LineError, match="say no `entity`"):
        line("entity")
    with pytest.raises(LineError, match="'batch', which is not among"):
        blocks(line(("batch",)), parts())
    with pytest.raises(LineError, match="a period of time"):
        blocks(line("1d"), parts(decided_at=list(range(60))))


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 60), st.integers(2, 5), st.floats(0, NEAR / 10), st.integers(0, 99))
def test_copies_of_a_row_are_one_witness_also_where_they_differ_by_a_hair(rows, copies, jitter, seed):
    chance = np.random.default_rng(seed)
    table = chance.normal(size=(rows, 2))
    copied = np.tile(table, (copies, 1)) + jitter * chance.uniform(-1, 1, (copies * rows, 2))
    label = np.tile(chance.permutation(np.arange(rows) % 2), copies)
    same_day = [FIRST] * len(label)
    found = blocks(line(), parts(len(label), x=copied[:, 0], y=copied[:, 1], label=label, decided_at=same_day))
    assert found.count <= rows
    assert found.what == "groups of near-duplicate rows"
    assert all(len(set(found.of_row[number::rows])) == 1 for number in range(rows))


@given(st.integers(0, 99))
def test_equal_features_with_labels_of_their_own_are_no_duplicates(seed):
    chance = np.random.default_rng(seed)
    rows = 300
    few = chance.integers(0, 3, (rows, 2)).astype(float)
    some = parts(rows, x=few[:, 0], y=few[:, 1], label=chance.integers(0, 2, rows), decided_at=[FIRST] * rows)
    assert blocks(line(), some).count == rows


def test_unknown_values_and_constant_features_are_compared_too():
    features = np.array([[1.0, np.nan, 5], [1.0, np.nan, 5], [1.0, 2.0, 5], [7.0, np.nan, 5]])
    assert near_groups(features).tolist() in (
        [0, 0, 1, 2],
        [0, 0, 2, 1],
        [1, 1, 2, 0],
        [1, 1, 0, 2],
        [2, 2, 0, 1],
        [2, 2, 1, 0],
    )
    assert near_groups(np.empty((0, 3))).shape == (0,)


def test_a_site_without_holdout_rows_has_no_witness():
    nothing = parts(rows=3)
    empty = dataclasses.replace(nothing, holdout=nothing.holdout.clear())
    for alike in ("auto", "1d", "row", ("thing",)):
        assert blocks(line(alike), empty).count == 0

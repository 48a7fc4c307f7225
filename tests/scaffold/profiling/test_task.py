"""Promises of a target's proposed task: type and values decide, a person may say otherwise, no guess is silent."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import SourceError
from factory.scaffold.profiling.counting import Counts, Distinct
from factory.scaffold.profiling.task import MOST_CLASSES, Target, task_of


def task(values, **said):
    """Return the task of a column of these values."""
    column = pl.Series(values)
    counts = Counts(distinct=Distinct(limit=10_000))
    counts.see(column)
    return task_of(Target(column="y", **said), str(column.dtype), counts)


def repeated(rows_of):
    return [value for value, rows in rows_of.items() for _ in range(rows)]


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        ([0, 1, 1], "1"),
        ([0.0, 1.0, 1.0], "1"),
        ([-1, 1, 1], "1"),
        (["0", "1", "1"], "1"),
        ([False, True, True], "true"),
        (["N", "Y", "Y"], "Y"),
        (["no", "yes", "yes"], "yes"),
        (["good", "bad", "bad"], "bad"),
    ],
)
def test_a_value_that_says_yes_is_the_positive_one_however_common(values, positive):
    told = task(values)
    assert told.classes[1] == positive
    assert not told.unsure


@pytest.mark.parametrize("values", [[1, 1, 2], ["1", "1", "2"], [1.0, 1.0, 2.0], ["t", "t", "r"], ["a", "a", "b"]])
def test_where_neither_value_says_yes_the_rarer_is_taken_and_that_is_said(values):
    told = task(values)
    assert told.values[1] == values[-1]
    assert "--positive" in told.unsure
    other = task(values, positive=told.classes[0])
    assert other.classes == told.classes[::-1]
    assert not other.unsure


@given(st.sampled_from([[1, 2], ["yes", "no"], [True, False], ["x", "y"]]), st.booleans())
def test_what_a_person_says_of_two_values_is_what_is_done(values, first):
    name = str(values[0 if first else 1]).lower() if isinstance(values[0], bool) else str(values[0 if first else 1])
    told = task(values * 5, positive=name)
    assert told.kind == "binary"
    assert told.classes[1] == name
    assert not told.unsure


def test_counts_are_a_number_and_codes_are_classes():
    assert task(repeated({0: 50, 1: 80, 2: 60, 3: 30, 4: 12, 5: 3})).kind == "regression"
    assert task(repeated(dict.fromkeys(range(10), 30))).kind == "multiclass"
    assert task(repeated({1: 50, 2: 30, 3: 9, 4: 2})).kind == "multiclass"
    assert task([2.5, 1.0, 3.0]).kind == "regression"
    assert task(range(40)).kind == "regression"


@given(st.lists(st.integers(0, 30), min_size=3, max_size=200).filter(lambda values: len(set(values)) > 2))
def test_of_whole_numbers_either_task_can_be_asked_for_and_a_guess_is_said(values):
    proposed = task(values)
    assert (len(set(values)) > 10) or proposed.unsure
    regression, multiclass = task(values, task="regression"), task(values, task="multiclass")
    assert (regression.kind, regression.unsure) == ("regression", "")
    assert multiclass.classes == tuple(str(value) for value in sorted(set(values)))
    assert not multiclass.unsure


def test_as_many_classes_as_an_intent_or_a_product_has_are_told_apart():
    assert len(task([f"intent {n % 150}" for n in range(3_000)]).classes) == 150
    with pytest.raises(SourceError, match=f"{MOST_CLASSES} classes"):
        task([f"name {n}" for n in range(3_000)])
    with pytest.raises(SourceError, match="group them first"):
        task(range(3_000), task="multiclass")


@pytest.mark.parametrize(
    ("values", "said", "why"),
    [
        (["a", "b", "c"], {"task": "regression"}, "is String"),
        ([1, 2, 3], {"task": "binary"}, "3 different values"),
        ([1, 2, 3], {"positive": "2"}, "3 different values"),
        ([1, 2], {"positive": "7"}, "no value '7'; it has '1' and '2'"),
        ([1, 2], {"task": "classification"}, "binary, multiclass, regression"),
        ([1, 2], {"task": "regression", "positive": "1"}, "leave one out"),
        ([1, 1], {}, "one class"),
        ([None, None], {}, "no value"),
    ],
)
def test_what_cannot_be_is_one_sentence(values, said, why):
    with pytest.raises(SourceError, match=why):
        task(values, **said)

"""The gateway decides on an answer as the task did when it was judged, though it never sees the task."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from factory.model.answers import answer_kind
from factory.tasks import Binary, Multiclass, Regression
from factory.tasks.regression import RegressionValue
from factory.tasks.regression.value import cost_eur

CHANCES = st.floats(0, 1, width=32)
THRESHOLDS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0])


def decisions(task, answers, threshold):
    kind = answer_kind(task.kind)
    return [kind.decision(row, threshold, task.answers) for row in answers.astype(np.float64)]


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(1)), elements=CHANCES), THRESHOLDS)
def test_as_many_alarms_are_raised_as_were_counted(answers, threshold):
    made = decisions(Binary(), answers, threshold)
    assert made == [bool(chance >= threshold) for chance in answers[:, 0]]
    counted = Binary().counts(np.zeros(len(answers), np.float32), answers, threshold)
    assert sum(map(bool, made)) == counted["alarms"]


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(3)), elements=CHANCES), THRESHOLDS)
def test_as_many_rows_are_decided_as_were_counted_each_as_its_likeliest_class(answers, threshold):
    task = Multiclass(classes=("low", "middle", "high"))
    made = decisions(task, answers, threshold)
    counted = task.counts(np.zeros(len(answers), np.float32), answers, threshold)
    assert sum(one is not None for one in made) == counted["decided"]
    for row, name in zip(answers, made, strict=True):
        assert name is None or row[task.classes.index(name)] == row.max()


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-100, 100, width=32)), st.floats(-10, 10))
def test_the_number_that_is_acted_on_is_the_one_whose_cost_was_weighed(answers, margin):
    task, money = Regression(), RegressionValue(under_unit_eur=-1, over_unit_eur=-2)
    label = np.full(len(answers), 7, np.float32)
    acted = np.array(decisions(task, answers, margin))
    worth = task.row_values_eur(label, answers, margin, money, 5.0)
    assert worth == pytest.approx(cost_eur(label, acted, money) - cost_eur(label, 5.0, money))


def test_what_leads_is_the_estimate_the_probability_or_the_likeliest_class():
    answers = np.array([[0.1, 0.9, 0.0], [0.5, 0.2, 0.3]])
    leading = {task: answer_kind(task).leading(answers).tolist() for task in ("regression", "multiclass")}
    assert leading == {"regression": [0, 0], "multiclass": [1, 0]}
    assert answer_kind("binary").leading(answers[:, :1]).tolist() == [0, 0]


def test_only_decisions_that_are_numbers_cannot_be_counted():
    few = {task: answer_kind(task).decides_among_few for task in ("binary", "multiclass", "regression")}
    assert few == {"binary": True, "multiclass": True, "regression": False}


def test_a_task_that_this_version_does_not_know_is_named():
    with pytest.raises(ValueError, match="task 'plan' is none of binary, multiclass, regression"):
        answer_kind("plan")

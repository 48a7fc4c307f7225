"""Estimates with intervals: figures agree with scikit-learn's, intervals keep their promise, margins earn most."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from factory.errors import LineError, TrainingError
from factory.tasks import Regression
from factory.tasks.intervals import Blocks
from factory.tasks.regression import RegressionValue
from factory.tasks.regression.value import _ROUNDING, best_constant, best_margin, cost_eur

TASK = Regression(coverage=0.9)
MONEY = RegressionValue(under_unit_eur=-500, over_unit_eur=0, over_eur=-60_000)
NUMBERS = st.floats(-1000, 1000, width=32)


@st.composite
def answered(draw, least=1):
    rows = draw(st.integers(least, 40))
    label = draw(hnp.arrays(np.float32, rows, elements=NUMBERS))
    estimate = draw(hnp.arrays(np.float32, rows, elements=NUMBERS))
    return label, np.stack([estimate, estimate - 10, estimate + 10], 1)


@given(answered())
def test_figures_are_scikit_learns(rows):
    label, answer = rows
    figures = TASK.figures(label, answer)
    estimate = answer[:, 0].astype(np.float64)
    assert figures["rmse"] == pytest.approx(oracle.root_mean_squared_error(label, estimate))
    assert figures["mae"] == pytest.approx(oracle.mean_absolute_error(label, estimate))
    inside = (answer[:, 1] <= label) & (label <= answer[:, 2])
    assert figures["coverage"] == pytest.approx(inside.mean())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_answer_that_is_no_number_makes_figures_nan_and_is_counted(bad):
    label, answer = np.zeros(3, np.float32), np.array([[1.0, 0, 2], [bad, 0, 2], [1.0, 0, 2]], np.float32)
    assert math.isnan(TASK.figures(label, answer)["rmse"])
    counts = {"rows": 3, **TASK.counts(label, answer, 0.0)}
    assert [check.reason for check in TASK.checks(counts)] == [
        "1 of 3 answers are no finite low ≤ estimate ≤ high, needs 0 such"
    ]


def test_an_interval_that_does_not_hold_its_own_estimate_is_objected_to():
    answer = np.array([[5.0, 6.0, 7.0]], np.float32)
    assert TASK.counts(np.zeros(1), answer, 0.0) == {"not_intervals": 1}


def test_errors_on_the_same_rows_are_paired():
    chance = np.random.default_rng(0)
    label = chance.normal(size=400).astype(np.float32)
    answer = np.stack([label + chance.normal(size=400).astype(np.float32)] * 3, 1)
    worse = answer.copy()
    worse[:, 0] += (worse[:, 0] - label) * 0.1
    ours, theirs = (TASK.estimated(label, one, Blocks.rows(400)) for one in (answer, worse))
    assert ours.value == pytest.approx(TASK.headline_of(label, answer))
    assert ours.interval().high > theirs.interval().low
    assert (theirs - ours).certainty_above(0.0) > 0.999


def costs(label, acted):
    return cost_eur(label, acted, MONEY).sum()


@given(answered(), st.floats(-500, 500))
def test_nothing_costs_less_than_the_chosen_constant_and_the_chosen_margin(rows, other):
    label, answer = rows
    estimate = answer[:, 0].astype(np.float64)
    constant, margin = best_constant(label, MONEY), best_margin(label, answer[:, 0], MONEY)
    # A number above a label by no more than rounding has not failed: there one may save so much, and no more.
    slack = 1e-3 - MONEY.under_unit_eur * (_ROUNDING * (1 + np.abs(label))).sum()
    for one in (*label.astype(float), other):
        assert costs(label, constant) >= costs(label, one) - slack
    for one in (*(estimate - label), other):
        assert costs(label, estimate - margin) >= costs(label, estimate - one) - slack


def test_a_cycle_thrown_away_costs_its_price_and_a_failure_costs_once():
    label = np.array([100.0, 100.0, 100.0])
    np.testing.assert_array_equal(cost_eur(label, np.array([90.0, 100.0, 101.0]), MONEY), [-5000, 0, -60_000])


def test_a_perfect_estimate_is_worth_all_that_the_best_constant_wastes():
    label = np.array([10.0, 50.0, 90.0])
    idle = TASK.without_model(label, MONEY)
    answer = np.stack([label] * 3, 1)
    assert TASK.row_values_eur(label, answer, 0.0, MONEY, idle).sum() == -cost_eur(label, idle, MONEY).sum() > 0


@pytest.mark.parametrize("wrong", [{"over_unit_eur": 1.0}, {"under_unit_eur": 0.0}, {"over_unit_eur": math.nan}])
def test_money_that_makes_no_sense_is_a_line_error(wrong):
    with pytest.raises(LineError, match="value: "):
        RegressionValue(**{"under_unit_eur": -1.0, "over_unit_eur": -1.0, **wrong})


@pytest.mark.parametrize("wrong", [{"coverage": 1.0}, {"coverage": 0.1}, {"minimum": 3.0, "maximum": 3.0}])
def test_a_promise_that_cannot_be_kept_is_a_line_error(wrong):
    with pytest.raises(LineError, match="task: "):
        Regression(**wrong)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_a_calibrated_interval_holds_new_outcomes_as_often_as_promised(coverage):
    chance = np.random.default_rng(3)
    label = chance.normal(10, 5, 4000).astype(np.float32)
    head = Regression(coverage=coverage).new_head(label)
    narrow = np.stack([np.full(4000, 10.0), np.full(4000, 9.0), np.full(4000, 11.0)], 1)
    head.calibrate(narrow, label)
    fresh = chance.normal(10, 5, 20_000)
    answer = head(torch.from_numpy(narrow[:1]).float()).numpy()[0]
    held = ((fresh >= answer[1]) & (fresh <= answer[2])).mean()
    assert held == pytest.approx(coverage, abs=0.02)


def test_a_small_site_keeps_near_the_pooled_width():
    label = np.zeros(20, np.float32)
    pooled, own = Regression().new_head(np.arange(5.0)), Regression().new_head(np.arange(5.0))
    pooled.widen.fill_(7.0)
    own.calibrate(np.zeros((20, 3)), label, prior=pooled, prior_rows=2000)
    assert float(own.widen) == pytest.approx(7.0, abs=0.1)


def test_answers_keep_within_what_an_outcome_can_be_and_in_order():
    head = Regression(minimum=0, maximum=125).new_head(np.array([0.0, 125.0]))
    answer = head(torch.tensor([[140.0, 130.0, 150.0], [-5.0, -10.0, 3.0], [60.0, 70.0, 50.0]])).numpy()
    assert ((answer >= 0) & (answer <= 125)).all()
    assert (answer[:, 1] <= answer[:, 0]).all()
    assert (answer[:, 0] <= answer[:, 2]).all()


def test_the_interval_does_not_pull_at_the_estimate():
    head = Regression().new_head(np.array([0.0, 1.0]))
    outputs = torch.tensor([[[0.3, 0.0, 0.0]]], requires_grad=True)
    head.loss(outputs, torch.tensor([0.8])).sum().backward()
    target = (0.8 - float(head.center)) / float(head.spread)
    assert float(outputs.grad[0, 0, 0]) == pytest.approx(2 * (0.3 - target), rel=1e-5)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (np.zeros(5), "5 rows"),
        (np.full(50, 3.0), "all 50 labels are 3"),
        (np.r_[np.arange(49), np.inf], "1 labels are inf"),
    ],
)
def test_labels_that_teach_nothing_are_told(label, says):
    assert says in TASK.flaw(label)
    assert TASK.flaw(np.arange(50.0)) is None


def test_labels_that_are_no_numbers_are_refused():
    assert np.isnan(TASK.codes(pl.Series([1, None]))[1])
    with pytest.raises(TrainingError, match="labels are String"):
        TASK.codes(pl.Series(["a"]))

"""What a decision is worth on average is what the task says it is worth, averaged over the outcomes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.model.payoff import Payoff
from factory.tasks import Binary, Multiclass, Regression
from factory.tasks.binary import BinaryValue
from factory.tasks.multiclass import MulticlassValue
from factory.tasks.regression import RegressionValue

chances = st.floats(0, 1, width=32)
amounts = st.integers(1, 500)
costs = st.integers(-500, 0)


@given(chances, chances, amounts, costs, st.integers(-300, 300))
def test_an_alarms_expected_value_is_the_tasks_own_averaged_over_both_outcomes(chance, threshold, gain, false, missed):
    money = BinaryValue(caught_eur=missed + gain, missed_eur=missed, false_alarm_eur=false)
    outcomes, answer = np.array([1.0, 0.0]), np.full((2, 1), chance, np.float32)
    acts = chance >= threshold
    positive, negative = Binary().row_values_eur(outcomes, answer, threshold, money, 0.0)
    assert (positive, negative) == ((gain, false) if acts else (0, 0))
    expected = money.stakes.expected_eur(chance) if acts else 0.0
    assert expected == chance * positive + (1 - chance) * negative


@given(st.lists(chances, min_size=3, max_size=3).filter(sum), chances, amounts, costs)
def test_a_classs_expected_value_is_the_tasks_own_averaged_over_all_classes(weights, threshold, right, wrong):
    money = MulticlassValue(right_eur=right, wrong_eur=wrong)
    answer = (np.array(weights) / sum(weights)).astype(np.float32)
    task = Multiclass(classes=("a", "b", "c"))
    worth = task.row_values_eur(np.arange(3.0), np.tile(answer, (3, 1)), threshold, money, 0.0)
    best, decides = float(answer.max()), bool(answer.max() >= np.float32(threshold))
    amounts = [right if label == answer.argmax() else wrong for label in range(3)]
    np.testing.assert_array_equal(worth, amounts if decides else [0, 0, 0])
    found = money.stakes.expected_eur(best) if decides else 0.0
    assert found == pytest.approx(float(answer.astype(np.float64) @ worth), rel=1e-5, abs=1e-3)


def test_an_estimate_has_no_stakes_for_its_worth_is_more_than_right_or_wrong():
    money = RegressionValue(under_unit_eur=-1.0, over_unit_eur=-2.0)
    assert isinstance(money, Regression.value)
    assert money.stakes is None


@pytest.mark.parametrize(
    ("right", "wrong"), [(0.0, -1.0), (1.0, 0.5), (math.inf, 0.0), (1.0, -math.inf), (math.nan, 0)]
)
def test_a_payoff_that_could_never_pay_or_never_cost_are_refused(right, wrong):
    with pytest.raises(ValueError, match="payoff"):
        Payoff(right_eur=right, wrong_eur=wrong)

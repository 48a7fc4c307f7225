"""Money: what decisions are worth, and that no threshold earns more than the one chosen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from factory.errors import LineError
from factory.tasks.binary.value import (
    MIN_POSITIVES,
    MIN_ROWS,
    NEVER,
    BinaryValue,
    best_threshold,
    break_even,
    value_eur,
)

MONEY = BinaryValue(caught_eur=-40.0, missed_eur=-200.0, false_alarm_eur=-30.0)

VALUES = st.builds(
    lambda missed, gain, false: BinaryValue(caught_eur=missed + gain, missed_eur=missed, false_alarm_eur=false),
    st.integers(-500, 100),
    st.integers(1, 500),
    st.integers(-500, 0),
)


@st.composite
def windows(draw):
    rows = draw(st.integers(MIN_ROWS, MIN_ROWS + 40))
    label = draw(hnp.arrays(np.float32, rows, elements=st.sampled_from([0.0, 1.0])))
    label[:MIN_POSITIVES] = 1.0
    scores = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1, width=32))
    return label, draw(hnp.arrays(np.float32, rows, elements=scores))


def test_caught_gains_the_difference_to_missing_and_a_false_alarm_costs():
    label = np.array([1, 1, 0, 0])
    alarm = np.array([True, False, True, False])
    assert value_eur(label, alarm, MONEY) == 160.0 - 30.0


def test_deciding_nothing_is_worth_nothing_and_no_rows_neither():
    assert value_eur(np.ones(9), np.zeros(9, bool), MONEY) == 0.0
    assert value_eur(np.array([]), np.array([], bool), MONEY) == 0.0


@given(VALUES, st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_value_is_what_an_accountant_finds_row_by_row(value, rows):
    decided = sum(
        (value.caught_eur if alarm else value.missed_eur) if late else (value.false_alarm_eur if alarm else 0.0)
        for late, alarm in rows
    )
    nothing = sum(value.missed_eur for late, _ in rows if late)
    label, alarm = np.array([late for late, _ in rows], float), np.array([alarm for _, alarm in rows], bool)
    assert value_eur(label, alarm, value) == pytest.approx(decided - nothing)


@given(windows(), VALUES)
def test_no_threshold_earns_more_on_the_window_than_the_chosen_one(window, value):
    label, probability = window
    chosen = best_threshold(label, probability, value)
    earned = value_eur(label, probability >= chosen, value)
    tried = [*np.unique(probability), NEVER]
    assert earned == pytest.approx(max(value_eur(label, probability >= one, value) for one in tried))


@given(windows(), VALUES)
def test_the_threshold_decides_alike_in_single_and_double_precision(window, value):
    label, probability = window
    threshold = best_threshold(label, probability, value)
    np.testing.assert_array_equal(probability.astype(np.float64) >= threshold, probability >= np.float32(threshold))


def test_where_no_alarm_pays_none_is_raised():
    label = np.r_[np.ones(20), np.zeros(980)]
    dear = BinaryValue(caught_eur=1.0, missed_eur=0.0, false_alarm_eur=-1000.0)
    assert best_threshold(label, np.full(1000, 1.0), dear) == NEVER


def test_the_threshold_lies_halfway_so_that_rounding_moves_no_row():
    label = np.r_[np.ones(100), np.zeros(100)]
    probability = np.r_[np.full(100, 0.8), np.full(100, 0.2)]
    assert best_threshold(label, probability, MONEY) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("below", [0.5, 0.5000001, 0.3, 1e-7])
def test_adjacent_probabilities_are_still_told_apart(kind, below):
    below = kind(below)
    label = np.r_[np.ones(100), np.zeros(100)]
    probability = np.repeat([np.nextafter(below, kind(1.0)), below], 100)
    threshold = best_threshold(label, probability, MONEY)
    np.testing.assert_array_equal(probability >= threshold, label > 0)
    np.testing.assert_array_equal(probability.astype(np.float64) >= threshold, label > 0)


@pytest.mark.parametrize(("rows", "positives"), [(0, 0), (MIN_ROWS - 1, 100), (5000, MIN_POSITIVES - 1), (32, 32)])
def test_a_small_window_leaves_the_threshold_to_the_money(rows, positives):
    label = np.r_[np.ones(positives), np.zeros(rows - positives)]
    assert best_threshold(label, np.full(rows, 0.5), MONEY) == break_even(MONEY)


def test_probabilities_that_are_no_numbers_leave_the_threshold_to_the_money():
    label = np.r_[np.ones(200), np.zeros(200)]
    assert best_threshold(label, np.full(400, np.nan), MONEY) == break_even(MONEY)


@given(VALUES)
def test_at_break_even_an_alarm_is_worth_nothing_on_average(value):
    chance = break_even(value)
    assert 0.0 <= chance < 1.0
    assert chance * value.gain_eur + (1 - chance) * value.false_alarm_eur == pytest.approx(0.0, abs=1e-9)


def test_a_calibrated_model_is_best_cut_near_break_even():
    random = np.random.default_rng(0)
    probability = random.random(200_000)
    label = (random.random(200_000) < probability).astype(float)
    assert best_threshold(label, probability, MONEY) == pytest.approx(break_even(MONEY), abs=0.02)


@pytest.mark.parametrize(
    ("money", "named"),
    [
        ({"caught_eur": 1.0, "missed_eur": 1.0, "false_alarm_eur": -1.0}, "caught_eur 1 must exceed missed_eur 1"),
        ({"caught_eur": -5.0, "missed_eur": 0.0, "false_alarm_eur": -1.0}, "caught_eur -5 must exceed missed_eur 0"),
        ({"caught_eur": 5.0, "missed_eur": 0.0, "false_alarm_eur": 1.0}, "false_alarm_eur 1 must be 0 or less"),
        ({"caught_eur": float("nan"), "missed_eur": 0.0, "false_alarm_eur": 0.0}, "must be numbers"),
    ],
)
def test_money_that_makes_no_sense_is_a_line_error(money, named):
    with pytest.raises(LineError, match=named):
        BinaryValue(**money)

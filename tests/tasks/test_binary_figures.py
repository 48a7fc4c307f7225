"""Figures of merit agree with scikit-learn's, and chance is told as it is."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from factory.tasks.binary.figures import (
    average_precision,
    estimated_average_precision,
    expected_calibration_error,
    log_loss,
    roc_auc,
)
from factory.tasks.intervals import Blocks

SCORES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),  # ties
    st.floats(0, 1, width=32),
)


@st.composite
def scored(draw, both_classes=True):
    rows = draw(st.integers(2, 60))
    label = draw(hnp.arrays(np.float32, rows, elements=st.sampled_from([0.0, 1.0])))
    if both_classes:
        label[0], label[1] = 0.0, 1.0
    return label, draw(hnp.arrays(np.float32, rows, elements=SCORES))


def estimated(label, probability):
    """Average precision, every row a witness of its own."""
    return estimated_average_precision(label, probability, Blocks.rows(len(label)))


def paired(label, ours, theirs):
    """By how much our precision exceeds theirs on the same rows."""
    return estimated(label, ours) - estimated(label, theirs)


def sample(rows, seed=0, signal=0.2):
    random = np.random.default_rng(seed)
    label = (random.random(rows) < 0.3).astype(np.float32)
    return label, np.clip(signal * label + (1 - signal) * random.random(rows), 0, 1).astype(np.float32)


@given(scored())
def test_average_precision_is_scikit_learns_ties_and_all(rows):
    label, probability = rows
    assert average_precision(label, probability) == pytest.approx(oracle.average_precision_score(label, probability))


@given(scored())
def test_roc_auc_is_scikit_learns_ties_and_all(rows):
    label, probability = rows
    assert roc_auc(label, probability) == pytest.approx(oracle.roc_auc_score(label, probability))


@given(scored(both_classes=False))
def test_log_loss_is_scikit_learns(rows):
    label, probability = rows
    expected = oracle.log_loss(label, probability.astype(np.float64), labels=[0, 1])
    assert log_loss(label, probability) == pytest.approx(expected)


@given(scored(both_classes=False), st.integers(1, 15))
def test_calibration_error_is_the_weighted_gap_of_each_bin(rows, bins):
    label, probability = rows
    edges = [(probability.astype(float) * bins >= place) for place in range(bins)]
    places = np.sum(edges, axis=0) - 1
    inside = [places == place for place in range(bins)]
    gaps = [
        abs(label[here].mean() - probability[here].astype(float).mean()) * here.sum() for here in inside if here.any()
    ]
    assert expected_calibration_error(label, probability, bins) == pytest.approx(sum(gaps) / len(label), abs=1e-6)


def test_calibration_error_of_an_honest_model_is_small_and_of_a_boastful_one_is_its_exaggeration():
    random = np.random.default_rng(1)
    honest = random.random(50_000)
    label = (random.random(50_000) < honest).astype(float)
    assert expected_calibration_error(label, honest) < 0.01
    assert expected_calibration_error(np.zeros(100), np.full(100, 0.9)) == pytest.approx(0.9)


@pytest.mark.parametrize("figure", [average_precision, roc_auc])
@pytest.mark.parametrize("label", [[], [0, 0], [1, 1]])
def test_what_cannot_be_ranked_is_nan_and_raises_nothing(figure, label):
    assert math.isnan(figure(np.array(label, np.float32), np.full(len(label), 0.5, np.float32)))


@pytest.mark.parametrize("figure", [average_precision, roc_auc, log_loss, expected_calibration_error])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_probability_that_is_no_number_makes_every_figure_nan(figure, bad):
    assert math.isnan(figure(np.array([0.0, 1.0, 1.0]), np.array([0.2, bad, 0.9])))


@pytest.mark.parametrize("figure", [log_loss, expected_calibration_error])
def test_no_rows_have_no_loss(figure):
    assert math.isnan(figure(np.array([]), np.array([])))


@given(scored())
def test_a_rows_influence_is_how_scikit_learns_precision_changes_with_its_weight(rows):
    label, probability = rows
    found = estimated(label, probability)
    step = 1e-5
    for row in range(len(label)):
        more, less = np.ones((2, len(label)))
        more[row], less[row] = 1 + step, 1 - step
        above, below = (oracle.average_precision_score(label, probability, sample_weight=w) for w in (more, less))
        assert found.influence[row] == pytest.approx((above - below) / (2 * step), abs=1e-6)
    assert found.value == pytest.approx(oracle.average_precision_score(label, probability))
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


def test_intervals_are_as_wide_as_fresh_samples_spread():
    fresh = [average_precision(*sample(800, seed)) for seed in range(300)]
    widths = [
        np.subtract(*reversed(dataclasses.astuple(estimated(*sample(800, seed)).interval(0.9)))) for seed in range(9)
    ]
    assert np.mean(widths) == pytest.approx(np.subtract(*np.quantile(fresh, [0.95, 0.05])), rel=0.15)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth = average_precision(*sample(200_000, seed=77))
    intervals = [estimated(*sample(600, seed)).interval(0.9) for seed in range(400)]
    assert 0.85 <= np.mean([one.low <= truth <= one.high for one in intervals]) <= 0.95


def test_pairing_shows_a_difference_that_two_intervals_hide():
    label, ours = sample(3000)
    theirs = np.clip(ours + 0.05 * np.random.default_rng(5).standard_normal(3000), 0, 1)
    assert estimated(label, theirs).interval().high > estimated(label, ours).interval().low
    assert paired(label, ours, theirs).certainty_above(0.0) > 0.95


def test_a_model_is_never_better_than_itself_and_the_pair_is_antisymmetric():
    label, ours = sample(500)
    theirs = sample(500, seed=9)[1]
    assert paired(label, ours, ours).certainty_above(0.0) == 0.0
    one_way, other_way = paired(label, ours, theirs), -paired(label, theirs, ours)
    assert one_way.certainty_above(0.0) == pytest.approx(other_way.certainty_above(0.0))


def test_noise_is_better_than_noise_half_the_time():
    random = np.random.default_rng(3)
    label = (random.random(600) < 0.3).astype(float)
    shares = [paired(label, random.random(600), random.random(600)).certainty_above(0) for _ in range(200)]
    assert 0.4 < np.mean(shares) < 0.6


def test_a_ranking_without_a_fault_is_no_better_than_that():
    interval = estimated(np.r_[np.ones(20), np.zeros(80)], np.r_[np.full(20, 0.9), np.full(80, 0.1)]).interval()
    assert (interval.low, interval.high) == (1.0, 1.0)


@pytest.mark.parametrize("label", [[], [1.0, 1.0], [0.0], [1.0] * 9])
def test_degenerate_rows_have_no_interval_and_no_warning(label):
    rows = np.array(label)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = estimated(rows, rows).interval()
        assert math.isnan(paired(rows, rows, rows).certainty_above(0.0))
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)

"""Figures of merit agree with scikit-learn's, and resampling says about chance what it should."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from factory.tasks.binary.figures import (
    average_precision,
    expected_calibration_error,
    log_loss,
    resampled_average_precision,
    roc_auc,
)
from factory.tasks.resampling import Blocks, Resamples

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


def resampled(label, probability, **how):
    """Average precision in each resample, every row a witness of its own."""
    return resampled_average_precision(label, probability, resamples(label, **how))


def resamples(label, **how):
    return Resamples(blocks=Blocks.rows(len(label)), **how)


def paired(label, ours, theirs, **how):
    """By how much our precision exceeds theirs in each of the same resamples."""
    return resampled(label, ours, **how) - resampled(label, theirs, **how)


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


@settings(max_examples=30)
@given(scored(), st.integers(0, 5))
def test_each_resample_is_scored_as_scikit_learn_scores_weighted_rows(rows, seed):
    label, probability = rows
    how = Resamples(blocks=Blocks.rows(len(label)), rounds=8, seed=seed)
    weights = []
    found = resampled_average_precision(label, probability, how).samples
    how.figure(lambda some: weights.extend(some) or np.zeros(len(some)))
    for figure, weight in zip(found, weights, strict=True):
        assert weight.sum() == len(label)
        if 0 < (weight * label).sum() < weight.sum():
            assert figure == pytest.approx(oracle.average_precision_score(label, probability, sample_weight=weight))
        else:
            assert math.isnan(figure)


def test_resamples_spread_as_fresh_samples_do():
    fresh = np.array([average_precision(*sample(800, seed)) for seed in range(300)])
    found = resampled(*sample(800, seed=1000)).widened
    assert found.std() == pytest.approx(fresh.std(), rel=0.25)
    assert found.mean() == pytest.approx(average_precision(*sample(800, seed=1000)), abs=0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth = average_precision(*sample(200_000, seed=77))
    held = 0
    for seed in range(120):
        interval = resampled(*sample(600, seed), rounds=300).interval(0.9)
        held += interval.low <= truth <= interval.high
    assert 0.8 <= held / 120 <= 0.97


def test_pairing_shows_a_difference_that_two_intervals_hide():
    label, ours = sample(3000)
    theirs = np.clip(ours + 0.05 * np.random.default_rng(5).standard_normal(3000), 0, 1)
    assert resampled(label, theirs).interval().high > resampled(label, ours).interval().low
    assert paired(label, ours, theirs).share_above(0.0) > 0.95


def test_a_model_is_never_better_than_itself_and_the_pair_is_antisymmetric():
    label, ours = sample(500)
    theirs = sample(500, seed=9)[1]
    assert not paired(label, ours, ours).samples.any()
    np.testing.assert_array_equal(paired(label, ours, theirs).samples, (-paired(label, theirs, ours)).samples)


def test_noise_is_better_than_noise_half_the_time():
    random = np.random.default_rng(3)
    label = (random.random(600) < 0.3).astype(float)
    shares = [paired(label, random.random(600), random.random(600), rounds=200).share_above(0) for _ in range(60)]
    assert 0.35 < np.mean(shares) < 0.65


def test_resampling_is_the_same_for_the_same_seed_and_another_for_another():
    label, probability = sample(400)
    first = resampled(label, probability, rounds=50, seed=1).samples
    np.testing.assert_array_equal(first, resampled(label, probability, rounds=50, seed=1).samples)
    assert not np.array_equal(first, resampled(label, probability, rounds=50, seed=2).samples)


def test_sums_are_taken_over_the_very_rows_that_precision_is():
    label, _ = sample(250)
    positives = resamples(label, rounds=40, seed=4).sum(label).samples
    everything_equal = resampled(label, np.full(250, 0.5), rounds=40, seed=4).samples
    np.testing.assert_allclose(positives / 250, everything_equal)  # equal scores: precision is the share of positives


def test_the_number_of_resamples_is_as_asked_however_they_are_chunked():
    label, probability = sample(3000)
    assert resampled(label, probability, rounds=201).samples.shape == (201,)
    assert resamples(label, rounds=201).sum(label).samples.shape == (201,)


@pytest.mark.parametrize("label", [[], [1.0, 1.0], [0.0]])
def test_degenerate_rows_resample_to_nan_without_a_warning(label):
    rows = np.array(label)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = resampled(rows, rows, rounds=5).interval()
        assert math.isnan(paired(rows, rows, rows, rounds=5).share_above(0.0))
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_no_rows_sum_to_nothing_known():
    assert np.isnan(resamples([], rounds=3).sum(np.array([])).samples).all()

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.tasks.binary.platt import Platt, fit_platt
from tests.training.builders import log_loss


def overconfident(count, seed=0):
    """Logits three times too sure and one too high."""
    chance = np.random.default_rng(seed)
    truth = chance.normal(size=count)
    label = (chance.random(count) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    return 3 * truth + 1, label


def test_calibration_finds_scale_and_shift_and_lowers_the_loss():
    logit, label = overconfident(20_000)
    platt = fit_platt(logit, label)
    assert platt.scale == pytest.approx(1 / 3, abs=0.02)
    assert platt.shift == pytest.approx(-1 / 3, abs=0.05)
    assert log_loss(platt(logit), label) < log_loss(logit, label) - 0.1


def test_a_small_site_stays_near_the_pooled_calibration_and_a_large_one_finds_its_own():
    pooled = Platt(1.0, 0.0)
    distance = []
    for count in (20, 20_000):
        own = fit_platt(*overconfident(count), prior=pooled, prior_rows=2000)
        distance.append(abs(own.scale - pooled.scale))
    assert distance[0] < 0.05
    assert distance[1] > 0.5


@pytest.mark.parametrize("label", [np.zeros(30), np.ones(30)])
def test_one_class_gives_a_finite_calibration(label):
    logit = np.linspace(-3, 3, 30)
    platt = fit_platt(logit, label.astype(np.float32), prior_rows=100)
    assert np.isfinite(platt).all()
    assert np.sign(platt(logit).mean() - logit.mean()) == np.sign(label[0] - 0.5)


def test_no_usable_row_gives_the_prior():
    prior = Platt(0.7, -0.2)
    assert fit_platt(np.empty(0), np.empty(0, np.float32), prior=prior) == prior
    assert fit_platt(np.array([np.nan]), np.ones(1, np.float32), prior=prior) == prior


@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0.01, 30))
def test_calibration_never_changes_the_order_of_rows(seed, count, spread):
    chance = np.random.default_rng(seed)
    logit = chance.normal(size=count) * spread
    label = (chance.random(count) < 1 / (1 + np.exp(logit))).astype(np.float32)  # worse than chance
    assert fit_platt(logit, label).scale > 0

import dataclasses

import numpy as np
import pytest

from factory.errors import TrainingError
from factory.features.samples import Samples
from factory.line.recipe import SequenceRecipe
from factory.tasks import Regression
from factory.training.baseline import fit_baseline
from tests.training.builders import SMALL, TASK, average_precision, rows, with_label


def test_the_baseline_learns_the_rule_and_takes_unknown_and_infinite_values(train):
    baseline = fit_baseline(train, SMALL, TASK, "cpu")
    test = rows(count=2000, seed=99)
    likely = baseline.answer(test.features)[:, 0]
    assert (likely.shape, likely.dtype) == ((2000,), np.float32)
    assert average_precision(likely, test.label) > test.label.mean() + 0.2
    assert np.isfinite(baseline.answer(np.full((3, 4), np.inf, np.float32))).all()


def test_the_same_rows_give_the_same_baseline(train):
    features = rows(count=50, seed=99).features
    once, again = (fit_baseline(train, SMALL, TASK, "cpu").answer(features) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_feature_of_which_nothing_is_known_says_nothing(train):
    unknown = train.features.copy()
    unknown[:, 2] = np.nan
    baseline = fit_baseline(dataclasses.replace(train, features=unknown), SMALL, TASK, "cpu")
    test = rows(count=500, seed=99).features
    moved = test.copy()
    moved[:, 2] = 1e6
    np.testing.assert_array_equal(baseline.answer(test), baseline.answer(moved))


def test_one_class_is_refused():
    with pytest.raises(TrainingError, match="all 600 labels are 1"):
        fit_baseline(with_label(rows(), np.ones(600)), SMALL, TASK, "cpu")


def machines(count, *, seed, steps=12):
    """Return windows of machines that fly in three conditions, and how worn each is at its window's end."""
    chance = np.random.default_rng(seed)
    worn = chance.uniform(0, 10, count)
    altitude = chance.choice([0.0, 20.0, 40.0], (count, steps)) + chance.normal(0, 0.01, (count, steps))
    wear = worn[:, None] + np.arange(steps) * 0.1 + chance.normal(0, 1.0, (count, steps))
    features = np.stack([altitude, wear + 3.0 * np.round(altitude / 20.0) ** 2], -1).astype(np.float32)
    return Samples(
        features=features,
        label=worn.astype(np.float32),
        site=np.full(count, "A"),
        columns=("altitude", "heat"),
    )


def test_a_baseline_of_sequences_knows_the_operating_conditions_that_the_network_knows():
    task, train, test = Regression(), machines(600, seed=1), machines(400, seed=2)
    errors = [
        task.headline_of(test.label, fit_baseline(train, recipe, task, "cpu").answer(test.features))
        for recipe in (SequenceRecipe(window=12, condition_columns=("altitude",)), SequenceRecipe(window=12))
    ]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.gpu
def test_on_a_gpu_the_baseline_is_a_forest_that_learns_the_rule(train):
    baseline = fit_baseline(train, SMALL, TASK, "gpu")
    test = rows(count=2000, seed=99)
    assert average_precision(baseline.answer(test.features)[:, 0], test.label) > test.label.mean() + 0.15

import dataclasses

import numpy as np
import pytest

from factory.errors import TrainingError
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


@pytest.mark.gpu
def test_on_a_gpu_the_baseline_is_a_forest_that_learns_the_rule(train):
    baseline = fit_baseline(train, SMALL, TASK, "gpu")
    test = rows(count=2000, seed=99)
    assert average_precision(baseline.answer(test.features)[:, 0], test.label) > test.label.mean() + 0.15

"""The plain model that the network must beat to be worth its cost. It exists during a run only, and is never saved."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.compute.engine import Engine
from factory.features.samples import Samples, trainable
from factory.line.recipe import Recipe, SequenceRecipe
from factory.tasks import Task
from factory.tasks.task import Predict
from factory.training.conditions import Conditions, fit_conditions


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A fitted baseline."""

    predict: Predict
    kind: str
    """Library and class, for the record."""
    conditions: Conditions | None = None
    """Against what each moment of a sequence is measured, where the recipe names settings."""

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the answer to each row, float32 `[rows, answers]`."""
        return self.predict(tabular(features, self.conditions))


def fit_baseline(train: Samples, recipe: Recipe, task: Task, engine: Engine) -> Baseline:
    """Fit the task's plain model on the labelled rows. Raises TrainingError if they cannot train one.

    What the recipe knows of the data, the operating conditions, the baseline knows too: else it is no bar.
    """
    rows = trainable(train, task, "training")
    conditions = _conditions(rows, recipe)
    predict, kind = task.fit_baseline(
        tabular(rows.features, conditions),
        rows.label,
        iterations=recipe.baseline_iterations,
        seed=recipe.seed,
        engine=engine,
    )
    return Baseline(predict=predict, kind=kind, conditions=conditions)


def _conditions(train: Samples, recipe: Recipe) -> Conditions | None:
    """Return the operating conditions of the training rows; None where the recipe names no settings."""
    if not isinstance(recipe, SequenceRecipe) or not recipe.condition_columns:
        return None
    settings = tuple(train.columns.index(name) for name in recipe.condition_columns)
    return fit_conditions(train.features, settings, recipe.max_conditions)


def tabular(features: NDArray[np.float32], conditions: Conditions | None = None) -> NDArray[np.float32]:
    """Return features as a table, `[rows, …]`.

    Of a sequence, `[rows, steps, features]`, it has each feature's last value, its mean, and how much its second
    half exceeds its first: what a person would put into columns; each measured against its own operating condition
    where there are some, for a mean over two conditions is of neither.
    """
    if features.ndim == 2:
        return features
    features = features if conditions is None else conditions.measured(features)
    half = features.shape[1] // 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing but unknowns is unknown
        mean = np.nanmean(features, axis=1)
        rise = np.nanmean(features[:, half:], axis=1) - np.nanmean(features[:, : max(half, 1)], axis=1)
    return np.concatenate([features[:, -1], mean, rise], axis=1).astype(np.float32)

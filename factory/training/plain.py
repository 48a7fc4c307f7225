"""The plain rungs of the ladder: a linear model and boosted trees, by scikit-learn. Rows in, fitted models out.

A plain model is fitted twice. The first fit learns from the training rows alone, and the validation rows choose how
strongly it is restrained or how many rounds it boosts; its answers to these rows choose threshold, interval and rung.
The second fit, which is served, learns from both windows with what was chosen, so that it knows the newest rows, too.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from factory.features.samples import Samples, trainable
from factory.line.recipe import Recipe, SequenceRecipe
from factory.tasks import Task
from factory.tasks.plain import Readout, Rows
from factory.tasks.task import Floats
from factory.training.conditions import Conditions, fit_conditions
from factory.training.plain_features import Prepared, finite, preparation, tabular

Plain = Literal["linear", "trees"]
_PENALTIES = (100.0, 1.0)
"""Of these the validation rows choose how strongly a linear model's weights are drawn to 0."""
_TREES = {"learning_rate": 0.05, "max_features": 0.5, "l2_regularization": 1.0}
"""Smaller steps than the library's, and half of the features at each split: better on every table that was tried."""
_PATIENCE_ROUNDS = 20
_LARGE_TABLE = 20_000_000
"""Numbers in a training table from which several threads are worth their waiting for one another."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainModel:
    """A fitted plain model that answers as the line's task does."""

    estimator: Any
    """Scikit-learn's, fitted on table rows, or on prepared ones."""
    prepared: Prepared | None
    """How features are prepared for it; trees take them as they are."""
    readout: Readout
    conditions: Conditions | None = None
    """Against what each moment of a sequence is measured, where the recipe names settings."""

    def answers(self, features: Rows) -> Rows:
        """Return the answer to each row of float32 `[rows, …]`, as float32 `[rows, answers]`."""
        return self.readout.answers(self.raw(features))

    def raw(self, features: Rows) -> Floats:
        """Return what the readout makes answers of: class probabilities, or an estimate, `[rows, 1]`."""
        table = tabular(features, self.conditions)
        return _raw(self.estimator, self.prepared.of(table) if self.prepared else finite(table))


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A plain rung: the model to serve, and what its first fit answered to validation rows, which it had not seen."""

    model: PlainModel
    on_validation: Rows
    """`[labelled validation rows, answers]`"""
    training_s: float
    """Processor seconds of both fits."""


def fit_plain(
    rung: Plain, train: Samples, validation: Samples, recipe: Recipe, task: Task, *, refit: bool = True
) -> Fitted:
    """Fit a plain rung on the training rows, and again on both windows. Raises TrainingError if they cannot train one.

    The same rows give the same model. Without `refit`, to measure what it does, the second fit learns from the training
    rows alone, too.
    """
    began = time.process_time()
    rows, judged = trainable(train, task, "training"), trainable(validation, task, "validation")
    conditions = _conditions(rows, recipe)
    rows, judged = (replace(some, features=tabular(some.features, conditions)) for some in (rows, judged))
    with warnings.catch_warnings(), _threads(rows.features):
        # A linear model that has not quite converged is judged like any other.
        warnings.filterwarnings("ignore", module="sklearn")
        again, first, raw = (_first_trees if rung == "trees" else _first_linear)(rows, judged, recipe, task)
        learnt = [rows, judged] if refit else [rows]
        table, label = (np.concatenate([getattr(some, name) for some in learnt]) for name in ("features", "label"))
        prepared = preparation(table, _categories(rows, recipe)) if rung == "linear" else None
        again.fit(prepared.of(table) if prepared else _to_split(table), _target(label, task))
    if rung == "trees":
        _split_at_float32(again)
    error = np.empty(0) if task.classifies else judged.label - raw[:, 0]
    return Fitted(
        model=PlainModel(
            estimator=again,
            prepared=prepared,
            readout=task.readout(_classes(again), len(label), error),
            conditions=conditions,
        ),
        on_validation=task.readout(_classes(first), len(rows), error).answers(raw),
        training_s=time.process_time() - began,
    )


def _threads(table: Rows) -> Any:
    """Return the context of a fit: on one thread unless the table is large.

    Scikit-learn's threads wait for one another by turning round. Where other processes are at work, that took ten times
    the processor time and six times as long as one thread, for a table that one thread does in seconds.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1 if table.size < _LARGE_TABLE else None)


def _conditions(train: Samples, recipe: Recipe) -> Conditions | None:
    """Return the operating conditions of the training rows; None where the recipe names no settings."""
    if not isinstance(recipe, SequenceRecipe) or not recipe.condition_columns:
        return None
    settings = tuple(train.columns.index(name) for name in recipe.condition_columns)
    return fit_conditions(train.features, settings, recipe.max_conditions)


def _categories(train: Samples, recipe: Recipe) -> list[int]:
    """Return the columns that hold the number of a category."""
    return [train.columns.index(name) for name in getattr(recipe, "category_columns", ())]


def _first_trees(rows: Samples, judged: Samples, recipe: Recipe, task: Task) -> tuple[Any, Any, Floats]:
    """Boost until the validation loss stops falling; return trees of as many rounds to fit, those fitted, and raw."""
    import sklearn.ensemble

    kind = getattr(sklearn.ensemble, f"HistGradientBoosting{'Classifier' if task.classifies else 'Regressor'}")
    target = _target(rows.label, task)
    seen = np.isin(judged.label, np.unique(rows.label)) | (not task.classifies)
    first = kind(
        max_iter=recipe.baseline_iterations,
        random_state=recipe.seed,
        early_stopping=bool(seen.any()),
        n_iter_no_change=_PATIENCE_ROUNDS,
        scoring="loss",
        **_TREES,
    )
    table, judged_table = _to_split(rows.features), finite(judged.features)
    if seen.any():
        first.fit(table, target, X_val=judged_table[seen], y_val=_target(judged.label[seen], task))
        rounds = max(1, int(np.argmax(first.validation_score_)))
    else:
        rounds = int(first.fit(table, target).n_iter_)
    again = kind(max_iter=rounds, random_state=recipe.seed, early_stopping=False, **_TREES)
    staged = first.staged_predict_proba if task.classifies else first.staged_predict
    raw = next(islice(staged(judged_table), rounds - 1, rounds))
    return again, first, raw.reshape(len(judged), -1)


def _first_linear(rows: Samples, judged: Samples, recipe: Recipe, task: Task) -> tuple[Any, Any, Floats]:
    """Fit with each penalty; return a model with the best one to fit, the one that was fitted with it, and raw."""
    from sklearn.linear_model import LogisticRegression, Ridge

    prepared = preparation(rows.features, _categories(rows, recipe))
    features, held_out, target = prepared.of(rows.features), prepared.of(judged.features), _target(rows.label, task)
    tried = []
    for penalty in _PENALTIES:
        again, first = (
            LogisticRegression(C=1 / penalty, max_iter=200) if task.classifies else Ridge(alpha=penalty)
            for _ in range(2)
        )
        raw = _raw(first.fit(features, target), held_out)
        answers = task.readout(_classes(first), len(rows), np.empty(0)).answers(raw)
        tried.append((float(task.row_losses(judged.label, answers).mean()), again, first, raw))
    _, again, first, raw = min(tried, key=lambda trial: trial[0])
    return again, first, raw


def _raw(estimator: Any, rows: Rows) -> Floats:
    if hasattr(estimator, "classes_"):
        return np.asarray(estimator.predict_proba(rows))
    return np.asarray(estimator.predict(rows)).reshape(-1, 1)


def _classes(estimator: Any) -> Sequence[int]:
    return [int(code) for code in getattr(estimator, "classes_", ())]


def _target(label: Floats, task: Task) -> Any:
    return label.astype(np.int64) if task.classifies else label.astype(np.float64)


def _to_split(table: Rows) -> Rows:
    """Return rows to fit trees on: they split on no feature of which nothing is known, and cannot do with its NaN."""
    rows = finite(table)
    return np.where(np.isnan(rows).all(axis=0), np.float32(0.0), rows)


def _split_at_float32(estimator: Any) -> None:
    """Round every split down to float32, in which the file keeps it: no row of float32 changes its side by that.

    Rounded up, a split between two neighbouring numbers would be the upper one, which then falls below it.
    """
    for trees in estimator._predictors:  # what skl2onnx reads; scikit-learn has no other name for them
        for tree in trees:
            exact = tree.nodes["num_threshold"]
            nearest = exact.astype(np.float32)
            tree.nodes["num_threshold"] = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)

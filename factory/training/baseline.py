"""The plain model that the network must beat to be worth its cost."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.engine import Engine
from factory.training.recipe import Recipe
from factory.training.samples import Samples, trainable


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A fitted baseline; it lives as long as the run, and is never written to disk."""

    model: Any
    kind: str
    """Library and class, for the record."""
    fill: NDArray[np.float32] | None = None
    """What stands for an unknown value, per feature, where the model takes none."""

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each row of float32 `[rows, features]`, as float32 `[rows]`."""
        rows = _finite(features) if self.fill is None else _filled(features, self.fill)
        return np.asarray(self.model.predict_proba(rows))[:, 1].astype(np.float32)


def fit_baseline(train: Samples, recipe: Recipe, engine: Engine) -> Baseline:
    """Fit the baseline on the labelled rows.

    On `cpu` it is scikit-learn's HistGradientBoostingClassifier. cuML has no boosted trees, so on `gpu` it is
    `cuml.ensemble.RandomForestClassifier`, with the training median for unknown values, which it does not take. Raises
    TrainingError if there are no rows or one class.
    """
    rows = trainable(train, "training")
    return _forest(rows, recipe) if engine == "gpu" else _boosting(rows, recipe)


def _boosting(rows: Samples, recipe: Recipe) -> Baseline:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=recipe.baseline_iterations, random_state=recipe.seed)
    # Trees take infinities for the greatest numbers there are, scikit-learn refuses them.
    return Baseline(model=model.fit(_finite(rows.features), rows.label), kind="sklearn HistGradientBoostingClassifier")


def _forest(rows: Samples, recipe: Recipe) -> Baseline:
    from cuml.ensemble import RandomForestClassifier

    fill = _medians(rows.features)
    model = RandomForestClassifier(
        n_estimators=recipe.baseline_iterations, max_depth=16, random_state=recipe.seed, n_streams=1
    )
    model.fit(_filled(rows.features, fill), rows.label.astype(np.int32))
    return Baseline(model=model, kind="cuml RandomForestClassifier", fill=fill)


def _finite(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace infinities by the greatest float32 there are; NaN stays."""
    limit = np.finfo(np.float32).max
    return np.clip(features, -limit, limit)


def _medians(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each feature's median over its known values; 0 where none is known."""
    known = (column[np.isfinite(column)] for column in features.T)
    return np.array([np.median(column) if column.size else 0.0 for column in known], np.float32)


def _filled(features: NDArray[np.float32], fill: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(features), fill, _finite(features))

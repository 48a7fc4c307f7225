"""Plain models for baselines: scikit-learn's boosted trees on the CPU, a cuML forest on the GPU.

cuML has no boosted trees, and its forests take no unknown values: the training median stands for them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.compute.engine import Engine
from factory.tasks.task import Floats, Predict

Rows = NDArray[np.float32]


def fit_classifier(
    features: Rows, label: Floats, *, classes: int, iterations: int, seed: int, engine: Engine
) -> tuple[Predict, str]:
    """Fit a classifier on labels 0 … classes - 1; it gives `[rows, classes]`, 0 for a class it never saw."""
    model, ready = _fitted("Classifier", features, label.astype(np.int32), iterations, seed, engine)
    trained_classes = np.asarray(model.classes_, np.int64)

    def predict(rows: Rows) -> Rows:
        answer = np.zeros((len(rows), classes), np.float32)
        answer[:, trained_classes] = model.predict_proba(ready(rows))
        return answer

    return predict, _kind(model)


def fit_regressor(
    features: Rows, label: Floats, *, iterations: int, seed: int, engine: Engine
) -> tuple[Callable[[Rows], Rows], str]:
    """Fit a regressor; it gives float32 `[rows]`."""
    model, ready = _fitted("Regressor", features, label, iterations, seed, engine)
    return (lambda rows: np.asarray(model.predict(ready(rows)), np.float32)), _kind(model)


def _fitted(
    what: str, features: Rows, label: Any, iterations: int, seed: int, engine: Engine
) -> tuple[Any, Callable[[Rows], Rows]]:
    """Return the fitted model, and what makes rows ready for it."""
    if engine == "gpu":
        import cuml.ensemble

        fill = _medians(features)
        forest = getattr(cuml.ensemble, f"RandomForest{what}")
        model = forest(n_estimators=iterations, max_depth=16, random_state=seed, n_streams=1)
        model.fit(_filled(features, fill), label)
        return model, lambda rows: _filled(rows, fill)
    import sklearn.ensemble

    model = getattr(sklearn.ensemble, f"HistGradientBoosting{what}")(max_iter=iterations, random_state=seed)
    known = np.isfinite(features).any(axis=0)

    def ready(rows: Rows) -> Rows:
        # Trees take infinities for the greatest numbers there are, scikit-learn refuses them; and it cannot bin a
        # feature of which training knows nothing.
        return np.where(known, _finite(rows), np.float32(0.0))

    return model.fit(ready(features), label), ready


def _kind(model: Any) -> str:
    return f"{type(model).__module__.split('.')[0]} {type(model).__name__}"


def _finite(features: Rows) -> Rows:
    """Replace infinities by the greatest float32 there are; NaN stays."""
    limit = np.finfo(np.float32).max
    return np.clip(features, -limit, limit)


def _medians(features: Rows) -> Rows:
    """Return each feature's median over its known values; 0 where none is known."""
    known = (column[np.isfinite(column)] for column in features.T)
    return np.array([np.median(column) if column.size else 0.0 for column in known], np.float32)


def _filled(features: Rows, fill: Rows) -> Rows:
    return np.where(np.isnan(features), fill, _finite(features))

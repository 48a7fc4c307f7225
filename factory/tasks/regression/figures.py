"""Figures of merit of estimates with intervals: labels `[rows]`, answers `[rows, 3]` (estimate, low, high).

Every figure is NaN where it is not defined: no rows, or an answer that is not finite. Nothing raises for poor data.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def rmse(label: Floats, answer: Floats) -> float:
    """Return the root of the mean squared error of the estimate."""
    return float(np.sqrt(_mean(squared_errors(label, answer))))


def mae(label: Floats, answer: Floats) -> float:
    """Return the mean absolute error of the estimate."""
    return _mean(np.abs(answer[:, 0].astype(np.float64) - label))


def bias(label: Floats, answer: Floats) -> float:
    """Return the mean of estimate less label: above 0 where it promises too much."""
    return _mean(answer[:, 0].astype(np.float64) - label)


def coverage(label: Floats, answer: Floats) -> float:
    """Return the share of labels that lie in their interval."""
    if not np.isfinite(answer).all():
        return float("nan")
    return _mean(((label >= answer[:, 1]) & (label <= answer[:, 2])).astype(np.float64))


def interval_width(_: Floats, answer: Floats) -> float:
    """Return the mean width of the intervals."""
    return _mean((answer[:, 2] - answer[:, 1]).astype(np.float64))


def squared_errors(label: Floats, answer: Floats) -> npt.NDArray[np.float64]:
    """Return the estimate's squared error in each row, [rows]; NaN where it is not finite."""
    errors = np.square(answer[:, 0].astype(np.float64) - label)
    return np.where(np.isfinite(errors), errors, np.nan)


def _mean(amount: npt.NDArray[np.float64]) -> float:
    """Return the mean, NaN where there is none to take or an amount is not finite."""
    return float(amount.mean()) if len(amount) and np.isfinite(amount).all() else float("nan")

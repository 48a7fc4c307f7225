"""Figures of merit of a classifier of several classes; numpy only.

Labels are places of classes, `[rows]`, answers probabilities, `[rows, classes]`. Every figure is NaN where it is not
defined: no rows, or a probability that is not finite. Nothing here raises for poor data.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from factory.tasks.binary.figures import expected_calibration_error

Floats = npt.NDArray[np.floating[Any]]


def log_loss(label: Floats, answer: Floats) -> float:
    """Return the mean negative log-likelihood in nats; probabilities are kept one rounding step away from 0."""
    return _mean(row_losses(label, answer))


def accuracy(label: Floats, answer: Floats) -> float:
    """Return the share of rows whose likeliest class is the right one."""
    return _mean((answer.argmax(axis=1) == label).astype(np.float64)) if _known(answer) else float("nan")


def macro_f1(label: Floats, answer: Floats) -> float:
    """Return the mean over the classes that occur of the harmonic mean of precision and recall."""
    if not _known(answer):
        return float("nan")
    classes, place = answer.shape[1], label.astype(np.int64)
    table = np.bincount(place * classes + answer.argmax(axis=1), minlength=classes**2).reshape(classes, classes)
    right, actual, predicted = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    return float((2 * right[actual > 0] / (actual + predicted)[actual > 0]).mean())


def calibration_error(label: Floats, answer: Floats) -> float:
    """Return the expected calibration error of the likeliest class (Guo et al., 2017, confidence calibration)."""
    if not _known(answer):
        return float("nan")
    right = (answer.argmax(axis=1) == label).astype(np.float32)
    return expected_calibration_error(right, answer.max(axis=1))


def row_losses(label: Floats, answer: Floats) -> npt.NDArray[np.float64]:
    """Return each row's negative log-likelihood in nats, [rows]; NaN where a probability is."""
    chance = answer[np.arange(len(label)), label.astype(np.int64)].astype(np.float64)
    return -np.log(np.clip(chance, np.finfo(np.float64).eps, 1.0))


def _known(answer: Floats) -> bool:
    return len(answer) > 0 and bool(np.isfinite(answer).all())


def _mean(amount: npt.NDArray[np.float64]) -> float:
    return float(amount.mean()) if len(amount) and np.isfinite(amount).all() else float("nan")

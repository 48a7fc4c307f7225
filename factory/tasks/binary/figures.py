"""Figures of merit of a binary classifier: labels 0/1 and probabilities in, plain floats out. numpy only.

Every figure is NaN where it is not defined: no rows, a probability that is not finite, or, for those that rank rows,
one class only. Nothing here raises for poor data; a gate turns NaN into a reason. Labels and probabilities are
one-dimensional arrays of the same length.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from factory.tasks.resampling import Resampled, Resamples, Weights

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


def average_precision(label: Floats, probability: Floats) -> float:
    """Return the sum over distinct probabilities, from the highest, of the gain in recall times the precision.

    Rows of equal probability are decided together, as in scikit-learn's `average_precision_score`.
    """
    if not _can_rank(label, probability):
        return float("nan")
    return float(_average_precisions(label, probability, np.ones((1, len(label)), np.int32))[0])


def roc_auc(label: Floats, probability: Floats) -> float:
    """Return the chance that a positive outranks a negative, a tie counting half (Mann and Whitney, 1947)."""
    if not _can_rank(label, probability):
        return float("nan")
    distinct, place = np.unique(-probability, return_inverse=True)
    cell = place + len(distinct) * (label > 0)
    negatives, positives = np.bincount(cell, minlength=2 * len(distinct)).reshape(2, len(distinct))
    lower = negatives.sum() - np.cumsum(negatives)
    return float(((lower + negatives / 2) * positives).sum() / (positives.sum() * negatives.sum()))


def log_loss(label: Floats, probability: Floats) -> float:
    """Return the mean negative log-likelihood in nats; probabilities are kept one rounding step away from 0 and 1."""
    return float(row_losses(label, probability).mean()) if _is_known(probability) else float("nan")


def row_losses(label: Floats, probability: Floats) -> npt.NDArray[np.float64]:
    """Return each row's negative log-likelihood in nats, [rows]."""
    step = np.finfo(np.float64).eps
    chance = np.clip(probability.astype(np.float64), step, 1 - step)
    return -np.where(label > 0, np.log(chance), np.log1p(-chance))


def expected_calibration_error(label: Floats, probability: Floats, bins: int = 10) -> float:
    """Return the mean distance between promised and observed frequency over equal-width bins, weighted by rows.

    Definition: Naeini, Cooper and Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
    """
    if not _is_known(probability):
        return float("nan")
    chance = probability.astype(np.float64)
    place = np.clip(chance * bins, 0, bins - 1).astype(np.int64)
    gap = np.bincount(place, weights=(label > 0) - chance, minlength=bins)
    return float(np.abs(gap).sum() / len(chance))


def resampled_average_precision(label: Floats, probability: Floats, resamples: Resamples) -> Resampled:
    """Return the average precision in each resample; one with one class gives NaN."""
    if not _can_rank(label, probability):
        return resamples.undefined()
    order = np.argsort(-probability, kind="stable")
    case, chance = label[order] > 0, probability[order]
    return resamples.figure(lambda weights: _sorted_average_precisions(case, chance, weights), order)


def _is_known(probability: Floats) -> bool:
    return len(probability) > 0 and bool(np.isfinite(probability).all())


def _can_rank(label: Floats, probability: Floats) -> bool:
    return _is_known(probability) and 0 < int((label > 0).sum()) < len(label)


def _average_precisions(label: Floats, probability: Floats, weights: Weights) -> npt.NDArray[np.float64]:
    """Return the average precision of the rows under each line of weights, [samples, rows]."""
    order = np.argsort(-probability, kind="stable")
    return _sorted_average_precisions(label[order] > 0, probability[order], weights[:, order])


def _sorted_average_precisions(case: Bools, probability: Floats, weights: Weights) -> npt.NDArray[np.float64]:
    """Return the same of rows from the highest probability to the lowest; NaN where the weights leave one class."""
    last = np.append(probability[1:] != probability[:-1], True)  # rows of equal probability are decided together
    caught, alarms = (np.cumsum(counted, axis=1, dtype=np.int32)[:, last] for counted in (weights * case, weights))
    positives = np.diff(caught, axis=1, prepend=0)
    all_positives, all_rows = caught[:, -1], alarms[:, -1]
    summed = (positives * (caught / np.maximum(alarms, 1))).sum(axis=1) / np.maximum(all_positives, 1)
    return np.where((all_positives > 0) & (all_positives < all_rows), summed, np.nan)

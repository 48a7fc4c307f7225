"""Figures of merit of a binary classifier: labels 0/1 and probabilities in, plain floats out. numpy only.

Every figure is NaN where it is not defined: no rows, a probability that is not finite, or, for those that rank rows,
one class only. Nothing here raises for poor data; a gate turns NaN into a reason. Labels and probabilities are
one-dimensional arrays of the same length.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from factory.tasks.resampling import ROUNDS, SEED, resampled

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


def average_precision(label: Floats, probability: Floats) -> float:
    """Return the sum over distinct probabilities, from the highest, of the gain in recall times the precision.

    Rows of equal probability are decided together, as in scikit-learn's `average_precision_score`.
    """
    if not _can_rank(label, probability):
        return float("nan")
    cell, distinct = _cells(label, probability)
    return float(_average_precisions(np.bincount(cell, minlength=2 * distinct).reshape(1, 2, distinct))[0])


def roc_auc(label: Floats, probability: Floats) -> float:
    """Return the chance that a positive outranks a negative, a tie counting half (Mann and Whitney, 1947)."""
    if not _can_rank(label, probability):
        return float("nan")
    cell, distinct = _cells(label, probability)
    negatives, positives = np.bincount(cell, minlength=2 * distinct).reshape(2, distinct)
    lower = negatives.sum() - np.cumsum(negatives)
    return float(((lower + negatives / 2) * positives).sum() / (positives.sum() * negatives.sum()))


def log_loss(label: Floats, probability: Floats) -> float:
    """Return the mean negative log-likelihood in nats; probabilities are kept one rounding step away from 0 and 1."""
    if not _is_known(probability):
        return float("nan")
    step = np.finfo(np.float64).eps
    chance = np.clip(probability.astype(np.float64), step, 1 - step)
    return float(-np.where(label > 0, np.log(chance), np.log1p(-chance)).mean())


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


def bootstrap_average_precision(
    label: Floats, probability: Floats, *, rounds: int = ROUNDS, seed: int = SEED
) -> npt.NDArray[np.float64]:
    """Return the average precision in `rounds` resamples of the rows with replacement (Efron, 1979); float64 [rounds].

    The resamples depend on the number of rows, `rounds` and `seed` alone: two calls that agree in these are paired.
    A resample with one class gives NaN.
    """
    if not _can_rank(label, probability):
        return np.full(rounds, np.nan)
    cell, distinct = _cells(label, probability)

    def figure(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        offsets = 2 * distinct * np.arange(len(rows))[:, None]
        counts = np.bincount((cell[rows] + offsets).ravel(), minlength=2 * distinct * len(rows))
        return _average_precisions(counts.reshape(len(rows), 2, distinct))

    return resampled(len(label), figure, rounds=rounds, seed=seed)


def _is_known(probability: Floats) -> bool:
    return len(probability) > 0 and bool(np.isfinite(probability).all())


def _can_rank(label: Floats, probability: Floats) -> bool:
    return _is_known(probability) and 0 < int((label > 0).sum()) < len(label)


def _cells(label: Floats, probability: Floats) -> tuple[npt.NDArray[np.int64], int]:
    """Return where to count each row, and the number of distinct probabilities.

    Cells are negatives at each distinct probability from the highest, then positives likewise.
    """
    distinct, place = np.unique(-probability, return_inverse=True)
    return place.astype(np.int64) + len(distinct) * (label > 0), len(distinct)


def _average_precisions(counts: Integers) -> npt.NDArray[np.float64]:
    """Return the average precision of each sample from its counts, [samples, negatives and positives, distinct]."""
    negatives, positives = counts[:, 0], counts[:, 1]
    caught = np.cumsum(positives, axis=1)
    alarms = np.cumsum(negatives + positives, axis=1)
    precision = caught / np.maximum(alarms, 1)
    all_positives, all_rows = caught[:, -1], alarms[:, -1]
    summed = (positives * precision).sum(axis=1) / np.maximum(all_positives, 1)
    return np.where((all_positives > 0) & (all_positives < all_rows), summed, np.nan)

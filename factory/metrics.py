"""Figures of merit of a binary classifier: labels 0/1 and probabilities in, plain floats out. numpy only.

Every figure is NaN where it is not defined: no rows, a probability that is not finite, or, for those that rank rows,
one class only. Nothing here raises for poor data; a gate turns NaN into a reason. Labels and probabilities are
one-dimensional arrays of the same length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]

ROUNDS = 1000
SEED = 7
_DRAWS_AT_ONCE = 250_000
"""Rows drawn per chunk of resamples: a few megabytes, which stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a resampled figure lies: the central share of its resamples and their mean."""

    low: float
    high: float
    mean: float

    @classmethod
    def of(cls, samples: Floats, share: float = 0.95) -> "Interval":
        """Return the percentile interval of the samples that are numbers; NaN throughout where none is."""
        known = samples[np.isfinite(samples)]
        if not known.size:
            return cls(low=float("nan"), high=float("nan"), mean=float("nan"))
        low, high = np.quantile(known, [(1 - share) / 2, (1 + share) / 2])
        return cls(low=float(low), high=float(high), mean=float(known.mean()))


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
    parts = []
    for rows in _resamples(len(label), rounds, seed):
        offsets = 2 * distinct * np.arange(len(rows))[:, None]
        counts = np.bincount((cell[rows] + offsets).ravel(), minlength=2 * distinct * len(rows))
        parts.append(_average_precisions(counts.reshape(len(rows), 2, distinct)))
    return np.concatenate(parts)


def bootstrap_sum(amount: Floats, *, rounds: int = ROUNDS, seed: int = SEED) -> npt.NDArray[np.float64]:
    """Return the sum of a per-row amount in the same resamples as `bootstrap_average_precision`; float64 [rounds]."""
    if not len(amount):
        return np.full(rounds, np.nan)
    exact = amount.astype(np.float64)
    return np.concatenate([exact[rows].sum(axis=1) for rows in _resamples(len(amount), rounds, seed)])


def paired_bootstrap(
    label: Floats, ours: Floats, theirs: Floats, *, rounds: int = ROUNDS, seed: int = SEED
) -> npt.NDArray[np.float64]:
    """Return by how much our average precision exceeds theirs in each resample of the same rows; float64 [rounds].

    Pairing cancels what both owe to easy or hard rows, so far smaller differences show than in two intervals.
    """
    our_figures = bootstrap_average_precision(label, ours, rounds=rounds, seed=seed)
    return our_figures - bootstrap_average_precision(label, theirs, rounds=rounds, seed=seed)


def share_above(samples: Floats, limit: float) -> float:
    """Return the share of the samples that exceed the limit, of those that are numbers; NaN where none is."""
    known = samples[np.isfinite(samples)]
    return float((known > limit).mean()) if known.size else float("nan")


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


def _resamples(rows: int, rounds: int, seed: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the row numbers of all resamples, [some, rows] at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // rows)
    for start in range(0, rounds, at_once):
        yield random.integers(0, rows, size=(min(at_once, rounds - start), rows), dtype=np.int32)


def _average_precisions(counts: Integers) -> npt.NDArray[np.float64]:
    """Return the average precision of each sample from its counts, [samples, negatives and positives, distinct]."""
    negatives, positives = counts[:, 0], counts[:, 1]
    caught = np.cumsum(positives, axis=1)
    alarms = np.cumsum(negatives + positives, axis=1)
    precision = caught / np.maximum(alarms, 1)
    all_positives, all_rows = caught[:, -1], alarms[:, -1]
    summed = (positives * precision).sum(axis=1) / np.maximum(all_positives, 1)
    return np.where((all_positives > 0) & (all_positives < all_rows), summed, np.nan)

"""Figures of merit of a binary classifier: labels 0/1 and probabilities in, plain floats out. numpy only.

Every figure is NaN where it is not defined: no rows, a probability that is not finite, or, for those that rank rows,
one class only. Nothing here raises for poor data; a gate turns NaN into a reason. Labels and probabilities are
one-dimensional arrays of the same length.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from factory.tasks.intervals import Blocks, Estimate

Floats = npt.NDArray[np.floating[Any]]


def average_precision(label: Floats, probability: Floats) -> float:
    """Return the sum over distinct probabilities, from the highest, of the gain in recall times the precision.

    Rows of equal probability are decided together, as in scikit-learn's `average_precision_score`.
    """
    if not _can_rank(label, probability):
        return float("nan")
    return _of_alarms(_alarms(label, probability))


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


def estimated_average_precision(label: Floats, probability: Floats, blocks: Blocks) -> Estimate:
    """Return the average precision and how sure it is; of one class there is none.

    A row's influence is the derivative by its weight: a positive adds the precision at its own place, all rows from
    there on raise the number of alarms, and a positive the number caught and of all positives, too.
    """
    if not _can_rank(label, probability):
        return blocks.unknown()
    alarms = _alarms(label, probability)
    precision, positives, value = alarms.caught / alarms.rows, alarms.caught[-1], _of_alarms(alarms)
    once_more, diluted = (_from_here(alarms.positives * share) for share in (1 / alarms.rows, precision / alarms.rows))
    of_any, of_positive = -diluted, precision + once_more - value
    influence = (of_any[alarms.place] + (label > 0) * of_positive[alarms.place]) / positives
    return replace(blocks.figure(value, influence), least=0.0, most=1.0)


def _is_known(probability: Floats) -> bool:
    return len(probability) > 0 and bool(np.isfinite(probability).all())


def _can_rank(label: Floats, probability: Floats) -> bool:
    return _is_known(probability) and 0 < int((label > 0).sum()) < len(label)


class _Alarms(NamedTuple):
    """What alarms from each distinct probability on would catch, from the highest on."""

    place: npt.NDArray[np.int64]
    """`[rows]`: each row's probability among the distinct ones."""
    positives: npt.NDArray[np.float64]
    """`[distinct]`: how many have just this probability; rows of equal probability are decided together."""
    caught: npt.NDArray[np.float64]
    """`[distinct]`: how many have this probability or a higher one."""
    rows: npt.NDArray[np.float64]
    """`[distinct]`: how many alarms that takes."""


def _alarms(label: Floats, probability: Floats) -> _Alarms:
    distinct, place = np.unique(-probability, return_inverse=True)
    positives, rows = (
        np.bincount(place, weights=counted, minlength=len(distinct)).astype(np.float64)
        for counted in (label > 0, np.ones(len(label)))
    )
    return _Alarms(place.reshape(-1), positives, np.cumsum(positives), np.cumsum(rows))


def _of_alarms(alarms: _Alarms) -> float:
    return float((alarms.positives * alarms.caught / alarms.rows).sum() / alarms.caught[-1])


def _from_here(amounts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of each amount and all after it."""
    return np.cumsum(amounts[::-1])[::-1]

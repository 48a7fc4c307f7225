"""Calibration: one scale and one shift of the logit, so that a probability of 0.3 comes true three times in ten.

Platt (1999), "Probabilistic outputs for support vector machines", on validation rows; small sites are drawn towards the
pooled calibration as if that were the evidence of `prior_rows` rows of their own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_SCALE = 0.05
_STEPS = 50


class Platt(NamedTuple):
    """`sigmoid(scale * logit + shift)`; the scale is positive, so calibration never changes the order of rows."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, logit: Floats) -> Floats:
        """Return the calibrated logits."""
        return self.scale * logit + self.shift


UNCALIBRATED = Platt()


def fit_platt(
    logit: Floats, label: NDArray[np.float32], *, prior: Platt = UNCALIBRATED, prior_rows: float = 10.0
) -> Platt:
    """Return the calibration with the least log loss on these rows, drawn to the prior as by `prior_rows` more rows.

    The prior's rows have these logits and, as labels, the prior's own probabilities. The loss is convex, so Newton's
    method (halving a step that does not help) finds its one minimum; a scale below 0.05 is held there. No rows, or rows
    that are not finite, give the prior.
    """
    usable = np.isfinite(logit) & np.isfinite(label)
    if not usable.any():
        return prior
    z, seen = logit[usable], label[usable].astype(np.float64)
    weight = prior_rows / len(z)
    target = (seen + weight * _sigmoid(prior(z))) / (1.0 + weight)
    point = _minimum(z, target, np.array(prior, np.float64))
    if point[0] >= _LEAST_SCALE:
        return Platt(float(point[0]), float(point[1]))
    shift = _minimum_shift(_LEAST_SCALE * z, target)
    return Platt(_LEAST_SCALE, shift)


def _minimum(z: Floats, target: Floats, point: Floats) -> Floats:
    """Minimise the mean log loss of `point[0] * z + point[1]` against soft targets."""
    design = np.stack([z, np.ones_like(z)], 1)
    loss = _loss(design @ point, target)
    for _ in range(_STEPS):
        share = _sigmoid(design @ point)
        gradient = design.T @ (share - target) / len(z)
        curvature = (design * (share * (1 - share))[:, None]).T @ design / len(z) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while (new := _loss(design @ (point - step), target)) > loss and np.abs(step).max() > 1e-10:
            step = step / 2
        if loss - new < 1e-12:
            break
        point, loss = point - step, new
    return point


def _minimum_shift(scaled: Floats, target: Floats) -> float:
    """Return the shift that makes the mean probability right, by bisection."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(scaled + middle).mean() < target.mean() else (low, middle)
    return (low + high) / 2


def _loss(logit: Floats, target: Floats) -> float:
    return float(np.mean(np.logaddexp(0.0, logit) - target * logit))


def _sigmoid(logit: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -logit))

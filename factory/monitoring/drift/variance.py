"""How far a mean over days wanders by itself: the long-run variance, which knows that days resemble their neighbours.

Newey and West's estimator with Bartlett weights (Econometrica 55, 1987) over as many days as Andrews' rule finds alike
(Econometrica 59, 1991), and Rao and Scott's second-order correction of Pearson's chi-square for rows that come in
clusters (Annals of Statistics 12, 1984), compared with F for the degrees of freedom that estimating a spread from a
limited number of days leaves (Thomas and Rao, JASA 82, 1987).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from factory.tasks.intervals import bandwidth, freedom

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The spread of a distribution's estimate, over `freedom` degrees of freedom.

    `design_effect` is by how much it exceeds that of independent rows, 1 or more, at `rows_per_day` rows a day;
    `unevenness` is the squared coefficient of variation of its eigenvalues.
    """

    design_effect: float
    unevenness: float
    freedom: float
    rows_per_day: float

    def at(self, rows_per_day: float) -> float:
        """Return the design effect for days with other numbers of rows: alike rows add up, independent ones do not."""
        alike = (self.design_effect - 1) / max(1.0, self.rows_per_day)
        return 1 + alike * rows_per_day


def spread(counts: Floats) -> Spread:
    """Return the spread of the shares of bins, from rows by day and bin, [days, bins], every bin with some rows."""
    shares = counts.sum(0) / counts.sum()
    residuals = counts - counts.sum(1, keepdims=True) * shares
    lags = bandwidth(residuals @ ridits(shares))
    scaled = long_run(residuals, lags) / shares[:, None] / (counts.sum() / len(counts))
    free = len(shares) - 1  # which is the trace for independent rows
    trace, square = float(np.trace(scaled)), float(np.trace(scaled @ scaled))
    return Spread(
        design_effect=max(1.0, trace / free),
        unevenness=max(0.0, free * square / trace**2 - 1) if trace > 0 else 0.0,
        freedom=freedom(len(counts), lags),
        rows_per_day=float(counts.sum() / len(counts)),
    )


def location_spread(counts: Floats) -> Spread:
    """Return the spread of the mean ridit, from rows by day and bin, [days, bins]."""
    shares = counts.sum(0) / counts.sum()
    scores = ridits(shares)
    days, lags = counts @ scores, bandwidth(counts @ scores)
    independent = float((shares * scores**2).sum()) * counts.sum() / len(counts)
    return Spread(
        design_effect=max(1.0, float(long_run(days[:, None], lags)[0, 0]) / independent),
        unevenness=0.0,
        freedom=freedom(len(counts), lags),
        rows_per_day=float(counts.sum() / len(counts)),
    )


def ridits(shares: Floats) -> Floats:
    """Return each bin's ridit less a half: the share of rows below it and half its own (Bross, Biometrics 14, 1958)."""
    scores: Floats = np.cumsum(shares) - shares / 2 - 0.5
    return scores


def long_run(residuals: Floats, lags: int) -> npt.NDArray[np.float64]:
    """Return the long-run covariance of daily residuals, [days, k] → [k, k]: their variance plus that of neighbours."""
    days = len(residuals)
    covariance = residuals.T @ residuals / days
    for lag in range(1, lags + 1):
        beside = residuals[lag:].T @ residuals[:-lag] / days
        covariance = covariance + (1 - lag / (lags + 1)) * (beside + beside.T)
    return np.asarray(covariance, np.float64)

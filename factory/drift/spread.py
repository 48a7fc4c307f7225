"""How far a mean over days wanders by itself: the long-run variance, which knows that days resemble their neighbours.

Newey and West's estimator with Bartlett weights (Econometrica 55, 1987), and Rao and Scott's second-order correction of
Pearson's chi-square for rows that come in clusters (Annals of Statistics 12, 1984), compared with F for the degrees of
freedom that estimating a spread from a limited number of days leaves (Thomas and Rao, JASA 82, 1987).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LAG_DAYS = 14
"""Days over which one is taken to resemble the next: a weather front, two working weeks."""

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
    covariance = long_run(residuals)
    scaled = covariance / shares[:, None] / (counts.sum() / len(counts))  # its trace is bins - 1 for independent rows
    free = len(shares) - 1
    trace, square = float(np.trace(scaled)), float(np.trace(scaled @ scaled))
    return Spread(
        design_effect=max(1.0, trace / free),
        unevenness=max(0.0, free * square / trace**2 - 1) if trace > 0 else 0.0,
        freedom=freedom(len(counts)),
        rows_per_day=float(counts.sum() / len(counts)),
    )


def long_run(residuals: Floats) -> npt.NDArray[np.float64]:
    """Return the long-run covariance of daily residuals, [days, k] → [k, k]: their variance plus that of neighbours."""
    days = len(residuals)
    found = residuals.T @ residuals / days
    for lag in range(1, _lags(days) + 1):
        beside = residuals[lag:].T @ residuals[:-lag] / days
        found = found + (1 - lag / (_lags(days) + 1)) * (beside + beside.T)
    return np.asarray(found, np.float64)


def freedom(days: int) -> float:
    """Return the degrees of freedom that the estimator leaves, at least 1 (Bartlett weights: 1.5 · days / lags)."""
    return max(1.0, 1.5 * days / (_lags(days) + 1))


def _lags(days: int) -> int:
    return min(LAG_DAYS, max(0, days // 4))

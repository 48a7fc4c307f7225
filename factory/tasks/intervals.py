"""How sure a figure is, and by how much one model's exceeds another's on the same rows.

Rows that are alike are one witness: what a figure owes to each block of rows, its influence, is one number, however
many rows the block has (the infinitesimal jackknife over clusters; Davison and Hinkley, Bootstrap Methods and their
Application, 1997, sections 2.7 and 3.8). From the influences alone follows how far the figure may be from the truth:

- its spread is that of the influences, and few blocks know that badly: Student's distribution in place of the normal
  one. Influences with heavy tails know it worse still: the degrees of freedom are those that the kurtosis leaves, by
  matching the variance of a variance (Satterthwaite, Biometrics 2, 1946; Box, Biometrika 40, 1953);
- a few bad days make errors lopsided, and a symmetric interval too short on one side: Hall's cubic transformation takes
  the skewness away (Journal of the Royal Statistical Society B 54, 1992, 221-228). It rises everywhere, so that every
  chance has one limit. Skewness and kurtosis are the unbiased ones of a normal sample (Fisher's k-statistics);
- blocks that follow each other in time resemble their neighbours, which show less than so many strangers would.

Nothing is drawn by chance: the same rows give the same interval. Two figures of the same blocks are paired, and `-` of
them is their difference. What was measured of all this is in benchmarks/RESULTS.md.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

MIN_LAGS = 3
MIN_WITNESSES = 4.0
"""Fewer witnesses, counted as strangers, cannot tell how far a figure may be off: their interval is not known."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a figure lies, with the certainty that was asked for."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """A figure of some rows, and what it owes to each block of them."""

    value: float
    influence: npt.NDArray[np.float64]
    """`[blocks]`, by time where `in_time`: how the figure changes with the weight of each block; its sum is 0."""
    in_time: bool = False
    """Whether a block resembles the blocks before and after it."""
    least: float = -math.inf
    """What the figure cannot be below."""
    most: float = math.inf
    """What the figure cannot be above."""

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Return the difference of two figures of the same blocks."""
        return Estimate(
            value=self.value - other.value, influence=self.influence - other.influence, in_time=self.in_time
        )

    def __neg__(self) -> "Estimate":
        """Return the figure with the other sign."""
        return replace(self, value=-self.value, influence=-self.influence, least=-self.most, most=-self.least)

    def root(self) -> "Estimate":
        """Return the square root of a figure that cannot be below 0."""
        value = math.sqrt(self.value) if self.value >= 0 else math.nan
        slope = 1 / (2 * value) if value > 0 else 0.0
        return Estimate(value=value, influence=self.influence * slope, in_time=self.in_time, least=0.0)

    def interval(self, share: float = 0.95) -> Interval:
        """Return the interval that holds the truth with a chance of `share`; NaN where nothing can be told."""
        if not self.is_known:
            return Interval(low=math.nan, high=math.nan)
        from scipy.special import stdtrit  # lines are loaded without it

        low, high = (
            self.value - self._error * self._skewed(stdtrit(self._freedom, (1 + side * share) / 2)) for side in (1, -1)
        )
        return Interval(low=max(low, self.least), high=min(high, self.most))

    def certainty_above(self, limit: float) -> float:
        """Return how sure the truth is above the limit, 0 to 1; NaN where nothing can be told."""
        if not self.is_known:
            return math.nan
        if not self._error > 0:
            return float(self.value > limit)
        from scipy.special import stdtr

        return float(stdtr(self._freedom, self._straight((self.value - limit) / self._error)))

    @property
    def is_known(self) -> bool:
        """Whether the figure is a number, and witnesses are enough to say how far it may be off."""
        return math.isfinite(self.value) and bool(np.isfinite(self.influence).all()) and self.witnesses >= MIN_WITNESSES

    @property
    def witnesses(self) -> float:
        """As how many strangers the blocks count: fewer than there are where neighbours are alike."""
        return len(self.influence) / self._likeness

    @functools.cached_property
    def _likeness(self) -> float:
        return likeness(self.influence) if self.in_time else 1.0

    @functools.cached_property
    def _moments(self) -> tuple[float, float, float]:
        """Return variance, skewness and kurtosis of the influences, 0 and 3 being a normal distribution's."""
        count = len(self.influence)
        around = self.influence - self.influence.mean()
        variance = float((around**2).mean())
        if not variance > 0:
            return 0.0, 0.0, 3.0
        skewness, excess = float((around**3).mean()) / variance**1.5, float((around**4).mean()) / variance**2 - 3
        return (
            variance * count / (count - 1),
            skewness * math.sqrt(count * (count - 1)) / (count - 2),
            3 + (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * excess + 6),
        )

    @functools.cached_property
    def _error(self) -> float:
        """The figure's standard error; influences are those of a sum over blocks."""
        return math.sqrt(self._moments[0] * len(self.influence) * self._likeness)

    @functools.cached_property
    def _freedom(self) -> float:
        """The degrees of freedom that tails, and neighbours that are alike, leave to the standard error."""
        count, kurtosis = len(self.influence), self._moments[2]
        of_tails = 2 * count / (kurtosis - 1) if kurtosis > 1 else math.inf
        of_time = freedom(count, bandwidth(self.influence)) if self.in_time else math.inf
        return max(1.0, min(count - 1.0, of_tails, of_time))

    @property
    def _lopsided(self) -> float:
        """The skewness of the figure itself."""
        return self._moments[1] / math.sqrt(self.witnesses)

    def _straight(self, errors: float) -> float:
        """Return so many standard errors without their skewness, by Hall's transformation."""
        skew = self._lopsided
        return errors + skew * errors**2 / 3 + skew**2 * errors**3 / 27 + skew / 6

    def _skewed(self, errors: float) -> float:
        """Return what `_straight` makes so many errors of."""
        skew = self._lopsided
        return errors if abs(skew) < 1e-9 else 3 / skew * (math.cbrt(1 + skew * (errors - skew / 6)) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Which rows are alike: the rows of one block count as one witness."""

    of_row: npt.NDArray[np.int64]
    """`[rows]`: each row's block, 0 … count - 1, every one with some rows; by time where `in_time`."""
    in_time: bool = False
    """Whether a block resembles the blocks before and after it, as days do."""
    what: str = "rows"
    """What blocks are, as a sentence says it: rows, days, values of engine."""

    @classmethod
    def rows(cls, count: int) -> "Blocks":
        """Return blocks of one row each: rows that know nothing of each other."""
        return cls(of_row=np.arange(count, dtype=np.int64))

    @functools.cached_property
    def count(self) -> int:
        """The number of witnesses."""
        return int(self.of_row.max(initial=-1)) + 1

    def where(self, mask: npt.NDArray[np.bool_]) -> "Blocks":
        """Return the blocks of the rows where the mask is true, in order; a block without rows is gone."""
        kept = np.unique(self.of_row[mask], return_inverse=True)[1]
        return Blocks(of_row=kept.astype(np.int64).reshape(-1), in_time=self.in_time, what=self.what)

    def sum(self, amount: Floats) -> Estimate:
        """Return the sum of an amount a row, `[rows]`, over as many blocks."""
        of_block = self._summed(amount)
        with np.errstate(invalid="ignore"):  # with an amount that is not finite nothing is known
            around = of_block - of_block.sum() / max(1, self.count)
        return self._estimate(float(amount.sum(dtype=np.float64)), around)

    def mean(self, amount: Floats, *, least: float = -math.inf) -> Estimate:
        """Return the mean of an amount a row, `[rows]`, that cannot be below `least`."""
        value = float(amount.mean(dtype=np.float64)) if len(amount) else math.nan
        with np.errstate(invalid="ignore"):
            influence = (amount - value) / max(1, len(amount))
        return replace(self.figure(value, influence), least=least)

    def figure(self, value: float, influence: Floats) -> Estimate:
        """Return a figure of the rows, of which the influence of each row is known, `[rows]`: see Estimate."""
        return self._estimate(value, self._summed(influence))

    def unknown(self) -> Estimate:
        """Return a figure that is not defined."""
        return self._estimate(math.nan, np.zeros(self.count))

    def _summed(self, amount: Floats) -> npt.NDArray[np.float64]:
        return np.bincount(self.of_row, weights=amount, minlength=self.count).astype(np.float64)

    def _estimate(self, value: float, influence: npt.NDArray[np.float64]) -> Estimate:
        return Estimate(value=value, influence=influence, in_time=self.in_time)


def likeness(series: Floats) -> float:
    """Return by how much neighbours that are alike raise the variance of a series' mean, 1 or more.

    That of a mean over an AR(1), whose correlation a short series shows too small by (1 + 3 r) / blocks (Marriott and
    Pope, Biometrika 41, 1954): in simulations it keeps an interval's promise where Bartlett weights alone do not.
    """
    around = series - series.mean() if series.size else series
    if not float(around @ around) > 0:
        return 1.0
    seen = _first_order(around)
    alike = float(np.clip(seen + (1 + 3 * max(seen, 0.0)) / len(series), 0.0, 0.9))
    return (1 + alike) / (1 - alike)


def bandwidth(series: Floats) -> int:
    """Return over how many steps a series is alike: Andrews' rule for Bartlett weights and an AR(1), 3 or more.

    At most a quarter of the steps: beyond that there is nothing to estimate it by (Andrews, Econometrica 59, 1991).
    """
    steps, alike = len(series), float(np.clip(_first_order(series - series.mean()), -0.97, 0.97))
    lags = 1.1447 * (4 * alike**2 / (1 - alike**2) ** 2 * steps) ** (1 / 3)
    return int(min(max(MIN_LAGS, np.ceil(lags)), steps // 4))


def freedom(steps: int, lags: int) -> float:
    """Return the degrees of freedom that the estimator leaves, at least 1 (Bartlett weights: 1.5 · steps / lags)."""
    return max(1.0, 1.5 * steps / (lags + 1))


def _first_order(around: Floats) -> float:
    """Return how a series around 0 correlates with itself one step later."""
    square = float(around @ around)
    return float(around[1:] @ around[:-1]) / square if square > 0 else 0.0

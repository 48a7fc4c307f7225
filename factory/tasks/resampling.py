"""Resampling: how sure a figure is, and by how much one model's exceeds another's on the same rows.

Rows that are alike are one witness: blocks of rows are drawn with replacement, never single rows of a block (the
cluster bootstrap; Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Two corrections
widen what the resamples show. Few blocks know their own spread badly: deviations grow by sqrt(B / (B - 1)) and by
Student's quantile over the normal one (the expanded percentile interval; Hesterberg, The American Statistician 69,
2015). And blocks that follow each other in time resemble their neighbours: deviations grow by what that adds to the
spread of a mean, measured on what each block contributes to the figure.

The resamples depend on the blocks, `rounds` and `seed` alone: two figures that agree in these are paired, and `-` of
them is the difference on the same resamples.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Weights = npt.NDArray[np.int32]
"""How often each row was drawn, `[some, rows]`, a resample a line."""

ROUNDS = 1000
SEED = 7
MIN_LAGS = 3
_WEIGHTS_AT_ONCE = 250_000
"""Rows weighed per chunk of resamples: a few megabytes, which stay in the processor's cache."""


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


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a resampled figure lies: the central share of its widened resamples."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """A figure in every resample of some blocks, NaN where it is not defined there."""

    samples: npt.NDArray[np.float64]
    """`[rounds]`, as they were drawn."""
    left_out: npt.NDArray[np.float64]
    """`[blocks]`: the figure without each block; empty where blocks do not follow each other in time."""
    blocks: int

    def __sub__(self, other: "Resampled") -> "Resampled":
        """Return the difference of two figures in the same resamples."""
        return Resampled(
            samples=self.samples - other.samples, left_out=self.left_out - other.left_out, blocks=self.blocks
        )

    def __neg__(self) -> "Resampled":
        """Return the figure with the other sign."""
        return Resampled(samples=-self.samples, left_out=-self.left_out, blocks=self.blocks)

    def through(self, function: Callable[[Any], Any]) -> "Resampled":
        """Return a function of the figure, such as its root."""
        return Resampled(samples=function(self.samples), left_out=function(self.left_out), blocks=self.blocks)

    def interval(self, share: float = 0.95) -> Interval:
        """Return the interval with the central share of the widened resamples; NaN where nothing can be measured."""
        if not self.widened.size:
            return Interval(low=float("nan"), high=float("nan"))
        low, high = np.quantile(self.widened, [(1 - share) / 2, (1 + share) / 2])
        return Interval(low=float(low), high=float(high))

    def share_above(self, limit: float) -> float:
        """Return the share of the widened resamples above the limit; NaN where nothing can be measured."""
        return float((self.widened > limit).mean()) if self.widened.size else float("nan")

    @functools.cached_property
    def widened(self) -> npt.NDArray[np.float64]:
        """The resamples that are numbers, ascending, as far from their median as so few blocks leave them.

        Empty where no resample is a number, and where there are fewer than two blocks: one witness has no spread.
        """
        known = np.sort(self.samples[np.isfinite(self.samples)])
        if self.blocks < 2 or not known.size:
            return known[:0]
        from scipy.special import ndtri, stdtrit  # lines are loaded without it

        neighbours, freedom = _likeness(self.left_out) if len(self.left_out) else (1.0, self.blocks - 1.0)
        place = (np.arange(len(known)) + 0.5) / len(known)
        normal, student = ndtri(place), stdtrit(min(freedom, self.blocks - 1.0), place)
        beyond_normal = np.divide(student, normal, out=np.ones_like(normal), where=normal != 0)
        middle = np.median(known)
        few = np.sqrt(self.blocks / (self.blocks - 1) * neighbours)
        widened: npt.NDArray[np.float64] = middle + (known - middle) * few * beyond_normal
        return widened


@dataclass(frozen=True, kw_only=True, eq=False)
class Resamples:
    """All resamples of some rows by their blocks."""

    blocks: Blocks
    rounds: int = ROUNDS
    seed: int = SEED
    _rows_of: npt.NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Count each block's rows."""
        rows = np.bincount(self.blocks.of_row, minlength=self.blocks.count).astype(np.float64)
        object.__setattr__(self, "_rows_of", rows)

    def sum(self, amount: Floats) -> Resampled:
        """Return the sum of an amount a row, `[rows]`."""
        return self._of_sums(amount, lambda total, _: total)

    def mean(self, amount: Floats) -> Resampled:
        """Return the mean of an amount a row, `[rows]`."""
        return self._of_sums(amount, lambda total, rows: total / np.maximum(rows, 1))

    def figure(
        self, weighted: Callable[[Weights], npt.NDArray[np.float64]], order: npt.NDArray[np.int64] | None = None
    ) -> Resampled:
        """Return a figure of weighted rows: it gets weights `[some, rows]`, the rows in `order`, and gives `[some]`."""
        of_row = self.blocks.of_row if order is None else self.blocks.of_row[order]
        if not len(of_row):
            return self.undefined()
        samples = [weighted(np.take(drawn, of_row, axis=1)) for drawn in self._multiplicities(len(of_row))]
        left_out = [weighted(np.take(drawn, of_row, axis=1)) for drawn in self._without_each(len(of_row))]
        return self._resampled(np.concatenate(samples), np.concatenate([np.empty(0), *left_out]))

    def _of_sums(
        self, amount: Floats, joined: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], Any]
    ) -> Resampled:
        """Return a figure of the drawn blocks' sum and number of rows."""
        if not len(amount):
            return self.undefined()
        sums = np.bincount(self.blocks.of_row, weights=amount.astype(np.float64), minlength=self.blocks.count)
        pairs = np.stack([sums, self._rows_of], 1)
        with np.errstate(invalid="ignore"):  # an amount that is not finite, drawn no time, is not known
            drawn = np.concatenate([drawn @ pairs for drawn in self._multiplicities(self.blocks.count)])
        without = pairs.sum(0) - pairs if self.blocks.in_time else pairs[:0]
        return self._resampled(joined(drawn[:, 0], drawn[:, 1]), joined(without[:, 0], without[:, 1]))

    def _resampled(self, samples: npt.NDArray[np.float64], left_out: npt.NDArray[np.float64]) -> Resampled:
        return Resampled(samples=samples, left_out=left_out, blocks=self.blocks.count)

    def undefined(self) -> Resampled:
        """Return a figure that is defined in no resample."""
        return self._resampled(np.full(self.rounds, np.nan), np.empty(0))

    def _multiplicities(self, rows: int) -> Iterator[npt.NDArray[np.int32]]:
        """Yield how often each block is drawn, `[some, blocks]`, for figures of so many rows at a time."""
        count, random = self.blocks.count, np.random.default_rng(self.seed)
        for some in _chunks(self.rounds, rows):
            # Drawn in doubles: their stream is the same however the resamples are cut into chunks.
            drawn = (random.random((some, count)) * count).astype(np.int64)
            cells = drawn + count * np.arange(some)[:, None]
            yield np.bincount(cells.ravel(), minlength=some * count).reshape(some, count).astype(np.int32)

    def _without_each(self, rows: int) -> Iterator[npt.NDArray[np.int32]]:
        """Yield all blocks but one, `[some, blocks]`, each left out in its turn; nothing where order says nothing."""
        count = self.blocks.count if self.blocks.in_time else 0
        first = 0
        for some in _chunks(count, rows):
            yield (np.arange(count) != np.arange(first, first + some)[:, None]).astype(np.int32)
            first += some


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


def _likeness(left_out: Floats) -> tuple[float, float]:
    """Return by how much neighbours that are alike raise a mean's variance, 1 or more, and its degrees of freedom.

    That of a mean over an AR(1), whose correlation a short series shows too small by (1 + 3 r) / blocks (Marriott and
    Pope, Biometrika 41, 1954): in simulations it keeps an interval's promise where Bartlett weights alone do not.
    """
    known = left_out[np.isfinite(left_out)]
    influence = known - known.mean() if known.size else known
    if not float(influence @ influence) > 0:
        return 1.0, float("inf")
    seen = _first_order(influence)
    alike = float(np.clip(seen + (1 + 3 * max(seen, 0.0)) / len(known), 0.0, 0.9))
    return (1 + alike) / (1 - alike), freedom(len(known), bandwidth(influence))


def _first_order(around: Floats) -> float:
    """Return how a series around 0 correlates with itself one step later."""
    square = float(around @ around)
    return float(around[1:] @ around[:-1]) / square if square > 0 else 0.0


def _chunks(rounds: int, rows: int) -> Iterator[int]:
    """Yield how many resamples of so many rows to compute at once, until all are."""
    at_once = max(1, _WEIGHTS_AT_ONCE // max(1, rows))
    for start in range(0, rounds, at_once):
        yield min(at_once, rounds - start)

"""Resampling: how sure a figure is, and by how much one model's exceeds another's on the same rows. numpy only.

The resamples depend on the number of rows, `rounds` and `seed` alone: two figures that agree in these are paired.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

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


def bootstrap_sum(amount: Floats, *, rounds: int = ROUNDS, seed: int = SEED) -> npt.NDArray[np.float64]:
    """Return the sum of a per-row amount in `rounds` resamples of the rows with replacement (Efron, 1979)."""
    return bootstrap_mean(amount, rounds=rounds, seed=seed) * len(amount)


def bootstrap_mean(amount: Floats, *, rounds: int = ROUNDS, seed: int = SEED) -> npt.NDArray[np.float64]:
    """Return the mean of a per-row amount in the same resamples; float64 [rounds]."""
    exact = amount.astype(np.float64)
    return resampled(len(amount), lambda rows: exact[rows].mean(axis=1), rounds=rounds, seed=seed)


def resampled(
    rows: int,
    figure: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float64]],
    *,
    rounds: int = ROUNDS,
    seed: int = SEED,
) -> npt.NDArray[np.float64]:
    """Return a figure in each resample; `figure` gets row numbers, [some, rows], and gives [some]. NaN without rows."""
    if not rows:
        return np.full(rounds, np.nan)
    return np.concatenate([figure(drawn) for drawn in _resamples(rows, rounds, seed)])


def share_above(samples: Floats, limit: float) -> float:
    """Return the share of the samples that exceed the limit, of those that are numbers; NaN where none is."""
    known = samples[np.isfinite(samples)]
    return float((known > limit).mean()) if known.size else float("nan")


def _resamples(rows: int, rounds: int, seed: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the row numbers of all resamples, [some, rows] at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // rows)
    for start in range(0, rounds, at_once):
        yield random.integers(0, rows, size=(min(at_once, rounds - start), rows), dtype=np.int32)

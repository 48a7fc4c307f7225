"""Counts of one column, batch by batch, in bounded memory.

Values are counted one by one while they are few; distinct ones by a sample of their hashes, which is exact up to its
limit and beyond it an estimate: all copies of a value have one hash, so that a repeated value stays repeated.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

FEW = 320
"""Up to so many different values are each counted."""
HASHES = 4_000_000
"""Hashes kept of all columns of a table together: 64 MB."""
_WORD = r"\S+"


@dataclass(kw_only=True)
class Distinct:
    """How many different values there are."""

    limit: int
    kept: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    copies: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    halvings: int = 0

    def see(self, hashes: NDArray[np.uint64]) -> None:
        """Take the hashes of a batch's values."""
        new, counts = np.unique(self._among(hashes), return_counts=True)
        both = np.concatenate([self.kept, new])
        self.kept, where = np.unique(both, return_inverse=True)
        self.copies = np.bincount(where, np.concatenate([self.copies, counts]), len(self.kept)).astype(np.int64)
        while len(self.kept) > self.limit:
            self.halvings += 1
            stays = self.kept < self._threshold()
            self.kept, self.copies = self.kept[stays], self.copies[stays]

    @property
    def count(self) -> int:
        """The number of different values; an estimate unless `exact`."""
        return len(self.kept) << self.halvings

    @property
    def exact(self) -> bool:
        """Whether every value's hash was kept."""
        return self.halvings == 0

    @property
    def repeated(self) -> bool:
        """Whether a value came twice, among those whose hashes were kept."""
        return bool((self.copies > 1).any())

    def share_in(self, other: "Distinct") -> float:
        """Return the share of these values, each counted as often as it came, that `other` has, too.

        Exact where both are; else of the values whose hashes both would have kept.
        """
        coarser = self if self.halvings > other.halvings else other
        is_judged = self.kept < coarser._threshold() if coarser.halvings else np.ones(len(self.kept), dtype=bool)
        judged = int(self.copies[is_judged].sum())
        return int(self.copies[is_judged & np.isin(self.kept, other.kept)].sum()) / judged if judged else 0.0

    def _among(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return hashes[hashes < self._threshold()] if self.halvings else hashes

    def _threshold(self) -> np.uint64:
        return np.uint64(1 << (64 - self.halvings))


@dataclass(kw_only=True)
class Counts:
    """What was counted of one column."""

    distinct: Distinct
    rows: int = 0
    nulls: int = 0
    low: Any = None
    high: Any = None
    values: dict[Any, int] | None = field(default_factory=dict)
    """Each value and its count while there are few; None once there are many."""
    longest: int = 0
    words: int = 0

    def see(self, values: pl.Series) -> None:
        """Count a batch."""
        known = (values.fill_nan(None) if values.dtype.is_float() else values).drop_nulls()
        self.rows += len(values)
        self.nulls += len(values) - len(known)
        if not len(known):
            return
        self.distinct.see(known.hash(1, 2, 3, 4).to_numpy())
        self._count(known)
        if known.dtype == pl.String:
            self.longest = max(self.longest, int(known.str.len_chars().max() or 0))  # type: ignore[arg-type]  # a number
            self.words += int(known.str.count_matches(_WORD).sum())
        low, high = known.min(), known.max()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def _count(self, known: pl.Series) -> None:
        if self.values is None:
            return
        if known.n_unique() > FEW:
            self.values = None
            return
        for value, count in known.alias("value").value_counts().sort("value").iter_rows():  # the same in every run
            self.values[value] = self.values.get(value, 0) + count
        if len(self.values) > FEW:
            self.values = None

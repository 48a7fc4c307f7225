"""What plain models take of features: a sequence as a table, and a table filled, flagged and scaled for a linear model.

factory/training/plain_export.py writes the same as a graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.tasks.plain import Rows
from factory.training.categories import LEAST_ROWS
from factory.training.conditions import FAR, Conditions

_MOST_CODES = 256
"""So many codes of categories a linear model tells apart at most, each in a column of its own: the commonest."""
_TAILS = (0.005, 0.995)
"""Beyond these shares of its training values a feature says no more to a linear model: one wild value tilts it all."""


def tabular(features: Rows, conditions: Conditions | None = None) -> Rows:
    """Return features as a table, float32 `[rows, …]`.

    Of a sequence, `[rows, steps, features]`, it has each feature's last value, its mean, and how much its second
    half exceeds its first: what a person would put into columns; each measured against its own operating condition
    where there are some, for a mean over two conditions is of neither.
    """
    if features.ndim == 2:
        return features
    features = np.clip(features, -FAR, FAR)
    features = features if conditions is None else conditions.measured(features)
    first, second = halves(features.shape[1])
    rise = _mean(features[:, second]) - _mean(features[:, first])
    return np.concatenate([features[:, -1], _mean(features), rise], axis=1).astype(np.float32)


def halves(steps: int) -> tuple[slice, slice]:
    """Return the first and the second half of a window's moments; of a single moment both are that one."""
    return slice(0, max(steps // 2, 1)), slice(steps // 2, steps)


def _mean(moments: Rows) -> NDArray[np.float64]:
    """Return the mean over what is known of `[rows, steps, features]`; NaN where nothing is.

    In float64 the few moments of a window add up to the same float32 in any order, so the file splits as the trees do.
    """
    with np.errstate(invalid="ignore"):  # 0 / 0
        mean: NDArray[np.float64] = np.nansum(moments, axis=1, dtype=np.float64) / (~np.isnan(moments)).sum(axis=1)
    return mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Features as a linear model takes them: unknowns filled and flagged, wild values cut, all of one scale."""

    fill: Rows
    low: Rows
    high: Rows
    center: Rows
    scale: Rows
    flagged: NDArray[np.int64]
    """The columns that are unknown in some training rows and known in others: that may say something."""
    category: NDArray[np.int64]
    """For each code that is told apart the column that holds it; the column's number itself says nothing."""
    code: Rows

    def of(self, features: Rows) -> Rows:
        """Return float32 `[rows, features + flagged + codes]`."""
        unknown = np.isnan(features)
        filled = np.clip(np.where(unknown, self.fill, features), self.low, self.high)
        flags = [unknown[:, self.flagged], features[:, self.category] == self.code]
        return np.concatenate([(filled - self.center) * self.scale, *flags], axis=1, dtype=np.float32)


def preparation(table: Rows, categories: Sequence[int]) -> Prepared:
    """Fit what prepares features for a linear model; a feature of which nothing is known is always 0."""
    fill, low, high, center, spread = np.zeros((5, table.shape[1]), np.float32)
    for number, column in enumerate(finite(table).T):
        known = column[~np.isnan(column)].astype(np.float64)
        if known.size and number not in categories:
            low[number], fill[number], high[number] = np.quantile(known, [_TAILS[0], 0.5, _TAILS[1]])
            cut = np.clip(known, low[number], high[number])
            center[number], spread[number] = cut.mean(), cut.std()
    unknown = np.isnan(table)
    category, code = _common_codes(table, categories)
    return Prepared(
        fill=fill,
        low=low,
        high=high,
        center=center,
        scale=np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0).astype(np.float32),
        flagged=np.flatnonzero(unknown.any(axis=0) & ~unknown.all(axis=0)),
        category=category,
        code=code,
    )


def _common_codes(table: Rows, categories: Sequence[int]) -> tuple[NDArray[np.int64], Rows]:
    """Return columns and codes in pairs: of all categories together those that most rows have."""
    counted = [
        (int(rows), -column, -float(code))
        for column in categories
        for code, rows in zip(*np.unique(finite(table)[:, column], return_counts=True), strict=True)
        if rows >= LEAST_ROWS and not np.isnan(code)
    ]
    kept = sorted(counted, reverse=True)[:_MOST_CODES]
    return np.array([-column for _, column, _ in kept], np.int64), np.array([-code for *_, code in kept], np.float32)


def finite(table: Rows) -> Rows:
    """Replace infinities by the greatest float32 there are, for which trees take them; NaN stays."""
    limit = np.finfo(np.float32).max
    return np.clip(table, -limit, limit)

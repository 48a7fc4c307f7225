"""How well one column alone tells the target: the share of the target's variance it explains on unseen rows.

A column is cut into bins (values of a category, twentieths of a number, one bin for missing) whose mean targets are
learned from half of the rows and judged on the rest, so that a column of names scores nothing.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BINS = 20
_CATEGORIES = 200
_SEED = 7
_LEAST = 30
"""Fewer rows than this tell nothing."""


def targets_of(target: pl.Series, classes: tuple[str, ...]) -> Floats:
    """Return the target as `[rows, answers]`: a column for each class, or the number itself."""
    if not classes:
        return target.cast(pl.Float64).to_numpy().reshape(-1, 1)
    text = target.cast(pl.String).to_numpy()
    return np.stack([text == name for name in classes], axis=1).astype(np.float64)


def skill(column: pl.Series, targets: Floats) -> float:
    """Return 1 where the column tells the target on unseen rows, 0 where it is no better than the mean."""
    return skill_of_bins(bins_of(column), targets)


def missing_skill(column: pl.Series, targets: Floats) -> float:
    """Return the same for whether the column is missing."""
    missing = (column.fill_nan(None) if column.dtype.is_float() else column).is_null()
    if not missing.any():
        return 0.0
    return skill_of_bins(missing.cast(pl.Int64).to_numpy(), targets)


def skill_of_bins(bins: NDArray[np.int64], targets: Floats) -> float:
    """Return the skill of bins, numbered from 0."""
    if len(bins) < _LEAST:
        return 0.0
    learn = np.random.default_rng(_SEED).permutation(len(bins)) % 2 == 0  # by chance: a table may alternate
    judge = ~learn
    size = int(bins.max()) + 1
    rows = np.bincount(bins[learn], minlength=size)
    mean = targets[learn].mean(axis=0)
    means = np.stack([np.bincount(bins[learn], column, size) for column in targets[learn].T], axis=1)
    means = (means + mean) / (rows + 1)[:, None]  # one row of the mean: a bin seen once is no knowledge
    missed = ((targets[judge] - means[bins[judge]]) ** 2).sum()
    plain = ((targets[judge] - mean) ** 2).sum()
    return float(max(0.0, 1 - missed / plain)) if plain > 0 else 0.0


def bins_of(column: pl.Series) -> NDArray[np.int64]:
    """Return each row's bin; 0 is for missing."""
    if column.dtype in (pl.String, pl.Boolean):
        ranked = column.cast(pl.String).alias("value")
        counts = ranked.drop_nulls().value_counts().sort("count", "value", descending=[True, False])
        common = counts["value"].head(_CATEGORIES).sort()
        numbers = {value: number for number, value in enumerate(common, 1)}
        binned = ranked.replace_strict(numbers, default=_CATEGORIES + 1, return_dtype=pl.Int64)
        return pl.select(pl.when(ranked.is_null()).then(0).otherwise(binned)).to_series().cast(pl.Int64).to_numpy()
    values = column.to_physical().cast(pl.Float64).fill_nan(None)
    known = values.drop_nulls().to_numpy()
    if not len(known):
        return np.zeros(len(values), np.int64)
    distinct = np.unique(known)
    edges = distinct if len(distinct) <= _BINS else _edges(known)
    places = np.searchsorted(edges, values.fill_null(0).to_numpy(), side="right") + 1
    return np.where(values.is_null().to_numpy(), 0, places).astype(np.int64)


def _edges(known: Floats) -> Floats:
    """Return where bins begin: at each twentieth, and right after it, so that a value of many rows has its own bin."""
    cuts = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[:-1]))
    return np.unique(np.concatenate([cuts, np.nextafter(cuts, np.inf)]))

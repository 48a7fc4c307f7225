"""How the rows of each day fall into bins: one lazy Polars pass over all features of all sites.

A day is the block that everything is judged by. Rows of one day are alike (one storm delays them all), so 1,000 rows of
one week count as far fewer independent ones, and only the spread from day to day says as how many.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.line.alike import period
from factory.storage.lake import SITE

BLOCK = "block"
ROWS = "rows"
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What is watched: `features` and predictions by their distribution and share of nulls, `value_eur` by its mean."""

    features: tuple[str, ...]
    value_eur: str | None = None
    """The column with what each decision was worth, null where the outcome is not known yet."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """One site's rows by block, oldest first; arrays are float64."""

    rows: Counts
    """Rows of each block, [blocks]."""
    bins: Mapping[str, Counts]
    """Rows by block and bin, [blocks, bins], for each feature; null rows are in none."""
    values: tuple[Counts, Counts] | None
    """Sum of values in EUR and number of known ones, each [blocks]; None where they are not watched."""


Edges = Mapping[str, Mapping[str, tuple[float, ...]]]
"""Site → feature → the inner edges of its bins, ascending; a bin holds what is greater than its lower edge."""


def edges(rows: pl.LazyFrame, columns: Columns, bins: Mapping[str, int]) -> Edges:
    """Return, for each site in `bins`, edges that cut its rows into that many bins of equal size.

    Where many rows have one value there are fewer bins; a constant feature has one bin for its value, which a new value
    falls outside of.
    """
    plans = [
        rows.filter(pl.col(SITE) == site).select(_quantiles(name, count) for name in columns.features)
        for site, count in bins.items()
    ]
    frames = pl.collect_all(plans)
    return {
        site: {name: _distinct(frame[name][0].to_list()) for name in columns.features}
        for site, frame in zip(bins, frames, strict=True)
    }


def _quantiles(name: str, count: int) -> pl.Expr:
    """Return lowest value, inner quantiles and highest value as one list, from one sorting."""
    value = _number(name)
    steps = pl.lit(pl.Series([place / count for place in range(count + 1)]))
    places = (steps * (value.count().cast(pl.Float64) - 1)).floor().clip(0).cast(pl.UInt32)
    return value.sort(nulls_last=True).gather(places).implode().alias(name)


def _distinct(quantiles: Sequence[float | None]) -> tuple[float, ...]:
    """Return ascending edges, fewer where quantiles are equal; at least one, below the highest value."""
    known = [value for value in quantiles if value is not None]
    if not known:
        return (0.0,)
    low, high = known[0], known[-1]
    if high == low:
        return (float(np.nextafter(low, -np.inf)), high)
    return tuple(sorted({edge for edge in known[1:-1] if edge < high})) or (float(np.nextafter(high, -np.inf)),)


def counted(rows: pl.LazyFrame, columns: Columns, cuts: Edges) -> dict[str, Counted]:
    """Count the rows of each site in `cuts` by day and bin. A site without rows has no blocks."""
    plans = [_counts(rows.filter(pl.col(SITE) == site), columns, cuts[site]) for site in cuts]
    frames = pl.collect_all(plans)
    return {site: _counted(frame, columns, cuts[site]) for site, frame in zip(cuts, frames, strict=True)}


def _counts(rows: pl.LazyFrame, columns: Columns, cuts: Mapping[str, Sequence[float]]) -> pl.LazyFrame:
    return rows.group_by(period().alias(BLOCK)).agg(pl.len().alias(ROWS), *_sums(columns, cuts)).sort(BLOCK)


def _sums(columns: Columns, cuts: Mapping[str, Sequence[float]]) -> Iterator[pl.Expr]:
    for name in columns.features:
        value = _number(name)
        yield value.count().alias(f"{name}\nknown")
        for place, edge in enumerate(cuts[name]):
            yield (value > edge).sum().alias(f"{name}\n{place}")
    if columns.value_eur:
        value = _number(columns.value_eur)
        yield value.sum().alias("\nvalue")
        yield value.count().alias("\nvalues")


def _counted(frame: pl.DataFrame, columns: Columns, cuts: Mapping[str, Sequence[float]]) -> Counted:
    bins = {}
    for name in columns.features:
        above = [f"{name}\nknown", *(f"{name}\n{place}" for place in range(len(cuts[name])))]
        reaching = frame.select(above).cast(pl.Float64).to_numpy()
        bins[name] = reaching - np.append(reaching[:, 1:], np.zeros((len(frame), 1)), axis=1)
    pair = ("\nvalue", "\nvalues")
    values = tuple(frame[name].cast(pl.Float64).to_numpy() for name in pair) if columns.value_eur else None
    return Counted(
        rows=frame[ROWS].cast(pl.Float64).to_numpy(),
        bins=bins,
        values=(values[0], values[1]) if values else None,
    )


def _number(name: str) -> pl.Expr:
    """Return the column as numbers, null where it is not a finite one."""
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)

"""A site's reference profile: how its features were distributed where its model was trained, and how they wander.

A few hundred numbers in JSON, stored with the model; the rows themselves are not needed again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from factory.line.alike import period
from factory.monitoring.drift.counting import Columns, Counted, counted, edges
from factory.monitoring.drift.variance import Floats, Spread, location_spread, long_run, spread
from factory.storage.lake import SITE
from factory.tasks.intervals import bandwidth, freedom

MAX_BINS = 10
ROWS_PER_BIN = 8
"""Rows of a window that a bin should hold, for a chi-square to mean anything."""
MIN_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How one feature was distributed: the share of known rows in each bin, and of rows without a value."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    spread: Spread
    location_spread: Spread
    null_share: float
    null_spread: Spread


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What a decision was worth: the mean in EUR, the long-run variance of a day's deviation, and by how many rows."""

    mean_eur: float
    variance: float
    freedom: float
    rows: float
    days: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One site's reference: `rows` over `days` days, each feature's shape, and what decisions were worth."""

    site: str
    rows: int
    days: int
    shapes: Mapping[str, Shape]
    worth: Worth | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Profile":
        """Rebuild a profile; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            site=data["site"],
            rows=data["rows"],
            days=data["days"],
            shapes={name: _shape_of(shape) for name, shape in data["shapes"].items()},
            worth=None if data["worth"] is None else Worth(**data["worth"]),
        )


def reference_profiles(rows: pl.LazyFrame, columns: Columns, *, window_days: int = 7) -> dict[str, Profile]:
    """Return the profile of each site that has rows on at least 14 days; it is judged in windows of `window_days`.

    `rows` have `site`, `decided_at` and the columns; take those that the model was trained on, or a season of them.
    """
    sizes = rows.group_by(SITE).agg(pl.len().alias("rows"), period().n_unique().alias("days"))
    wanted = {
        site: bins_for(count / days * window_days)
        for site, count, days in sizes.sort(SITE).collect().iter_rows()
        if days >= MIN_DAYS
    }
    cuts = edges(rows, columns, wanted)
    return {site: _profile(site, counts, cuts[site]) for site, counts in counted(rows, columns, cuts).items()}


def bins_for(window_rows: float) -> int:
    """Return into how many bins a window of so many rows can be cut: 2 to 10."""
    return int(np.clip(window_rows // ROWS_PER_BIN, 2, MAX_BINS))


def _profile(site: str, counts: Counted, cuts: Mapping[str, tuple[float, ...]]) -> Profile:
    return Profile(
        site=site,
        rows=int(counts.rows.sum()),
        days=len(counts.rows),
        shapes={name: _shape(bins, counts.rows, cuts[name]) for name, bins in counts.bins.items()},
        worth=_worth(*counts.values) if counts.values else None,
    )


def _shape(bins: Floats, rows: Floats, cuts: tuple[float, ...]) -> Shape:
    known = bins.sum(1)
    halved = _smoothed(np.stack([rows - known, known], axis=1))
    smooth = _smoothed(bins)
    shares = smooth.sum(0) / smooth.sum()
    return Shape(
        edges=cuts,
        shares=tuple(shares.tolist()),
        spread=spread(smooth),
        location_spread=location_spread(smooth),
        null_share=float((rows.sum() - known.sum()) / rows.sum()),
        null_spread=spread(halved),
    )


def _smoothed(counts: Floats) -> Floats:
    """Return the counts with half a row in each bin, spread over the days: no share is zero, and none changes much."""
    return counts + 0.5 / len(counts)


def _worth(total: Floats, known: Floats) -> Worth | None:
    rows = float(known.sum())
    if rows == 0:
        return None
    mean = float(total.sum()) / rows
    deviations = total - known * mean
    lags = bandwidth(deviations)
    return Worth(
        mean_eur=mean,
        variance=float(long_run(deviations[:, None], lags)[0, 0]),
        freedom=freedom(len(known), lags),
        rows=rows,
        days=len(known),
    )


def _shape_of(data: Mapping[str, Any]) -> Shape:
    return Shape(
        edges=tuple(data["edges"]),
        shares=tuple(data["shares"]),
        spread=Spread(**data["spread"]),
        location_spread=Spread(**data["location_spread"]),
        null_share=data["null_share"],
        null_spread=Spread(**data["null_spread"]),
    )

"""One window of a site against its profile: how far each feature moved, and how likely by noise alone.

The effect of a distribution is PSI, less what noise alone would give it, and KS at the profile's bin edges; of nulls
the change of their share; of decisions the EUR that one is worth less than it was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from factory.monitoring.drift.counting import Columns, Counted, counted
from factory.monitoring.drift.profile import Profile, Shape, Worth
from factory.monitoring.drift.variance import Floats, Spread, ridits

Measure = Literal["distribution", "nulls", "value"]


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How far one feature of one site moved in one window.

    `effect` is PSI above noise for a distribution (0.1 is some, 0.25 much), the absolute change of the share for nulls,
    and the loss in EUR a decision for value. `ks` is the largest difference of the cumulative shares. `was` and `now`
    are the shares of the bins, of nulls, or the mean value. `p_value` holds under dependence between days.
    """

    site: str
    feature: str
    measure: Measure
    effect: float
    ks: float | None
    p_value: float
    rows: int
    was: tuple[float, ...]
    now: tuple[float, ...]


def measured(window: pl.LazyFrame, columns: Columns, profiles: Mapping[str, Profile]) -> list[Shift]:
    """Return every shift of every site with a profile and rows in the window, in one pass over its rows."""
    cuts = {site: {name: profile.shapes[name].edges for name in columns.features} for site, profile in profiles.items()}
    counts = counted(window, columns, cuts)
    return [shift for site, profile in profiles.items() for shift in _shifts(profile, counts[site])]


def _shifts(profile: Profile, counts: Counted) -> Iterator[Shift]:
    if counts.rows.sum() == 0:
        return
    for name, bins in counts.bins.items():
        shape, known = profile.shapes[name], bins.sum(1)
        if known.sum() > 0:
            yield _distribution(profile, name, shape, bins)
        yield _nulls(profile, name, shape, counts.rows, known)
    if profile.worth and counts.values and counts.values[1].sum() > 0:
        yield _value(profile, profile.worth, *counts.values)


def _distribution(profile: Profile, name: str, shape: Shape, bins: Floats) -> Shift:
    was, known = np.array(shape.shares), bins.sum()
    reference = profile.rows * (1 - shape.null_share)
    noise, any_change = _against_noise(was, bins.sum(0), shape.spread, len(bins), reference)
    moved_as_a_whole = _location(was, bins.sum(0), shape.location_spread, len(bins), reference)
    now = (bins.sum(0) + 0.5) / (known + 0.5 * len(was))
    return Shift(
        site=profile.site,
        feature=name,
        measure="distribution",
        effect=max(0.0, float(((now - was) * np.log(now / was)).sum()) - noise),
        ks=float(np.abs(np.cumsum(bins.sum(0) / known - was)).max()),
        p_value=min(1.0, 2 * min(any_change, moved_as_a_whole)),  # the better of two tests, paid for (Bonferroni)
        rows=int(known),
        was=shape.shares,
        now=tuple((bins.sum(0) / known).tolist()),
    )


def _nulls(profile: Profile, name: str, shape: Shape, rows: Floats, known: Floats) -> Shift:
    counts = np.array([rows.sum() - known.sum(), known.sum()])
    was = (np.array([shape.null_share, 1 - shape.null_share]) * profile.rows + 0.5) / (profile.rows + 1)
    _, p_value = _against_noise(was, counts, shape.null_spread, len(rows), profile.rows)
    now = float(counts[0] / counts.sum())
    return Shift(
        site=profile.site,
        feature=name,
        measure="nulls",
        effect=abs(now - shape.null_share),
        ks=None,
        p_value=p_value,
        rows=int(rows.sum()),
        was=(shape.null_share,),
        now=(now,),
    )


def _against_noise(was: Floats, counts: Floats, wander: Spread, days: int, reference: float) -> tuple[float, float]:
    """Return the chi-square a row that noise alone would give on average, and the p-value of these counts.

    The window's noise and the reference's own add up.
    """
    from scipy.special import fdtrc  # here and below: sensors load this module without judging

    rows, free = counts.sum(), len(was) - 1
    here = wander.at(rows / days)
    level = here + wander.design_effect * rows / max(1.0, reference)
    statistic = float(rows * ((counts / rows - was) ** 2 / was).sum()) / (level * free)
    own = free / (1 + wander.unevenness)
    return level * free / float(rows), float(fdtrc(own, own * wander.freedom, statistic))


def _location(was: Floats, counts: Floats, wander: Spread, days: int, reference: float) -> float:
    """Return the p-value of the mean ridit: it finds a shift of the whole that a chi-square spreads over all bins."""
    from scipy.special import stdtr

    rows, scores = float(counts.sum()), ridits(was)
    level = wander.at(rows / days) / rows + wander.design_effect / max(1.0, reference)
    error = np.sqrt(float((was * scores**2).sum()) * level)
    standard = abs(float((counts / rows - was) @ scores)) / error
    return float(2 * stdtr(wander.freedom, -standard))


def _value(profile: Profile, worth: Worth, total: Floats, known: Floats) -> Shift:
    from scipy.special import stdtr

    rows = float(known.sum())
    now = float(total.sum()) / rows
    error = np.sqrt(worth.variance * (len(known) / rows**2 + worth.days / worth.rows**2))
    standard = (now - worth.mean_eur) / error if error > 0 else 0.0
    return Shift(
        site=profile.site,
        feature="value",
        measure="value",
        effect=max(0.0, worth.mean_eur - now),
        ks=None,
        p_value=float(stdtr(worth.freedom, standard)),
        rows=int(rows),
        was=(worth.mean_eur,),
        now=(now,),
    )

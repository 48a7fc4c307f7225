"""Rows of sites in weeks, with shifts of known size."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from factory.monitoring.drift.counting import Columns
from factory.monitoring.drift.profile import reference_profiles

START = datetime(2024, 1, 1, tzinfo=UTC)
FEATURES = ("force", "speed", "rare", "gaps")
COLUMNS = Columns(features=FEATURES, value_eur="value_eur")


def rows(seed=0, *, days=91, per_day=40, first_day=0, sites=("east",), alike=0.3):
    """Rows whose days have a part in common: `alike` of the variance."""
    rng = np.random.default_rng(seed)
    parts = []
    for site in sites:
        common = np.repeat(rng.normal(size=(days, 3)), per_day, 0)
        values = np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.normal(size=(days * per_day, 3))
        at = [START + timedelta(days=first_day + day, minutes=n) for day in range(days) for n in range(per_day)]
        gaps = np.where(rng.random(len(values)) < 0.1, np.nan, values[:, 1])
        frame = pl.DataFrame({"force": values[:, 0], "speed": np.exp(values[:, 1]), "rare": values[:, 2] > 1.5})
        parts.append(
            frame.with_columns(
                gaps=pl.Series(gaps).fill_nan(None),
                value_eur=pl.Series(rng.normal(5.0, 20.0, len(values))),
                site=pl.lit(site),
                decided_at=pl.Series(at),
            )
        )
    return pl.concat(parts)


def week(seed=1, number=0, **how):
    """One week after the reference."""
    return rows(seed, days=7, first_day=91 + 7 * number, **how)


def profiles(**how):
    """Profiles of 13 weeks."""
    return reference_profiles(rows(**how).lazy(), COLUMNS)

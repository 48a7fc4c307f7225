"""Cleaned cycles in; one row an engine and cycle out, with its age and what its settings and sensors read then.

The network looks back on an engine's earlier rows by itself (`recipe: window`); nothing later than the cycle is in a
row, and the cycles that were left are in its label alone.
"""

from collections.abc import Mapping

import polars as pl

CAP = 125
"""Cycles from which a healthy engine is not yet told from a healthier one, as in the published comparisons."""

LEARN_UP_TO = 175
"""Cycles left beyond which a training engine's rows have no label: nothing in them tells 200 cycles from 300, and there
are many of them. Test engines, whose last rows are judged, keep theirs."""

READINGS = (*(f"setting_{number}" for number in (1, 2, 3)), *(f"sensor_{number}" for number in range(1, 22)))


def build(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return `site`, the key, `decided_at`, `label`, `is_test`, `age` and the readings, for every cycle.

    `decided_at` is the engine's own clock, in cycles: the fleets tell no other time. Pure and lazy.
    """
    return tables["cycles"].select(
        "site",
        "engine",
        "cycle",
        pl.col("cycle").alias("decided_at"),
        pl.when(pl.col("is_test") | (pl.col("remaining") <= LEARN_UP_TO))
        .then(pl.col("remaining").clip(upper_bound=CAP).cast(pl.Float32))
        .alias("label"),
        "is_test",
        pl.col("cycle").cast(pl.Float32).alias("age"),
        *(pl.col(name).cast(pl.Float32) for name in READINGS),
    )

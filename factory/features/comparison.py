"""Whether two builds of the same decisions gave the same features, and where they first differ."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from factory.line.split import DECIDED_AT
from factory.storage.columns import SITE

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""How far two sums of the same numbers may differ that were added in another order."""


def in_same_order(
    rows: pl.DataFrame, others: pl.DataFrame, key: Sequence[str], names: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Return both builds with the named features, by site, key and moment; None where they are of other decisions."""
    order = [SITE, *key, DECIDED_AT]
    left, right = (some.select(*order, *names).sort(order) for some in (rows, others))
    return (left, right) if left.select(order).equals(right.select(order)) else None


def differences(rows: pl.DataFrame, others: pl.DataFrame, names: Sequence[str]) -> dict[str, int]:
    """Return, for each feature that differs, the first place at which it does; NaN and null are equal."""
    places = {name: _first(rows[name], others[name]) for name in names}
    return {name: place for name, place in places.items() if place is not None}


def _first(values: pl.Series, others: pl.Series) -> int | None:
    one, other = (some.cast(pl.Float64).fill_null(float("nan")).to_numpy() for some in (values, others))
    differ = ~np.isclose(one, other, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    return int(differ.argmax()) if differ.any() else None

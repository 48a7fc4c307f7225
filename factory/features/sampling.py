"""Feature rows in, what a network eats out: single rows, or each row with the moments before it."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.features.samples import Samples
from factory.line.line import Line
from factory.line.split import DECIDED_AT, LABEL, PLACE
from factory.storage.columns import SITE


def samples(line: Line, rows: pl.DataFrame, history: pl.DataFrame) -> Samples:
    """Return rows as the line's network eats them, features in the line's order, NaN where unknown.

    `rows` are some of `history`, whose rows of one entity are in the order of time. A sequence model sees of each row
    the last `recipe.steps` rows of its entity, itself the last; what would lie before the first is NaN.
    """
    columns = tuple(line.features.columns)
    return Samples(
        features=network_input(rows, history, columns=columns, entity=line.features.entity, steps=line.recipe.steps),
        label=line.task.codes(rows[LABEL]),
        site=rows[SITE].to_numpy().astype(np.str_),
        columns=columns,
    )


def in_order(rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Return feature rows in an order that depends on nothing but themselves, a site's by time.

    The lake's files come in any order, and the order of rows decides what a training makes of them.
    """
    return rows.sort(SITE, DECIDED_AT, *key)


def network_input(
    rows: pl.DataFrame, history: pl.DataFrame, *, columns: Sequence[str], entity: Sequence[str], steps: int | None
) -> NDArray[np.float32]:
    """Return float32 `[rows, columns]`, or `[rows, steps, columns]` of a sequence; see `samples`."""
    return _values(rows, columns) if steps is None else _sequences(rows, history, columns, entity, steps)


def _values(rows: pl.DataFrame, columns: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 `[rows, columns]`."""
    values = rows.select(pl.col(list(columns)).cast(pl.Float32).fill_null(float("nan"))).to_numpy()
    return np.ascontiguousarray(values, dtype=np.float32)


def _sequences(
    rows: pl.DataFrame, history: pl.DataFrame, columns: Sequence[str], entity: Sequence[str], steps: int
) -> NDArray[np.float32]:
    """Return float32 `[rows, steps, columns]`, oldest first."""
    ordered = history.sort(SITE, *entity, PLACE)
    values = _values(ordered, columns)
    begins = ordered.select(pl.struct(SITE, *entity).rle_id().alias("life"))["life"].to_numpy()
    first = np.searchsorted(begins, begins, side="left")
    where = np.empty(int(history[PLACE].max() or 0) + 1, np.int64)  # type: ignore[arg-type]
    where[ordered[PLACE].to_numpy()] = np.arange(len(ordered))
    last = where[rows[PLACE].to_numpy()]
    back = last[:, None] - np.arange(steps - 1, -1, -1)
    found: NDArray[np.float32] = values[np.maximum(back, 0)]
    found[back < first[last][:, None]] = np.nan
    return found

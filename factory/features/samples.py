"""Feature rows in, what a network eats out: single rows, or each row with the moments before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.errors import TrainingError
from factory.line.line import Line
from factory.line.split import DECIDED_AT, LABEL, PLACE
from factory.storage.columns import SITE
from factory.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Features as float32 `[rows, features]` or `[rows, steps, features]` (NaN where unknown), and each row's site.

    Labels are float32 `[rows]` as the task computes with them, NaN where unknown.
    """

    features: NDArray[np.float32]
    label: NDArray[np.float32]
    site: NDArray[np.str_]
    columns: tuple[str, ...] = ()
    """The features' names, in order; empty where none is looked up by its name."""

    def __len__(self) -> int:
        return len(self.label)

    def of(self, site: str) -> "Samples":
        """Return one site's rows, in order."""
        return self.where(self.site == site)

    def where(self, mask: NDArray[np.bool_]) -> "Samples":
        """Return the rows where the mask is true, in order."""
        return replace(self, features=self.features[mask], label=self.label[mask], site=self.site[mask])

    def labelled(self) -> "Samples":
        """Return the rows whose label is known (not NaN), in order: the only ones that train or judge a model."""
        return self.where(~np.isnan(self.label))


def trainable(samples: Samples, task: Task, window: str) -> Samples:
    """Return the labelled rows, or raise TrainingError naming the window and what is wrong with it."""
    rows = samples.labelled()
    if flaw := task.flaw(rows.label):
        raise TrainingError(f"the {window} window cannot train a model: {flaw}; load more history or widen the window")
    if rows.features.ndim not in (2, 3) or not rows.features.shape[-1]:
        raise TrainingError(
            f"the {window} window has features of shape {rows.features.shape}, expected [rows, features] or "
            "[rows, steps, features]"
        )
    return rows


def samples(line: Line, rows: pl.DataFrame, history: pl.DataFrame) -> Samples:
    """Return rows as the line's network eats them, features in the line's order, NaN where unknown.

    `rows` are some of `history`, whose rows of one entity are in the order of time. For each row a sequence model sees
    the last `recipe.steps` rows of its entity, the row itself being the last; moments before the first are NaN.
    """
    columns = tuple(line.features.columns)
    return Samples(
        features=network_input(rows, history, columns=columns, entity=line.features.entity, steps=line.recipe.steps),
        label=line.task.codes(rows[LABEL]),
        site=rows[SITE].to_numpy().astype(np.str_),
        columns=columns,
    )


def in_order(rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Return feature rows in an order that depends on their content alone, those of a site by time.

    The lake's files come in any order, and the result of a training depends on the order of its rows.
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
    sequences: NDArray[np.float32] = values[np.maximum(back, 0)]
    sequences[back < first[last][:, None]] = np.nan
    return sequences

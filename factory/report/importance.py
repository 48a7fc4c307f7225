"""Feature importance: by how much the headline worsens when one column of the holdout is shuffled (Breiman, 2001).

The served file answers, so what is measured is what is served. Of a sequence the column is shuffled whole: each row
gets the column's history of another row. Columns that say the same share their importance: it adds up to nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.tasks.task import Floats, Task

REPEATS = 3
SEED = 11
MAX_ANSWERS = 60_000
"""Rows answered for one site in all; of a large holdout only so many rows are looked at."""
AT_ONCE = 6_000_000
"""Numbers of shuffled rows held in memory at once."""

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What shuffling one column costs: the headline's mean worsening over the repeats, the least and the most."""

    column: str
    worsens: float
    least: float
    most: float


def importances(
    task: Task, answer: Callable[[Rows], Rows], features: Rows, label: Floats, columns: tuple[str, ...]
) -> list[Importance]:
    """Return every column's importance, the greatest first; none where the labels can say nothing.

    Features are `[rows, columns]` or `[rows, steps, columns]`. The cost is bounded: at most MAX_ANSWERS rows are
    answered (at least 50 a column and repeat).
    """
    rows = _looked_at(len(label), len(columns))
    features, label = features[rows], label[rows]
    if task.flaw(label) is not None or not len(label):
        return []
    whole = task.headline_of(label, answer(features))
    sign = -1.0 if task.greater_is_better else 1.0
    worsened = [
        (column, sign * (np.array([task.headline_of(label, part) for part in parts]) - whole))
        for column, parts in zip(columns, _shuffled_answers(answer, features, len(columns)), strict=True)
    ]
    found = [_importance(column, change) for column, change in worsened if np.isfinite(change).all()]
    return sorted(found, key=lambda one: -one.worsens)


def _importance(column: str, change: npt.NDArray[np.float64]) -> Importance:
    return Importance(column=column, worsens=float(change.mean()), least=float(change.min()), most=float(change.max()))


def _looked_at(rows: int, columns: int) -> npt.NDArray[np.int64]:
    most = max(50, MAX_ANSWERS // (columns * REPEATS))
    chosen = np.random.default_rng(SEED).permutation(rows)[:most]
    return np.sort(chosen).astype(np.int64)


def _shuffled_answers(answer: Callable[[Rows], Rows], features: Rows, columns: int) -> Iterator[list[Rows]]:
    """Yield of each column the answers to its shuffled rows, one array a repeat; many columns in one call."""
    rows = len(features)
    orders = [np.random.default_rng([SEED, repeat]).permutation(rows) for repeat in range(REPEATS)]
    together = max(1, AT_ONCE // max(1, features.size * REPEATS))
    for start in range(0, columns, together):
        some = range(start, min(columns, start + together))
        stacked = np.concatenate([_shuffled(features, column, order) for column in some for order in orders])
        parts = np.split(answer(stacked), len(some) * REPEATS)
        yield from (parts[place * REPEATS : (place + 1) * REPEATS] for place in range(len(some)))


def _shuffled(features: Rows, column: int, order: npt.NDArray[np.int64]) -> Rows:
    changed = features.copy()
    changed[..., column] = features[order][..., column]
    return changed

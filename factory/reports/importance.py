"""Feature importance: by how much the headline worsens when one column of the holdout is shuffled (Breiman, 2001).

The served file answers, so that the served model is measured. Of a sequence the column is shuffled whole: each row gets
the column's history of another row. Columns with the same information share their importance, so that the sum has no
meaning.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.tasks.task import Floats, Task

REPEATS = 3
MOST_COLUMNS = 12
"""So many columns are measured closely; of more, all are tried once and the best are chosen."""
SEED = 11
MAX_ANSWERS = 24_000
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
    """Return the importance of the twelve columns that matter most, greatest first; none where labels have no headline.

    Features are `[rows, columns]` or `[rows, steps, columns]`. The cost is bounded: at most MAX_ANSWERS shuffled rows
    are answered, or 50 a column and repeat where that is more.
    """
    if not len(label) or task.flaw(label) is not None:
        return []
    places = list(range(len(columns)))
    if len(columns) > MOST_COLUMNS:
        tried = _worsening(task, answer, features, label, places, 1, MAX_ANSWERS // 2)
        places = sorted(tried, key=lambda place: -float(tried[place].mean()))[:MOST_COLUMNS]
    budget = MAX_ANSWERS // 2 if len(columns) > MOST_COLUMNS else MAX_ANSWERS
    changes = _worsening(task, answer, features, label, places, REPEATS, budget)
    return sorted(
        (_importance(columns[place], change) for place, change in changes.items()),
        key=lambda importance: -importance.worsens,
    )


def _worsening(
    task: Task,
    answer: Callable[[Rows], Rows],
    features: Rows,
    label: Floats,
    places: Sequence[int],
    repeats: int,
    budget: int,
) -> dict[int, npt.NDArray[np.float64]]:
    """Return by how much the headline worsens in each repeat, by column; a column without a number is left out."""
    rows = _sampled(len(label), budget // (len(places) * repeats))
    features, label = features[rows], label[rows]
    whole = task.headline_of(label, answer(features))
    sign = -1.0 if task.greater_is_better else 1.0
    answers = _shuffled_answers(answer, features, places, repeats)
    worsened = {
        place: sign * (np.array([task.headline_of(label, part) for part in parts]) - whole)
        for place, parts in zip(places, answers, strict=True)
    }
    return {place: change for place, change in worsened.items() if np.isfinite(change).all()}


def _importance(column: str, change: npt.NDArray[np.float64]) -> Importance:
    return Importance(column=column, worsens=float(change.mean()), least=float(change.min()), most=float(change.max()))


def _sampled(rows: int, most: int) -> npt.NDArray[np.int64]:
    chosen = np.random.default_rng(SEED).permutation(rows)[: max(50, most)]
    return np.sort(chosen).astype(np.int64)


def _shuffled_answers(
    answer: Callable[[Rows], Rows], features: Rows, places: Sequence[int], repeats: int
) -> Iterator[list[Rows]]:
    """Yield for each column the answers to its shuffled rows, an array a repeat; many columns in one call."""
    permutations = [np.random.default_rng([SEED, repeat]).permutation(len(features)) for repeat in range(repeats)]
    together = max(1, AT_ONCE // max(1, features.size * repeats))
    for start in range(0, len(places), together):
        some = places[start : start + together]
        stacked = np.concatenate(
            [_shuffled(features, place, permutation) for place in some for permutation in permutations]
        )
        parts = np.split(answer(stacked), len(some) * repeats)
        yield from (parts[which * repeats : (which + 1) * repeats] for which in range(len(some)))


def _shuffled(features: Rows, column: int, permutation: npt.NDArray[np.int64]) -> Rows:
    changed = features.copy()
    changed[..., column] = features[permutation][..., column]
    return changed

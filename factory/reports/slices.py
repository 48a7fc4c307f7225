"""Slices: the headline figure by levels of a column, so that a good average hides no weak part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.charts.numbers import MINUS, brief, figure, whole, words
from factory.tasks.holdout import Holdout
from factory.tasks.task import Task

QUANTILES = 4
"""Parts of a column of many values; fewer where a part would have too few rows to say anything."""
MAX_LEVELS = 6
"""A column of at most so many different values is cut by value, another by quantiles."""
MIN_ROWS = 30
"""A slice of fewer rows is left out."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The rows of the holdout where a column lies in a range, and the headline there."""

    column: str
    where: str
    rows: int
    headline: float
    low: float
    high: float


def slices(holdout: Holdout, features: npt.NDArray[np.float32], columns: Sequence[tuple[str, int]]) -> list[Slice]:
    """Return the slices of each column (its name and its place in `[rows, columns]`), in the order of its values.

    A slice of fewer than 30 rows is left out, and one whose labels have no headline, such as one class; so is a column
    of which only one slice is left.
    """
    cut = []
    for column, place in columns:
        parts = [
            _slice(holdout, column, where, rows)
            for where, rows in _levels(features[:, place])
            if int(rows.sum()) >= MIN_ROWS and holdout.task.flaw(holdout.label[rows]) is None
        ]
        sound = [part for part in parts if np.isfinite(part.headline)]
        cut += sound if len(sound) > 1 else []
    return cut


def _slice(holdout: Holdout, column: str, where: str, rows: npt.NDArray[np.bool_]) -> Slice:
    label, answer = holdout.label[rows], holdout.candidate.answer[rows]
    interval = holdout.task.estimated(label, answer, holdout.blocks.where(rows)).interval()
    return Slice(
        column=column,
        where=where,
        rows=len(label),
        headline=holdout.task.headline_of(label, answer),
        low=interval.low,
        high=interval.high,
    )


def worst(task: Task, parts: Sequence[Slice], overall: float | None) -> str:
    """Return in words where the model is worst; and whether chance alone may make the difference."""
    if not parts or overall is None:
        return "No slice has enough rows to say where it is worse."
    weakest = (min if task.greater_is_better else max)(parts, key=lambda part: part.headline)
    certain = weakest.high < overall if task.greater_is_better else weakest.low > overall
    return (
        f"Weakest where {weakest.column} is {weakest.where}: {words(task.headline)} {figure(weakest.headline)} on "
        f"{whole(weakest.rows)} rows, {figure(overall)} on all"
        f"{'' if certain else '; chance alone may make such a difference'}."
    )


def _levels(values: npt.NDArray[np.float32]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return the levels of a column in words, and which rows have each; unknown is a level."""
    known = np.isfinite(values)
    distinct = np.unique(values[known])
    parts = [(brief(float(value)), values == value) for value in distinct]
    if len(distinct) > MAX_LEVELS:
        many = max(1, min(QUANTILES, int(known.sum()) // MIN_ROWS))
        edges = np.unique(np.quantile(values[known].astype(np.float64), np.linspace(0, 1, many + 1)))
        parts = _quantiles(values, edges) if len(edges) > 2 else _usual(values, known)
    return [*parts, *([("unknown", ~known)] if not known.all() else [])]


def _usual(values: npt.NDArray[np.float32], known: npt.NDArray[np.bool_]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return the value that almost all rows have, and the others together."""
    distinct, rows = np.unique(values[known], return_counts=True)
    most = distinct[int(rows.argmax())]
    return [(brief(float(most)), values == most), ("another value", known & (values != most))]


def _quantiles(
    values: npt.NDArray[np.float32], edges: npt.NDArray[np.float64]
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return ranges of about equal numbers of rows; a value that many rows share may make fewer of them."""
    parts, written = [], _distinguishable([float(edge) for edge in edges])
    for place in range(len(edges) - 1):
        low, high = float(edges[place]), float(edges[place + 1])
        first, last = place == 0, place == len(edges) - 2
        inside = (values >= low) & ((values <= high) if last else (values < high))
        words_ = (
            f"below {written[place + 1]}"
            if first
            else f"{written[place]} or more"
            if last
            else f"{written[place]} to {written[place + 1]}"
        )
        parts.append((words_, inside))
    return parts


def _distinguishable(edges: Sequence[float]) -> list[str]:
    """Return numbers in as few digits as distinguish them, three or more."""
    for digits in range(3, 9):
        rounded = [float(f"{edge:.{digits}g}") for edge in edges]
        if len(set(rounded)) == len(rounded):
            break
    return [f"{edge:,.10g}".replace("-", MINUS) for edge in rounded]

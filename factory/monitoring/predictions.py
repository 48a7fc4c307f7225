"""What a site's release answers to the site's rows: feature rows and a release in, one prediction a row out.

A prediction says which file gave it and by which threshold it is acted on, so that its worth can be computed later.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl

from factory.features.samples import samples
from factory.line.line import Line
from factory.line.split import DECIDED_AT
from factory.model.session import onnx_answer
from factory.storage.columns import SITE
from factory.tasks.task import Floats, Task

PREDICTIONS = "predictions"
ACTED_ON, HELD_OUT, SHARE = "acted_on", "held_out", "hold_out_share"
"""Of a prediction: whether somebody acts on it; whether it was drawn to be left; by which share that was drawn."""
THRESHOLD, RELEASE, VERSION, DIGEST = "threshold", "release", "version", "digest"


class Decider(Protocol):
    """A model that decides at a site: its file, where the file comes from, and the threshold it decides by."""

    @property
    def content(self) -> bytes:
        """The ONNX file."""
        ...

    @property
    def threshold(self) -> float:
        """What an answer must reach to be acted on."""
        ...


def answer_columns(task: Task) -> list[str]:
    """Return the columns that hold a prediction's answers, in the task's order."""
    return [f"predicted_{name}" for name in task.answers]


def key_columns(line: Line) -> list[str]:
    """Return what identifies a decision among all sites."""
    return [SITE, *line.features.key, DECIDED_AT]


def predicted(line: Line, rows: pl.DataFrame, history: pl.DataFrame, decider: Decider) -> pl.DataFrame:
    """Return a prediction for each row: its key, `predicted_<answer>` as Float32, and the threshold.

    `rows` are some of `history`, which has a sequence's earlier moments; both as in `features.samples`.
    """
    answers = (
        onnx_answer(decider.content, samples(line, rows, history).features)
        if len(rows)
        else np.empty((0, len(line.task.answers)), np.float32)
    )
    columns = answer_columns(line.task)
    return rows.select(key_columns(line)).with_columns(
        *(pl.Series(name, answers[:, place], dtype=pl.Float32) for place, name in enumerate(columns)),
        pl.lit(decider.threshold, dtype=pl.Float64).alias(THRESHOLD),
    )


def not_predicted(line: Line, rows: pl.DataFrame, predictions: pl.DataFrame | None) -> pl.DataFrame:
    """Return the rows that no prediction is about, in their order."""
    if predictions is None:
        return rows
    return rows.join(predictions, on=key_columns(line), how="anti", nulls_equal=True, maintain_order="left")


def answers_of(task: Task, predictions: pl.DataFrame) -> Floats:
    """Return the predictions' answers, float32 `[rows, answers]`."""
    answers: Floats = (
        predictions.select(answer_columns(task)).to_numpy().astype(np.float32).reshape(-1, len(task.answers))
    )
    return answers


def values_eur(
    line: Line, label: Floats, answers: Floats, thresholds: Sequence[float] | Floats, constant: float
) -> Floats:
    """Return what each decision was worth above a constant one, in EUR, each row by its own threshold."""
    by = np.asarray(thresholds, np.float64)
    values = np.zeros(len(label), np.float64)
    for threshold in np.unique(by):
        mine = by == threshold
        values[mine] = line.task.row_values_eur(label[mine], answers[mine], float(threshold), line.value, constant)
    return values

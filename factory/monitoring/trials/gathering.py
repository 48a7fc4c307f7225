"""The gateway's records in, what both sides of a trial answered out.

A prediction's name is in the records and in whatever is made of them later: figures that need more than answers, such
as money once outcomes are known, join by it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory.monitoring.prediction_log.files import RecordedBatch, recorded, segments
from factory.names import model_name
from factory.release import Trial

Numbers = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One prediction: `[rows, answers]`, NaN in a row that was not answered; of a shadow, what it is a copy of."""

    numbers: Numbers
    call_s: float
    """Seconds that the call of the model took; in older records, that the client waited."""
    copy_of: str = ""


@dataclass(frozen=True, kw_only=True)
class Side:
    """Everything that one release was asked and answered in a trial's time, by the predictions' names."""

    answers: dict[str, Answer] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    """Why it did not answer, once for each request."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Both sides of a trial."""

    champion: Side = field(default_factory=Side)
    challenger: Side = field(default_factory=Side)


def recorded_since(folder: Path, at: float) -> Iterator[RecordedBatch]:
    """Yield the records in a folder from a Unix time on; segments that ended before are not read."""
    for segment in segments(folder):
        try:
            if segment.stat().st_mtime < at:
                continue
        except FileNotFoundError:
            pass  # it became complete since it was listed; `recorded` opens it by its new name
        yield from (batch for batch, _ in recorded(segment) if batch.at >= at)


def gathered(records: Iterable[RecordedBatch], trial: Trial, champion: str) -> Gathered:
    """Return what was answered since the trial began by it and by the champion of this digest, beside which it runs."""
    since, both = datetime.fromisoformat(trial.since).timestamp(), Gathered()
    sides = {("champion", champion): both.champion, (trial.mode, trial.digest): both.challenger}
    for batch in records:
        side = sides.get((batch.role, batch.digest))
        if side is not None and batch.at >= since and model_name(batch.line, batch.site) == trial.model:
            _add(side, batch)
    return both


def _add(side: Side, batch: RecordedBatch) -> None:
    if batch.error:
        side.errors.extend([batch.error] * len(batch.ids))
        return
    numbers, copies, start = batch.outputs(), batch.copies or [""] * len(batch.ids), 0
    for name, rows, copy_of in zip(batch.ids, batch.rows, copies, strict=True):
        side.answers[name] = Answer(
            numbers=numbers[start : start + rows], call_s=batch.call_s or batch.took_s, copy_of=copy_of
        )
        start += rows

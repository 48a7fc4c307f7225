"""Why a prediction was what it was: found in the records, and asked once more of the very release that gave it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import PredictionUnknown
from factory.gateway.models.range_guard import RangeGuard
from factory.gateway.models.served_model import ServedModel
from factory.model.session import Rows
from factory.monitoring.prediction_log.files import RecordedBatch, recorded, segments
from factory.names import model_name
from factory.release import Manifest
from factory.release.protocols import ReleaseReader

TOLERANCE = 1e-5
"""The rows that a row is computed with may change the last digits of single precision, and no more."""


@dataclass(frozen=True, kw_only=True)
class RecordedPrediction:
    """One prediction as it was recorded."""

    batch: RecordedBatch
    key: str
    inputs: Rows
    answers: Rows
    subjects: Sequence[str]
    """What each row was about; empty where it came as features."""


Elsewhere = Callable[[str], RecordedBatch | None]
"""Finds a prediction where records were taken to, alone in its batch; None where it is not there."""


def recorded_prediction(folder: Path, prediction: str, elsewhere: Elsewhere) -> RecordedPrediction:
    """Return a prediction from the records, newest segment first, or from elsewhere; raises PredictionUnknown."""
    for segment in reversed(segments(folder)):
        for batch, _ in recorded(segment):
            if prediction in batch.ids and not batch.error:
                return _part(batch, list(batch.ids).index(prediction))
    taken = elsewhere(prediction)
    if taken and not taken.error:
        return _part(taken, 0)
    raise PredictionUnknown(f"prediction {prediction!r} is in no record under {folder}, and in the lake of no line")


def why(
    folder: Path,
    repository: ReleaseReader,
    key: Ed25519PublicKey,
    prediction: str,
    elsewhere: Elsewhere = lambda _: None,
) -> dict[str, Any]:
    """Return what was asked, what was answered by which release, and what that release answers now, in JSON's types.

    Raises PredictionUnknown if it is nowhere, or if the release that gave it is no longer in the repository, and
    ModelRefused where that may not be loaded.
    """
    one = recorded_prediction(folder, prediction, elsewhere)
    model = model_name(one.batch.line, one.batch.site)
    released = repository.release_of(model, one.batch.digest, key)
    if released is None:
        raise PredictionUnknown(f"{model}: no release has digest {one.batch.digest[:12]}, which gave {prediction!r}")
    served = ServedModel(released, lambda: released)
    served.wake()
    manifest, answered = released.manifest, ~np.isnan(one.answers).any(axis=1)
    inputs = one.inputs.reshape(-1, *manifest.model_signature.input_shape)
    again = served.call()(inputs)
    return {
        "prediction": prediction,
        "at": datetime.fromtimestamp(one.batch.at, UTC).isoformat(timespec="milliseconds"),
        "line": one.batch.line,
        "site": one.batch.site,
        "version": one.batch.version,
        "digest": one.batch.digest,
        "role": one.batch.role,
        "threshold": manifest.threshold,
        "asked_by": one.key or None,
        "outside": _outside(manifest, inputs),
        "rows": [_row(manifest, *row) for row in zip(one.subjects, inputs, one.answers, again, strict=True)],
        "rebuilt": bool(np.allclose(one.answers[answered], again[answered], rtol=TOLERANCE, atol=TOLERANCE)),
        "provenance": dict(manifest.provenance),
    }


def _part(batch: RecordedBatch, place: int) -> RecordedPrediction:
    start = sum(batch.rows[:place])
    rows = slice(start, start + batch.rows[place])
    subjects = batch.subjects or [""] * sum(batch.rows)
    return RecordedPrediction(
        batch=batch,
        key=batch.keys[place],
        inputs=batch.inputs()[rows],
        answers=batch.outputs()[rows],
        subjects=subjects[rows],
    )


def _outside(manifest: Manifest, rows: Rows) -> str | None:
    guard = RangeGuard(manifest)
    beyond = guard.beyond(rows)
    outside = None if beyond is None else guard.outside(rows, beyond)
    return outside.reasons if outside else None


def _row(manifest: Manifest, subject: str, inputs: Rows, answers: Rows, again: Rows) -> dict[str, Any]:
    """Return one row: what it was about, its features by name (of a sequence by step), the answers, what to do."""
    steps = [
        {name: _known(value) for name, value in zip(manifest.features, step, strict=True)}
        for step in inputs.reshape(-1, len(manifest.features))
    ]
    names = manifest.model_signature.answers
    abstained = bool(np.isnan(answers).any())
    return {
        "about": json.loads(subject) if subject else None,
        "features": steps[0] if manifest.model_signature.steps is None else steps,
        "answer": None if abstained else {name: float(value) for name, value in zip(names, answers, strict=True)},
        "decision": None if abstained else manifest.decision(answers.astype(np.float64)),
        "now": {name: float(value) for name, value in zip(names, again, strict=True)},
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

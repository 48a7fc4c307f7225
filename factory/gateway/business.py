"""`POST /v1/lines/{line}/sites/{site}/predict`: features by their names in, decisions out, errors as problem details.

What a feature means is the line's to say; who calls gives the features, as the contract of its `features` table names
them. Where a line's features are fields of the business's own row, that row is the question. Beside a decision stands
what it is worth on average, and on request the features that moved its answer most.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from factory.gateway.access import Grant
from factory.gateway.entry import Entry
from factory.gateway.http import Answer, Request, as_json
from factory.gateway.question import Answered, Question
from factory.gateway.reasons import MAX_REASONS, Reasons
from factory.gateway.refusal import RequestRefused, shown
from factory.repository import Manifest
from factory.repository.triton import MAX_BATCH

Record = dict[str, float | bool | None]
Numbers = np.ndarray[Any, np.dtype[np.float64]]
HowMany = Annotated[int, msgspec.Meta(ge=0, le=MAX_REASONS)]


class _Single(msgspec.Struct):
    rows: list[Record]
    id: str | None = None
    reasons: HowMany = 0


class _Sequences(msgspec.Struct):
    rows: list[list[Record]]
    id: str | None = None
    reasons: HowMany = 0


class _Asked(NamedTuple):
    """A request that fits the model."""

    values: list[float | None]
    """Of all rows, flat."""
    rows: int
    id: str
    """The client's name for it; empty where it gave none."""
    reasons: int
    """How many a row."""


_single, _sequences = msgspec.json.Decoder(_Single), msgspec.json.Decoder(_Sequences)


def predict(entry: Entry, request: Request, grant: Grant, refused: Callable[[RequestRefused], Answer]) -> None:
    """Answer the request within this turn of the event loop or later; raises RequestRefused if it cannot be asked."""
    try:
        manifest = entry.model.manifest
        asked = _asked(request.body, manifest)
        reasons = Reasons(manifest, asked.values, asked.rows, asked.reasons) if asked.reasons else None

        def done(result: Answered | RequestRefused) -> None:
            if isinstance(result, Answered):
                request.reply(as_json(_told(result, reasons)))
            else:
                entry.series.failed()
                request.reply(refused(result))

        question = Question(asked.values, asked.rows, done, grant.name, asked.id)
        question.beside = reasons.beside if reasons else None
        grant.spend(question.size)
        entry.ask(question)
    except Exception:
        entry.series.failed()
        raise


def _asked(body: bytes, manifest: Manifest) -> _Asked:
    """Return what is asked; raises RequestRefused unless it fits the model."""
    try:
        rows, name, reasons = _decoded(body, manifest.model_signature.steps)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise RequestRefused(400, f"the body is no question: {error}; write null for an unknown value") from error
    if not 1 <= len(rows) <= MAX_BATCH:
        raise RequestRefused(400, f"{len(rows)} rows; send 1 to {MAX_BATCH}")
    values: list[float | None] = []
    steps = manifest.model_signature.steps or 1
    for number, row in enumerate(rows):
        if len(row) != steps:
            raise RequestRefused(400, f"row {number} has {len(row)} steps; the model sees {steps}, oldest first")
        for record in row:
            _require_names(record, manifest.features, number)
            values += [record[name] for name in manifest.features]
    return _Asked(values, len(rows), name or "", reasons)


def _decoded(body: bytes, steps: int | None) -> tuple[list[list[Record]], str | None, int]:
    """Return each row as its steps, one where the model sees no sequence, the request's name, and how many reasons."""
    if steps is not None:
        asked = _sequences.decode(body)
        return asked.rows, asked.id, asked.reasons
    single = _single.decode(body)
    return [[row] for row in single.rows], single.id, single.reasons


def _require_names(record: Record, features: tuple[str, ...], row: int) -> None:
    """Raise RequestRefused (400) unless the record has each feature, and nothing else."""
    if unknown := sorted(set(record) - set(features)):
        raise RequestRefused(400, f"row {row} has {', '.join(map(shown, unknown[:5]))}, no feature of this model")
    if missing := [name for name in features if name not in record]:
        raise RequestRefused(400, f"row {row} lacks {', '.join(missing[:10])}; write null for an unknown value")


def _told(answered: Answered, reasons: Reasons | None) -> dict[str, Any]:
    manifest, numbers = answered.model.manifest, answered.numbers.astype(np.float64)
    outside = set(answered.outside.rows) if answered.outside else set()
    rows = [_row(manifest, row, number in outside) for number, row in enumerate(numbers)]
    if reasons:
        rows = [{**row, "reasons": why} for row, why in zip(rows, reasons.of(numbers), strict=True)]
    told: dict[str, Any] = {
        "line": manifest.line,
        "site": manifest.site,
        "model_version": manifest.version,
        "prediction_id": answered.prediction,
        "rows": rows,
    }
    return {**told, "outside": answered.outside.reasons} if answered.outside else told


def _row(manifest: Manifest, numbers: Numbers, outside: bool) -> dict[str, Any]:
    """Return one row's numbers by name, what to do and what that is worth; none of it where there is no answer."""
    if np.isnan(numbers).any():
        return {"answer": None, "decision": None, "expected_value_eur": None, "outside": outside}
    told = numbers.tolist()
    return {
        "answer": dict(zip(manifest.model_signature.answers, told, strict=True)),
        "decision": decision(manifest, numbers),
        "expected_value_eur": expected_value_eur(manifest, max(told)),
        "outside": outside,
    }


def expected_value_eur(manifest: Manifest, chance: float) -> float | None:
    """Return what a decision is worth on average that is right with this chance: an answer's largest number.

    None where the release has no stakes: for an estimate, and in a release from before they were told.
    """
    if manifest.stakes is None:
        return None
    return manifest.stakes.expected_eur(chance) if chance >= manifest.threshold else 0.0


def decision(manifest: Manifest, numbers: Numbers) -> bool | str | float | None:
    """Return what the line does with an answer at the threshold that its money chose.

    Binary: whether to act. Multiclass: the class, or None for a person to decide. Regression: the number to act on.
    """
    task, threshold = manifest.model_signature.task, manifest.threshold
    if task == "regression":
        return float(numbers[0]) - threshold
    best = int(numbers.argmax())
    decided = bool(numbers[best] >= threshold)
    if task == "binary":
        return decided
    return manifest.model_signature.answers[best] if decided else None

"""`POST /v1/lines/{line}/sites/{site}/predict`: features by their names in, decisions out, errors as problem details.

What a feature means is the line's to say; who calls gives the features, as the contract of its `features` table names
them. Where a line's features are fields of the business's own row, that row is the question.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from factory.gateway.access import Grant
from factory.gateway.entry import Entry
from factory.gateway.http import Answer, Request, as_json
from factory.gateway.question import Answered, Question
from factory.gateway.refusal import RequestRefused, shown
from factory.repository import Manifest
from factory.repository.triton import MAX_BATCH

Record = dict[str, float | bool | None]


class _Single(msgspec.Struct):
    rows: list[Record]
    id: str | None = None


class _Sequences(msgspec.Struct):
    rows: list[list[Record]]
    id: str | None = None


_single, _sequences = msgspec.json.Decoder(_Single), msgspec.json.Decoder(_Sequences)


def predict(entry: Entry, request: Request, grant: Grant, refused: Callable[[RequestRefused], Answer]) -> None:
    """Answer the request within this turn of the event loop or later; raises RequestRefused if it cannot be asked."""
    try:
        manifest = entry.model.manifest
        values, rows, name = _asked(request.body, manifest)
        grant.spend(rows)

        def done(result: Answered | RequestRefused) -> None:
            if isinstance(result, Answered):
                request.reply(as_json(_told(result)))
            else:
                entry.series.failed()
                request.reply(refused(result))

        entry.ask(Question(values, rows, done, grant.name, name))
    except Exception:
        entry.series.failed()
        raise


def _asked(body: bytes, manifest: Manifest) -> tuple[list[float | None], int, str]:
    """Return the rows' values, flat, how many rows they are, and the client's name for the request, if it gave one.

    Raises RequestRefused unless the rows fit the model.
    """
    try:
        rows, name = _decoded(body, manifest.model_signature.steps)
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
    return values, len(rows), name or ""


def _decoded(body: bytes, steps: int | None) -> tuple[list[list[Record]], str | None]:
    """Return each row as its steps, one where the model sees no sequence, and the request's name."""
    if steps is not None:
        asked = _sequences.decode(body)
        return asked.rows, asked.id
    single = _single.decode(body)
    return [[row] for row in single.rows], single.id


def _require_names(record: Record, features: tuple[str, ...], row: int) -> None:
    """Raise RequestRefused (400) unless the record has each feature, and nothing else."""
    if unknown := sorted(set(record) - set(features)):
        raise RequestRefused(400, f"row {row} has {', '.join(map(shown, unknown[:5]))}, no feature of this model")
    if missing := [name for name in features if name not in record]:
        raise RequestRefused(400, f"row {row} lacks {', '.join(missing[:10])}; write null for an unknown value")


def _told(answered: Answered) -> dict[str, Any]:
    manifest = answered.model.manifest
    outside = set(answered.outside.rows) if answered.outside else set()
    rows = [_row(manifest, row, number in outside) for number, row in enumerate(answered.numbers.astype(np.float64))]
    told: dict[str, Any] = {
        "line": manifest.line,
        "site": manifest.site,
        "model_version": manifest.version,
        "prediction_id": answered.prediction,
        "rows": rows,
    }
    return {**told, "outside": answered.outside.reasons} if answered.outside else told


def _row(manifest: Manifest, numbers: "np.ndarray[Any, np.dtype[np.float64]]", outside: bool) -> dict[str, Any]:
    """Return one row's numbers by name and what to do; nothing of both where the gateway does not answer."""
    if np.isnan(numbers).any():
        return {"answer": None, "decision": None, "outside": outside}
    names = manifest.model_signature.answers
    answer = dict(zip(names, numbers.tolist(), strict=True))
    return {"answer": answer, "decision": decision(manifest, numbers), "outside": outside}


def decision(manifest: Manifest, numbers: "np.ndarray[Any, np.dtype[np.float64]]") -> bool | str | float | None:
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

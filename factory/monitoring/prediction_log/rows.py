"""What the gateway answered, as rows of the lake: recorded batches in, one row for each asked row out, and back.

Site, prediction and row are a row's key. The inputs stay one list, since another release has other features: `by_name`
names them by the signature of the release that answered.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.model.signature import Signature
from factory.monitoring.prediction_log.files import RecordedBatch, RequestNames
from factory.storage.columns import SITE
from factory.storage.lake import Lake

PREDICTION_LOG = "prediction_log"
PREDICTION, ROW, ANSWERED_AT, SUBJECT = "prediction", "row", "answered_at", "subject"
INPUTS, ANSWERS, UNKNOWN = "inputs", "answers", "unknown"
_ASKED: Mapping[str, tuple[Any, str]] = {
    SITE: (pl.String, "The site."),
    PREDICTION: (pl.String, "The prediction's name: no other one has it, whichever process of a gateway made it."),
    ANSWERED_AT: (pl.Datetime("us", "UTC"), "When it was answered."),
    "version": (pl.Int64, "The registry's version of the model."),
    "digest": (pl.String, "SHA-256 of the model's file."),
    "role": (pl.String, "Who was asked: the champion, a canary or a shadow."),
    "told": (pl.Boolean, "Whether somebody was told the answer."),
    "asked_by": (pl.String, "The API key's name; null where no key is needed."),
    "took_s": (pl.Float64, "Seconds from the first question of its call to the answers; of a shadow, `call_s`."),
    "call_s": (pl.Float64, "Seconds that the call of the model took, on all rows that were asked together."),
    "request_id": (pl.String, "The client's `id` of the request, in its body; null where it gave none."),
    "x_request_id": (pl.String, "The header X-Request-Id; null where there was none."),
    "trace_parent": (pl.String, "The header traceparent (W3C Trace Context); null where there was none."),
    "trace_state": (pl.String, "The header tracestate beside it."),
    "copy_of": (pl.String, "The champion's prediction that a trial's row is about; null in the others."),
    "error": (pl.String, "Why a trial did not answer; null where it did."),
}
_NAMES = ("request_id", *RequestNames._fields[1:])
_NUMBERS = pl.List(pl.Float32)
_OF_ROW: Mapping[str, tuple[Any, str]] = {
    ROW: (pl.Int64, "The row's place in its prediction, from 0."),
    SUBJECT: (pl.String, "What the row is about, a JSON object of key and decided_at; null where nobody said it."),
    INPUTS: (_NUMBERS, "What was asked, flat and in the order of the release's features; null where unknown."),
    UNKNOWN: (pl.Int64, "How many of the features were unknown; null where a trial did not answer."),
    ANSWERS: (_NUMBERS, "What was answered, in the order of the release's answers; null where it was not."),
}
_US = 1_000_000
Numbers = NDArray[np.float32]


def columns(answers: Sequence[str]) -> dict[str, tuple[Any, str]]:
    """Return the table's columns, each with its type and a sentence on what it holds."""
    named = {f"predicted_{name}": (pl.Float32, f"The answer `{name}`; null where there is none.") for name in answers}
    return {**_ASKED, **_OF_ROW, **named}


def served_rows(
    batches: Iterable[RecordedBatch], answers: Sequence[str], signatures: Mapping[tuple[str, str], Signature]
) -> pl.DataFrame:
    """Return a row for each asked row of the batches, each once, oldest first.

    `answers` are the line's; `signatures` say by site and digest what a release takes and gives. The answers of a
    release that is not among them have no names, and are in `answers` alone.
    """
    alike: dict[tuple[str, str, bool], list[RecordedBatch]] = {}
    for batch in batches:
        alike.setdefault((batch.site, batch.digest, bool(batch.error)), []).append(batch)
    frames = [_rows(some, answers, signatures.get((site, digest))) for (site, digest, _), some in alike.items()]
    nothing = pl.DataFrame(schema={name: kind for name, (kind, _) in columns(answers).items()})
    rows = pl.concat([nothing, *frames]).unique([SITE, PREDICTION, ROW], keep="first")
    return rows.sort(ANSWERED_AT, PREDICTION, ROW)


def not_served(rows: pl.DataFrame, lake: Lake) -> pl.DataFrame:
    """Return the rows whose prediction is not in the lake yet, in their order.

    A prediction is recorded once, at one moment: only what the lake has of these rows' time is looked at.
    """
    if rows.is_empty() or not lake.has(PREDICTION_LOG):
        return rows
    in_lake = lake.scan(PREDICTION_LOG, rows[SITE].unique().to_list())
    in_lake = in_lake.filter(pl.col(ANSWERED_AT).is_between(rows[ANSWERED_AT].min(), rows[ANSWERED_AT].max()))
    key = [SITE, PREDICTION, ROW]
    return rows.join(in_lake.select(key).collect(), on=key, how="anti", maintain_order="left")


def recorded_again(lake: Lake, prediction: str) -> RecordedBatch | None:
    """Return a prediction from the lake as the gateway recorded it; None where it is not there."""
    if not lake.has(PREDICTION_LOG):
        return None
    rows = lake.scan(PREDICTION_LOG).filter(pl.col(PREDICTION) == prediction).collect()
    return as_recorded(lake.line, rows) if len(rows) else None


def as_recorded(line: str, rows: pl.DataFrame) -> RecordedBatch:
    """Return one prediction's rows as a batch of its own.

    Its inputs are flat: how many steps a sequence has, its release says.
    """
    first = rows.row(0, named=True)
    rows = rows.sort(ROW)
    inputs, answers = (_matrix(rows[name]) for name in (INPUTS, ANSWERS))
    names = RequestNames(*(first.get(name) or "" for name in _NAMES))
    return RecordedBatch(
        at=first[ANSWERED_AT].timestamp(),
        line=line,
        site=first[SITE],
        version=first["version"],
        digest=first["digest"],
        ids=[first[PREDICTION]],
        keys=[first["asked_by"] or ""],
        rows=[len(rows)],
        input_shape=inputs.shape[1:],
        values=inputs.tobytes(),
        answers=answers.tobytes(),
        role=first["role"],
        copies=[first["copy_of"]] if first["copy_of"] else (),
        took_s=first["took_s"],
        call_s=first.get("call_s") or 0.0,
        names=[names] if any(names) else (),
        error=first["error"] or "",
        subjects=[subject or "" for subject in rows[SUBJECT]] if rows[SUBJECT].count() else (),
    )


def by_name(rows: pl.DataFrame, signature: Signature) -> pl.DataFrame:
    """Return the inputs of one release's rows as columns, Float32, null where unknown; of a sequence its last step."""
    start = signature.input_size - len(signature.features)
    inputs = pl.col(INPUTS)
    return rows.select(inputs.list.get(start + place).alias(name) for place, name in enumerate(signature.features))


def _rows(batches: Sequence[RecordedBatch], answers: Sequence[str], signature: Signature | None) -> pl.DataFrame:
    """Return the rows of batches of one release that all were answered, or that all failed."""
    schema = {name: kind for name, (kind, _) in _ASKED.items()}
    asked = pl.DataFrame([question for batch in batches for question in _questions(batch)], schema=schema, orient="row")
    counts = [count for batch in batches for count in batch.rows]
    of_question = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum([0, *counts[:-1]])
    subjects = [subject or None for batch in batches for subject in batch.subjects or [""] * sum(batch.rows)]
    answered = [batch for batch in batches if not batch.error]
    given = _lists(ANSWERS, [batch.outputs() for batch in answered], len(of_question))
    return asked[of_question].with_columns(
        pl.Series(ROW, np.arange(len(of_question)) - first[of_question], dtype=pl.Int64),
        pl.Series(SUBJECT, subjects, dtype=pl.String),
        inputs := _lists(INPUTS, [batch.inputs() for batch in answered], len(of_question)),
        _nulls(inputs).alias(UNKNOWN),
        given,
        *(_named(given, name, signature) for name in answers),
    )


def _questions(batch: RecordedBatch) -> Iterable[tuple[Any, ...]]:
    """Yield one tuple for each question, in the order of `_ASKED`."""
    copies, names = batch.copies or [""] * len(batch.ids), batch.names or [RequestNames()] * len(batch.ids)
    at = round(batch.at * _US)
    who = (batch.version, batch.digest, batch.role, batch.told)
    took = (batch.took_s, batch.call_s or None)
    for name, key, copy_of, request in zip(batch.ids, batch.keys, copies, names, strict=True):
        named = (text or None for text in request)
        yield batch.site, name, at, *who, key or None, *took, *named, copy_of or None, batch.error or None


def _lists(name: str, parts: Sequence[Numbers], rows: int) -> pl.Series:
    """Return a list a row, with null for what is NaN; no list at all where there are no numbers."""
    if not parts:
        return pl.Series(name, [None] * rows, dtype=_NUMBERS)
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts])
    numbers = pl.Series(name, flat.ravel(), dtype=pl.Float32).fill_nan(None)
    return numbers.reshape(flat.shape).arr.to_list().alias(name)


def _nulls(lists: pl.Series) -> pl.Series:
    """Return how many numbers of each list are null; null where there is no list."""
    return (lists.list.len() - lists.list.drop_nulls().list.len()).cast(pl.Int64)


def _named(given: pl.Series, answer: str, signature: Signature | None) -> pl.Series:
    """Return one answer of each row by its name, as far as the release has it."""
    name = f"predicted_{answer}"
    if signature is None or answer not in signature.answers:
        return pl.Series(name, [None] * len(given), dtype=pl.Float32)
    return given.list.get(signature.answers.index(answer), null_on_oob=True).alias(name)


def _matrix(lists: pl.Series) -> Numbers:
    """Return lists as they were recorded, `[rows, numbers]`, NaN for null; no numbers where there was no list."""
    rows = [[np.nan if value is None else value for value in row] for row in lists.drop_nulls().to_list()]
    return np.array(rows, "<f4").reshape(len(rows), -1) if rows else np.empty((0, 0), "<f4")

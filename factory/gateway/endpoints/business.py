"""`POST /v1/lines/{line}/sites/{site}/predict`: decisions out, errors as problem details.

In come either `records`, the business's own rows, which the line's contract judges and whose features its own code
builds, with rows beside them that are looked at and not decided (`context`); or `rows`, features by their names, from
whoever has them. Beside a decision stands what it is worth on average, how many of its features were unknown, and on
request the features that moved its answer most.
"""

import logging
from collections.abc import Callable, Sequence
from heapq import nsmallest
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from factory.gateway.access.keys import Grant
from factory.gateway.endpoints.bodies import (
    MAX_CONTEXT,
    PredictedRow,
    PredictResponse,
    PredictRows,
    PredictSequences,
    Record,
    require_few_values,
)
from factory.gateway.http.messages import Answer, Request, as_json
from factory.gateway.logs import about
from factory.gateway.models.attributions import Reasons
from factory.gateway.models.entry import Entry
from factory.gateway.models.feature_builders import BuiltRows, BusinessRows, RowBuilders
from factory.gateway.models.question import Answered, Question
from factory.gateway.refusal import RequestRefused, shown
from factory.model.session import Rows
from factory.release import Manifest
from factory.release.triton import MAX_BATCH

log = logging.getLogger(__name__)

Numbers = np.ndarray[Any, np.dtype[np.float64]]
_WIDEST_ROW = 128
"""So many fields of each row are read, and more where the model has more features."""
_Asked = PredictRows | PredictSequences


class _Features(NamedTuple):
    """Rows that fit the model."""

    values: Rows | list[float | None]
    """Of all rows, flat."""
    rows: int
    subjects: Sequence[str] = ()
    """What each of them is about, where that is known."""
    places: Sequence[int] = ()
    """Which row of the request each of them is, where some of those are not asked."""


_of_rows, _of_sequences = msgspec.json.Decoder(PredictRows), msgspec.json.Decoder(PredictSequences)


def predict(
    entry: Entry, request: Request, grant: Grant, refused: Callable[[RequestRefused], Answer], builders: RowBuilders
) -> None:
    """Answer the request within this turn of the event loop or later; raises RequestRefused if it cannot be asked."""
    try:
        grant.require_left()
        _Exchange(entry, request, grant, refused).begin(builders)
    except Exception as error:
        entry.series.failed()
        grant.charge(error)
        raise


class _Exchange:
    """One request, from its body to its answer."""

    def __init__(
        self, entry: Entry, request: Request, grant: Grant, refused: Callable[[RequestRefused], Answer]
    ) -> None:
        self._entry, self._manifest = entry, entry.model.manifest
        self._request, self._grant, self._refused = request, grant, refused
        self._came = perf_counter()
        body, request.body = request.body, b""  # what waits to be built is held once, not twice
        self._body = _decoded(body, self._manifest)

    def begin(self, builders: RowBuilders) -> None:
        """Ask the model about features; have a business row's built first."""
        if self._body.records is None:
            self._ask(_fitting(self._body, self._manifest))
            return
        records, context, manifest = self._body.records, self._body.context, self._manifest
        _require_count(records)
        if len(context) > MAX_CONTEXT:
            raise RequestRefused(400, f"{len(context)} rows of context; send at most {MAX_CONTEXT}")
        builder = builders.of(manifest.line, manifest.site, manifest.features)
        self._grant.spend(len(records) + len(context))
        rows = BusinessRows(records, context, self._body.known_until)
        builders.build(builder, manifest.site, rows, self._go_on)

    def _go_on(self, built: BuiltRows | BaseException) -> None:
        """Ask the model about what was built; whatever goes wrong, the request is answered."""
        try:
            if isinstance(built, BaseException):
                raise built
            self._entry.series.built(len(built.places), len(built.refused))
            _require_any(built)
            features = _Features(built.features.ravel(), len(built.places), built.subjects, built.places)
            self._ask(features, built)
        except RequestRefused as refused:
            self._fail(refused)
        except BaseException:  # the boundary of a request: the client learns nothing of our insides, the log all
            log.exception("a request to %s failed", self._manifest.model, extra=about(self._request.trace))
            self._fail(RequestRefused(500, "the gateway failed on this request; its log says why"))

    def _ask(self, features: _Features, built: BuiltRows | None = None) -> None:
        reasons = self._reasons(features)

        def done(result: Answered | RequestRefused) -> None:
            if isinstance(result, RequestRefused):
                self._fail(result)
            else:
                self._request.reply(as_json(_response(result, reasons, built)))

        question = Question(features.values, features.rows, done, self._grant.name, self._body.id or "")
        question.trace = self._request.trace
        question.subjects, question.places = features.subjects, features.places
        question.asked = self._came if built else 0.0
        question.beside = reasons.beside if reasons else None
        self._grant.spend(question.size - (question.rows if built else 0))  # built rows are paid for already
        self._entry.ask(question)

    def _reasons(self, features: _Features) -> Reasons | None:
        if not self._body.reasons:
            return None
        values = features.values
        known = values if isinstance(values, list) else [None if value != value else value for value in values.tolist()]  # noqa: PLR0124
        return Reasons(self._manifest, known, features.rows, self._body.reasons)

    def _fail(self, refused: RequestRefused) -> None:
        self._entry.series.failed()
        self._request.reply(self._refused(refused))


def _decoded(body: bytes, manifest: Manifest) -> _Asked:
    """Return what is asked; raises RequestRefused unless it has rows of one kind."""
    signature = manifest.model_signature
    require_few_values(body, MAX_BATCH * max(_WIDEST_ROW, 2 * signature.input_size))
    try:
        asked = _of_rows.decode(body) if signature.steps is None else _of_sequences.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise RequestRefused(400, f"the body is no question: {error}; write null for an unknown value") from error
    if (asked.rows is None) == (asked.records is None):
        raise RequestRefused(400, "send either `records`, business rows, or `rows`, features by name")
    if asked.records is None and (asked.context or asked.known_until):
        raise RequestRefused(
            400, "`context` and `known_until` stand beside `records`; features by name look at no other rows"
        )
    return asked


def _require_count(rows: Sequence[Any]) -> None:
    if not 1 <= len(rows) <= MAX_BATCH:
        raise RequestRefused(400, f"{len(rows)} rows; send 1 to {MAX_BATCH}")


def _require_any(built: BuiltRows) -> None:
    """Raise RequestRefused (422) where no row can be answered."""
    if not built.places:
        reasons = [f"row {place} {why}" for place, why in sorted(built.refused.items())[:10]]
        raise RequestRefused(422, f"no row can be answered: {'; '.join(reasons)}")


def _fitting(asked: _Asked, manifest: Manifest) -> _Features:
    """Return the asked features; raises RequestRefused unless they fit the model."""
    steps, values = manifest.model_signature.steps, list[float | None]()
    rows: Sequence[Any] = asked.rows or ()
    _require_count(rows)
    for number, row in enumerate(rows):
        moments = [row] if steps is None else row
        if len(moments) != (steps or 1):
            raise RequestRefused(400, f"row {number} has {len(moments)} steps; the model sees {steps}, oldest first")
        for record in moments:
            _require_names(record, manifest.features, number)
            values += [record[name] for name in manifest.features]
    return _Features(values, len(rows))


def _require_names(record: Record, features: tuple[str, ...], row: int) -> None:
    """Raise RequestRefused (400) unless the record has each feature, and nothing else."""
    if unknown := nsmallest(5, set(record) - set(features)):
        raise RequestRefused(400, f"row {row} has {', '.join(map(shown, unknown))}, no feature of this model")
    if missing := [name for name in features if name not in record]:
        raise RequestRefused(400, f"row {row} lacks {', '.join(missing[:10])}; write null for an unknown value")


def _response(answered: Answered, reasons: Reasons | None, built: BuiltRows | None) -> PredictResponse:
    manifest, numbers = answered.model.manifest, answered.numbers.astype(np.float64)
    outside = set(answered.outside.rows) if answered.outside else set()
    rows = [
        _row(manifest, row, number in outside, unknown)
        for number, (row, unknown) in enumerate(zip(numbers, answered.unknown, strict=True))
    ]
    if reasons:
        for row, why in zip(rows, reasons.of(numbers), strict=True):
            row.reasons = why
    return PredictResponse(
        line=manifest.line,
        site=manifest.site,
        model_version=manifest.version,
        prediction_id=answered.prediction,
        rows=_in_place(rows, built) if built else rows,
        known_until=built.known_until if built else UNSET,
        outside=answered.outside.reasons if answered.outside else UNSET,
    )


def _in_place(rows: list[PredictedRow], built: BuiltRows) -> list[PredictedRow]:
    """Return the answers where the request has their rows, and beside them why the others have none."""
    placed, refused = dict(zip(built.places, rows, strict=True)), built.refused
    return [
        placed[place] if place in placed else PredictedRow(outside=False, refused=refused[place])
        for place in range(len(placed) + len(refused))
    ]


def _row(manifest: Manifest, numbers: Numbers, outside: bool, unknown: int) -> PredictedRow:
    """Return one row's numbers by name, what to do and what that is worth; none of it where there is no answer."""
    if np.isnan(numbers).any():
        return PredictedRow(outside=outside, unknown=unknown)
    answer = dict(zip(manifest.model_signature.answers, numbers.tolist(), strict=True))
    return PredictedRow(
        answer=answer,
        decision=manifest.decision(numbers),
        expected_value_eur=expected_value_eur(manifest, numbers),
        outside=outside,
        unknown=unknown,
    )


def expected_value_eur(manifest: Manifest, numbers: Numbers) -> float | None:
    """Return what the decision on an answer, `[answers]`, is worth on average above the release's constant decision.

    Each is right with the chance that the answer gives it. None where the release has no stakes: for an estimate, and
    in a release from before it carried them.
    """
    if manifest.stakes is None:
        return None
    chance, constant = float(numbers.max()), int(manifest.constant)
    decided = manifest.stakes.expected_eur(chance) if chance >= manifest.threshold else 0.0
    without_model = manifest.stakes.expected_eur(float(numbers[constant - 1])) if constant else 0.0
    return decided - without_model

"""A trial in the gateway: which requests go to it, and that none of them is the worse for it.

A canary answers its share of the requests. Which ones is decided by a hash of the request's id, so that a request that
is sent again goes to the same version. Whatever the canary does not answer, the champion does.

A shadow is asked copies, after the champion's answer has left. Of those that it is too busy for, none waits.
"""

import logging
from collections.abc import Callable
from hashlib import blake2b
from time import perf_counter

import msgspec
import numpy as np

from factory.gateway.metrics.telemetry import Series
from factory.gateway.models.batching import Batches
from factory.gateway.models.question import Answered, Beside, Call, Predictions, Question
from factory.gateway.models.served_model import ServedModel
from factory.gateway.models.session_cache import SessionCache
from factory.gateway.refusal import RequestRefused
from factory.release import Trial

log = logging.getLogger(__name__)

_NONE = np.empty(0, np.float32)


class Share:
    """A share of all requests, by their ids: the same ones each time, and of a larger share these and more."""

    def __init__(self, trial: Trial) -> None:
        self._salt = bytes.fromhex(trial.digest)[:16]  # another file on trial is asked by other requests
        self._below = round(trial.share * 2**64)

    def has(self, request: str) -> bool:
        """Whether the request is in the share."""
        name = request.encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(name, digest_size=8, key=self._salt).digest(), "big") < self._below


class RunningTrial:
    """A model on trial beside a champion; used on one event loop."""

    def __init__(
        self, trial: Trial, model: ServedModel, series: Series, champion: Batches, predictions: Predictions
    ) -> None:
        self.trial = trial
        self.model = model
        self.series = series
        self._share = Share(trial)
        self._batches = Batches(model, series, predictions, trial.mode)
        self._champion = champion
        self._predictions = predictions
        series.waiting_rows = lambda: self._batches.waiting_rows

    def ask(self, question: Question) -> None:
        """Take a question. Raises RequestRefused (503) when the champion, who has to answer it, is full."""
        if not self._has(question):
            self._champion.ask(question)
        elif self.trial.mode == "canary":
            self._ask_canary(question)
        else:
            self._ask_shadow(question)

    def retire(self, sessions: SessionCache) -> None:
        """Go out of service: questions of clients that are under way are answered, copies that wait are forgotten."""
        if self.trial.mode == "shadow":
            self._batches.drop_waiting()
        sessions.forget(self.model)
        self.series.waiting_rows = int

    def _has(self, question: Question) -> bool:
        return self.trial.share == 1.0 or self._share.has(question.id or self._predictions.names(1)[0])

    def _ask_canary(self, question: Question) -> None:
        question.asked = question.asked or perf_counter()  # whoever answers in the end, the client waits from now on

        def done(result: Answered | RequestRefused) -> None:
            if isinstance(result, Answered):
                question.done(result)
            else:
                self._ask_champion_instead(question, result)

        try:
            self._batches.ask(_again(question, done, question.beside))
        except RequestRefused as full:
            self._ask_champion_instead(question, full)

    def _ask_champion_instead(self, question: Question, refused: RequestRefused) -> None:
        """Have the champion answer; only if it can, the canary has failed: else the question is to blame."""

        def done(result: Answered | RequestRefused) -> None:
            question.done(result)
            if isinstance(result, Answered):
                self._failed(question, result.prediction, refused)

        try:
            self._champion.ask(_again(question, done, question.beside))
        except RequestRefused as full:
            question.done(full)

    def _ask_shadow(self, question: Question) -> None:
        def done(result: Answered | RequestRefused) -> None:
            question.done(result)
            if isinstance(result, Answered):
                self._copy(question, result.prediction)

        self._champion.ask(_again(question, done, question.beside))

    def _copy(self, question: Question, prediction: str) -> None:
        """Ask the shadow what was answered just now; never raises."""

        def done(result: Answered | RequestRefused) -> None:
            if isinstance(result, RequestRefused):
                self._failed(question, prediction, result)

        if not self._batches.has_room(question.rows):
            self.series.dropped()
            return
        try:
            self._batches.ask(_again(question, done, copy_of=prediction))
        except Exception as error:  # the boundary of a copy: the questions of clients go on
            log.exception("%s failed to copy a request to its shadow", self.model.manifest.model)
            self._failed(question, prediction, error)

    def _failed(self, question: Question, prediction: str, error: Exception) -> None:
        """Count and record that the trial did not answer what the champion did."""
        self.series.failed()
        question.copy_of, question.asked = prediction, perf_counter()
        name = self._predictions.names(1)
        self._predictions.keep(Call(self.model, self.trial.mode, [question], name, _NONE, _NONE, str(error)))


def _again(
    question: Question,
    done: Callable[[Answered | RequestRefused], None],
    beside: Beside | None = None,
    copy_of: str = "",
) -> Question:
    """Return the same question, asked when it was, for somebody else to hear the answer; a copy is asked later.

    A question whose own `done` refers to it would be a cycle, and collecting thousands a second holds up the loop.
    """
    asked = 0.0 if copy_of else question.asked
    return msgspec.structs.replace(question, done=done, beside=beside, copy_of=copy_of, asked=asked)

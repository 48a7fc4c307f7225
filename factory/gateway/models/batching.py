"""All questions that reach a model within one turn of the event loop are one call of it.

No timer holds anybody up: who is alone is answered alone. While a large batch runs in a thread, what comes in
meanwhile becomes the next batch.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import NamedTuple

import numpy as np

from factory.errors import ModelRefused
from factory.gateway.logs import about
from factory.gateway.metrics.telemetry import Series
from factory.gateway.models.question import Answered, Call, Predictions, Question
from factory.gateway.models.range_guard import Outside, RangeGuard
from factory.gateway.models.served_model import ServedModel
from factory.gateway.refusal import RequestRefused, come_again
from factory.model.session import Rows
from factory.monitoring.prediction_log.files import Role
from factory.release.triton import MAX_BATCH

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much of the process a model's questions may take."""

    inline_s: float
    """A batch that is expected to take less is answered on the event loop; more would hold up the other models."""
    max_waiting_rows: int
    max_waiting: int
    """Questions that wait."""
    max_questions: int
    """In one call of the model."""
    rest: float
    """So many times as long as a call took nothing is asked after it."""


OF_CLIENTS = Pace(
    inline_s=0.002, max_waiting_rows=8 * MAX_BATCH, max_waiting=8 * MAX_BATCH, max_questions=MAX_BATCH, rest=0.0
)
OF_SHADOWS = Pace(inline_s=-1.0, max_waiting_rows=MAX_BATCH, max_waiting=256, max_questions=64, rest=4.0)
"""Copies are for nobody: never on the event loop, few at once, and most of the time is left to clients' questions. When
much is asked a call takes longer, the rest after it too, and what there is no room for is dropped."""


class _Asked(NamedTuple):
    """One call of the model: a batch's rows and their numbers, how many rows it was asked in all, and what it took."""

    rows: Rows
    numbers: Rows
    size: int
    cpu_s: float
    """Of the thread it ran in; a session has no other."""
    took_s: float
    """By the clock."""


class Batches:
    """The questions to one version of one model in one role; it is used on one event loop."""

    def __init__(self, model: ServedModel, series: Series, predictions: Predictions, role: Role = "champion") -> None:
        self._model = model
        self._role = role
        self._pace = OF_SHADOWS if role == "shadow" else OF_CLIENTS
        self._workers = predictions.shadows if role == "shadow" else predictions.workers
        self._guard = RangeGuard(model.manifest)
        self._series = series
        self._predictions = predictions
        self._waiting: deque[Question] = deque()
        self._waiting_rows = 0
        self._busy = False
        self._began = 0.0

    def has_room(self, rows: int) -> bool:
        """Whether so many more rows may wait."""
        pace = self._pace
        return self._waiting_rows + rows <= pace.max_waiting_rows and len(self._waiting) < pace.max_waiting

    @property
    def waiting_rows(self) -> int:
        """How many rows no call has taken yet."""
        return self._waiting_rows

    def ask(self, question: Question) -> None:
        """Take a question; it is done within this turn of the loop or later. Raises RequestRefused (503) when full."""
        rows = question.size
        if not self.has_room(rows):
            limit = self._pace.max_waiting_rows
            raise come_again(503, f"{self._waiting_rows} rows wait for this model; the limit is {limit}", 1)
        question.asked = question.asked or perf_counter()
        self._waiting.append(question)
        self._waiting_rows += rows
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._run)

    def drop_waiting(self) -> None:
        """Forget the questions that no call has taken yet; nobody is told."""
        self._waiting.clear()
        self._waiting_rows = 0

    def _run(self) -> None:
        if not self._waiting:
            self._busy = False
            return
        if not self._model.awake:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(self._workers, self._woken).add_done_callback(self._go_on_awake)
            return
        self._predictions.sessions.used(self._model)
        self._began = perf_counter()
        batch, size = self._taken()
        if late := [question for question in batch if question.ask_before < self._began]:
            batch = [question for question in batch if question.ask_before >= self._began]
            size = sum(question.size for question in batch)
            for question in late:
                _reply(question, RequestRefused(504, "the model had no time for this request within its timeout"))
        if not batch:
            self._go_on()
            return
        call = self._model.call()
        if size * self._model.row_s <= self._pace.inline_s:
            with self._ended(batch):
                self._answer(batch, self._answered(call, batch))
        else:
            loop = asyncio.get_running_loop()
            answers = loop.run_in_executor(self._workers, self._answered, call, batch)
            answers.add_done_callback(lambda done: self._answer_later(batch, done))

    def _answered(self, call: Callable[[Rows], Rows], batch: list[Question]) -> "_Asked":
        """Ask the model, in one call, the batch's rows and those beside them, which get their numbers here."""
        rows = stacked(batch).reshape(-1, *self._model.signature.input_shape)
        besides = [question.beside for question in batch if question.beside is not None]
        every = np.concatenate([rows, *(one.rows for one in besides)]) if besides else rows
        began, began_cpu = perf_counter(), thread_time()
        numbers = call(every)
        cpu_s, took_s, start = thread_time() - began_cpu, perf_counter() - began, len(rows)
        for one in besides:
            one.numbers = numbers[start : start + len(one.rows)]
            start += len(one.rows)
        return _Asked(rows, numbers[: len(rows)], len(every), cpu_s, took_s)

    @contextmanager
    def _ended(self, batch: list[Question]) -> Iterator[None]:
        """Go on after a batch; if anything in it failed, tell its questions so, and the next ones are answered."""
        try:
            yield
        except Exception:  # the boundary of a batch
            said = about(batch[0].trace) if len(batch) == 1 else None
            log.exception("%s failed on %d questions", self._model.manifest.model, len(batch), extra=said)
            for question in batch:
                _reply(question, _failed())
        finally:
            self._go_on()

    def _woken(self) -> str | None:
        """Wake the model, and return why not if that is impossible."""
        try:
            self._model.wake()
        except (ModelRefused, OSError) as error:
            return str(error)
        return None

    def _go_on_awake(self, woken: "asyncio.Future[str | None]") -> None:
        if (reason := woken.result()) is None:
            self._run()
            return
        log.error("%s cannot be woken: %s", self._model.manifest.model, reason)
        refused = come_again(503, "the model cannot be loaded now; the gateway's log says why", 1)
        for question in self._taken()[0]:
            _reply(question, refused)
        self._go_on()

    def _answer_later(self, batch: list[Question], asked: "asyncio.Future[_Asked]") -> None:
        with self._ended(batch):
            self._answer(batch, asked.result())

    def _go_on(self) -> None:
        if not self._waiting:
            self._busy = False
        elif self._pace.rest:
            asyncio.get_running_loop().call_later(self._pace.rest * (perf_counter() - self._began), self._run)
        else:
            asyncio.get_running_loop().call_soon(self._run)

    def _taken(self) -> tuple[list[Question], int]:
        """Return the next questions, up to MAX_BATCH rows of them, and how many rows they take."""
        batch: list[Question] = []
        rows, waiting, most = 0, self._waiting, self._pace.max_questions
        while waiting and (more := rows + waiting[0].size) <= MAX_BATCH and len(batch) < most:
            rows = more
            batch.append(waiting.popleft())
        self._waiting_rows -= rows
        return batch, rows

    def _answer(self, batch: list[Question], asked: "_Asked") -> None:
        rows, numbers, ids = asked.rows, asked.numbers, self._predictions.names(len(batch))
        self._series.ran(asked.size, asked.size - len(rows), asked.cpu_s)
        if self._role == "shadow":  # nobody waits for it: its latency is its model's own
            for question in batch:
                question.asked = perf_counter() - asked.took_s
        if (beyond := self._guard.beyond(rows)) is None and np.isfinite(numbers).all():
            self._predictions.keep(Call(self._model, self._role, batch, ids, rows, numbers, took_s=asked.took_s))
            self._answer_all(batch, ids, numbers, unknown_features(rows))
        else:
            self._answer_each(batch, ids, asked, beyond)

    def _answer_all(self, batch: list[Question], ids: list[str], numbers: Rows, unknown: list[int]) -> None:
        """Answer questions of which there is nothing to say but the numbers."""
        start, now = 0, perf_counter()
        self._series.answered(len(numbers), *(now - question.asked for question in batch))
        for question, name in zip(batch, ids, strict=True):
            end = start + question.rows
            _reply(question, Answered(self._model, numbers[start:end], name, None, unknown[start:end]))
            start = end

    def _answer_each(self, batch: list[Question], ids: list[str], asked: "_Asked", beyond: "np.ndarray | None") -> None:
        """Answer questions one by one, for some of their rows are outside or have no number."""
        rows, numbers, start, now = asked.rows, asked.numbers, 0, perf_counter()
        for question, name in zip(batch, ids, strict=True):
            part = slice(start, start + question.rows)
            start += question.rows
            outside = None if beyond is None else self._guard.outside(rows[part], beyond[part], question.place)
            try:
                answered = self._judged(question, rows[part], numbers[part], name, outside)
            except RequestRefused as refused:
                _reply(question, refused)
                continue
            kept = Call(self._model, self._role, [question], [name], rows[part], answered.numbers, took_s=asked.took_s)
            self._predictions.keep(kept)
            self._series.answered(question.rows, now - question.asked)
            _reply(question, answered)

    def _judged(self, question: Question, rows: Rows, numbers: Rows, name: str, outside: Outside | None) -> Answered:
        """Return the answer; raises RequestRefused (400) for an infinite input or a number that the model lacks."""
        if len(infinite := np.argwhere(np.isinf(rows))):
            row, feature = question.place(int(infinite[0][0])), self._model.manifest.features[infinite[0][-1]]
            raise RequestRefused(400, f"row {row}: {feature} is beyond the range of FP32")
        if outside and self._guard.abstains:
            numbers = numbers.copy()
            numbers[list(outside.rows)] = np.nan
            self._series.abstained(len(outside.rows))
        elif outside:
            self._series.saw_outside(len(outside.rows))
        unknown = np.atleast_1d(~np.isfinite(numbers).all(axis=1))
        if outside and self._guard.abstains:
            unknown[list(outside.rows)] = False
        if unknown.any():
            row, output = question.place(int(np.flatnonzero(unknown)[0])), self._model.signature.output
            raise RequestRefused(400, f"row {row}: the model has no {output} for these values; check their units")
        return Answered(self._model, numbers, name, outside, unknown_features(rows))


def _reply(question: Question, result: Answered | RequestRefused) -> None:
    """Give a question its answer; who cannot hear it keeps no other question from hearing its own."""
    try:
        question.done(result)
    except Exception:  # the boundary of a question
        log.exception("an answer of %s could not be given", question.id or "a question")
        with suppress(Exception):
            question.done(_failed())


def _failed() -> RequestRefused:
    return RequestRefused(500, "the model failed on this request; the gateway's log says why")


def unknown_features(rows: Rows) -> list[int]:
    """Return how many values of each row, `[rows, …]`, are unknown."""
    counts: list[int] = np.isnan(rows.reshape(len(rows), -1)).sum(axis=1).tolist()
    return counts


def stacked(batch: Sequence[Question]) -> Rows:
    """Return the values of all questions, one after another, as float32."""
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and its question is refused later
        if len(batch) == 1:
            return np.asarray(batch[0].values, dtype=np.float32)
        if all(isinstance(question.values, list) for question in batch):
            flat = list(itertools.chain.from_iterable(question.values for question in batch))
            return np.array(flat, dtype=np.float32)
        return np.concatenate([np.asarray(question.values, dtype=np.float32).ravel() for question in batch])

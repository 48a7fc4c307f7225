"""A question to a model, what was answered, and what all models share to answer it: names, threads, records, memory."""

import asyncio
import itertools
import math
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

import msgspec

from factory.gateway.http.trace import NO_TRACE, Trace
from factory.gateway.models.range_guard import Outside
from factory.gateway.models.served_model import ServedModel
from factory.gateway.models.session_cache import SessionCache
from factory.gateway.refusal import RequestRefused
from factory.model.provider import ON_CPU
from factory.model.session import Rows
from factory.monitoring.prediction_log.files import Role


class Answered(msgspec.Struct):
    """What a model said to one question."""

    model: ServedModel
    numbers: Rows
    """float32 `[rows, answers]`, NaN in a row that the gateway abstains from."""
    prediction: str
    outside: Outside | None
    unknown: Sequence[int]
    """How many features of each row were unknown."""


class Beside(msgspec.Struct):
    """Rows that the model which answers a question is asked in the same call; they are no predictions.

    Nothing of them is recorded, judged by ranges or copied to a shadow. The numbers are there once the question is
    answered.
    """

    rows: Rows
    numbers: Rows


class Question(msgspec.Struct):
    """Rows for one model, flat and in order, float32 or with None where unknown; and who is told the answer."""

    values: Rows | list[float | None]
    rows: int
    done: Callable[[Answered | RequestRefused], None]
    by: str = ""
    """The name of the key that asked."""
    id: str = ""
    """The client's name for the request; empty where it gave none."""
    copy_of: str = ""
    """The champion's prediction that this question, of a trial, is about."""
    beside: Beside | None = None
    subjects: Sequence[str] = ()
    """What each row is about, where that is known: see `RecordedBatch.subjects`."""
    asked: float = 0.0
    """When it came, by the performance counter; 0 until it is asked, unless it took a while to become features."""
    trace: Trace = NO_TRACE
    ask_before: float = math.inf
    """By the performance counter; whoever waits longer is not asked any more."""
    places: Sequence[int] = ()
    """Which row of the client's request each of them is, where some of those are not asked."""

    def answer_within(self, seconds: float | None) -> None:
        """Let nobody ask the model so long from now, None for whenever it has time."""
        if seconds is not None:
            self.ask_before = perf_counter() + seconds

    def place(self, row: int) -> int:
        """Return which row of the client's request one of these is."""
        return self.places[row] if self.places else row

    @property
    def size(self) -> int:
        """How many rows of a call it takes."""
        return self.rows if self.beside is None else self.rows + len(self.beside.rows)


class Call(msgspec.Struct):
    """Questions and what a model said to them, or in which role it failed on them and why."""

    model: ServedModel
    role: Role
    questions: Sequence[Question]
    ids: Sequence[str]
    rows: Rows
    numbers: Rows
    error: str = ""
    took_s: float = 0.0
    """Seconds that the model took."""


class Records(Protocol):
    """Where predictions are kept."""

    def add(self, call: Call) -> None:
        """Keep one batch; never raises, never waits."""


class Predictions:
    """What all models share: names for predictions, threads for large batches, records, who is awake, providers.

    Shadows share a thread of their own, so that no copy is in the way of a question.
    """

    def __init__(
        self,
        workers: ThreadPoolExecutor,
        records: Records | None = None,
        sessions: SessionCache | None = None,
        providers: Sequence[str] = ON_CPU,
    ) -> None:
        self.workers = workers
        self.providers = providers
        self.shadows = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self.sessions = sessions or SessionCache()
        self.records = records
        self._start = secrets.token_hex(6)
        self._counter = itertools.count(1)

    def keep(self, call: Call) -> None:
        """Hand what is answered to the records, if there are any."""
        if self.records:
            self.records.add(call)

    async def end(self) -> None:
        """Wait for the copy that is being answered; before, no shadow may be left that asks for more."""
        await asyncio.to_thread(self.shadows.shutdown)

    def names(self, count: int) -> list[str]:
        """Return names that no other prediction has, whichever process made it."""
        return [f"{self._start}-{number}" for number in itertools.islice(self._counter, count)]

"""Delivery: takes what is due out of the outbox, gives it to the sink, and stores what became of each message.

Each message is stored before it is sent and its receipt when the system has it. Whatever dies between the two leaves
the message `sending`, with a lease: when that ends the message is `unknown`, and either the system is asked for its key
or it is sent again, which a system that knows its key takes as the same. So it arrives once, or it visibly waits.
"""

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from factory.connectors.outbox.outbox import Outbox, Settled
from factory.connectors.sinks.message import Message, Result, busy, refused, unknown
from factory.connectors.sinks.sink import Sink
from factory.errors import FactoryError, OutboxError

LEASE_S = 120.0
FIRST_DELAY_S, LONGEST_DELAY_S, LONGEST_ASKED_S = 1.0, 900.0, 86_400.0
"""How long a message waits after its first failure, at most by our own counting, and at most by the system's."""
SETTLE_EVERY_S = 0.05
"""How long a receipt may wait in memory for others, which one write to the disk then stores together."""
Fields = Callable[[Mapping[str, Any], str], Mapping[str, Any]]


def delay_s(attempts: int, retry_after_s: float | None, spread: float) -> float:
    """Return how long to wait after so many attempts: doubled each time, less up to a half by `spread` in [0, 1].

    A system that says how long it wants to be left alone is left alone for that long, up to a day.
    """
    own = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(max(attempts, 1) - 1, 20)) * (1 - spread / 2)
    return max(own, min(retry_after_s or 0.0, LONGEST_ASKED_S))


@dataclass(kw_only=True)
class Delivery:
    """The delivery of one sink's messages by one process."""

    outbox: Outbox
    sink: Sink
    name: str
    """The sink's name in the line's file."""
    fields_of: Fields
    """Fills the system's fields from a message's record and key; raises KeyError on a column that it lacks."""
    withdrawn: Mapping[str, Any] = field(default_factory=dict)
    """The system's fields that a withdrawal sets."""
    lease_s: float = LEASE_S
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    spread: Callable[[], float] = random.random
    _by: str = field(default_factory=lambda: secrets.token_hex(8))
    _left_alone_until: float = 0.0

    def run(self, sites: Collection[str], within_s: float) -> dict[str, Counter[str]]:
        """Send what is due, and what becomes due in so many seconds; return by site what became of how many.

        The states are those of the outbox: accepted, refused, waiting, unknown. What is still open goes on another
        time. Raises OutboxError.
        """
        ends = self.clock() + within_s
        counts: dict[str, Counter[str]] = {site: Counter() for site in sites}
        while True:
            self._resolve(sites, counts)
            now = self.clock()
            messages = self._claimed(sites) if now >= self._left_alone_until else []
            if messages:
                self._send(messages, counts)
            elif (due := self._next_due(sites)) is not None and due <= ends:
                self.sleep(max(due - now, 0.001))
            if self.clock() >= ends or (not messages and (due is None or due > ends)):
                return counts

    def _next_due(self, sites: Collection[str]) -> float | None:
        due = self.outbox.next_due(self.name, sites)
        return None if due is None else max(due, self._left_alone_until)

    def _claimed(self, sites: Collection[str]) -> list[Message]:
        return self.outbox.claim(self.name, sites, by=self._by, limit=self.sink.batch_size, lease_s=self.lease_s)

    def _send(self, messages: Sequence[Message], counts: Mapping[str, Counter[str]]) -> None:
        """Give claimed messages to the sink and store the results as they come; without one a message is unknown."""
        mapped, unfillable = self._mapped(messages)
        self._store(unfillable, counts)
        without_result = {message.id: message for message in mapped}
        why = _unknown_since(FactoryError("the sink said nothing of it"))
        try:
            with self._leased():
                for results in self._results(mapped):
                    for result in results:
                        without_result.pop(result.message.id, None)
                    self._store(results, counts)
                    if results[-1].state == "busy":
                        why = _as_busy_as(results[-1])
        except FactoryError as error:
            why = _unknown_since(error)
        finally:  # whatever stopped it
            self._store([why(message) for message in without_result.values()], counts)

    def _results(self, messages: Sequence[Message]) -> Iterator[list[Result]]:
        """Yield what the sink says in portions that are worth a write to the disk; the last before it fails, too."""
        portion, since = list[Result](), self.clock()
        try:
            for result in self.sink.deliver(messages, _Job(self.outbox, self._by)) if messages else ():
                portion.append(result)
                if self.clock() - since >= SETTLE_EVERY_S:
                    yield portion
                    portion, since = [], self.clock()
        except FactoryError:
            if portion:
                yield portion
            raise
        if portion:
            yield portion

    def _mapped(self, messages: Sequence[Message]) -> tuple[list[Message], list[Result]]:
        """Return the messages with the system's fields, and a refusal of each whose fields cannot be filled."""
        mapped, unfillable = [], []
        for message in messages:
            try:
                mapped.append(replace(message, fields=self._fields(message)))
            except KeyError as error:
                reply = (
                    f"the message has no column {error}, from which the line's file fills a field: it was stored "
                    "before the file said so. Name a column that it has, and `replay` sends it"
                )
                unfillable.append(refused(message, reply))
        return mapped, unfillable

    def _fields(self, message: Message) -> Mapping[str, Any]:
        return self.withdrawn if message.action == "withdraw" else self.fields_of(message.record, message.key)

    def _store(self, results: Sequence[Result], counts: Mapping[str, Counter[str]]) -> None:
        if results:
            settled = [self._settled(result) for result in results]
            self.outbox.settle(self._by, settled)
            for result, one in zip(results, settled, strict=True):
                counts[result.message.site][one.state] += 1

    def _settled(self, result: Result) -> Settled:
        """Return what is stored of a result; a busy system is left alone as a whole."""
        due = self.clock()
        if result.state in ("busy", "unknown"):
            due += delay_s(result.message.attempts, result.retry_after_s, self.spread())
        if result.state == "busy":
            self._left_alone_until = max(self._left_alone_until, due)
        state = "waiting" if result.state == "busy" else result.state
        return Settled(id=result.message.id, state=state, reply=result.reply, reference=result.reference, due=due)

    def _resolve(self, sites: Collection[str], counts: Mapping[str, Counter[str]]) -> None:
        """Find out what became of unknown messages: ask the system, or send again where it knows the key."""
        self.outbox.abandoned(self.name)
        while messages := self.outbox.unknown(
            self.name, sites, by=self._by, limit=self.sink.batch_size, lease_s=self.lease_s
        ):
            with self._leased():
                self._store_resolved(messages, counts)

    def _store_resolved(self, messages: Sequence[Message], counts: Mapping[str, Counter[str]]) -> None:
        present: Mapping[str, str] = {}
        if not self.sink.repeatable:
            try:
                present = self.sink.present(messages)
            except FactoryError as error:
                self._store([unknown(message, f"the system cannot be asked: {error}") for message in messages], counts)
                return
        now = self.clock()
        settled = [
            Settled(id=message.id, state="accepted", reference=present[message.id], reply="asked for: it is there")
            if message.id in present
            else Settled(id=message.id, state="waiting", reply="no answer had come; it is sent again", due=now)
            for message in messages
        ]
        self.outbox.settle(self._by, settled)
        for message in messages:
            if message.id in present:
                counts[message.site]["accepted"] += 1

    @contextmanager
    def _leased(self) -> Iterator[None]:
        """Lengthen the lease of what is claimed until the block ends, however long the system takes."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.lease_s / 3):
                with suppress(OutboxError):  # then the lease ends, and whoever finds it asks what became of it
                    self.outbox.renew(self._by, self.lease_s)

        thread = threading.Thread(target=renew, name=f"lease of {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _as_busy_as(other: Result) -> Callable[[Message], Result]:
    return lambda message: busy(message, other.reply, other.retry_after_s)


def _unknown_since(error: FactoryError) -> Callable[[Message], Result]:
    return lambda message: unknown(message, str(error))


@dataclass(frozen=True)
class _Job:
    """Keeps what a sink wants to know of an attempt when nobody remembers it."""

    outbox: Outbox
    by: str

    def keep(self, text: str, messages: Sequence[Message]) -> None:
        """Store a text with these messages, durably."""
        self.outbox.keep_job(self.by, text, [message.id for message in messages])

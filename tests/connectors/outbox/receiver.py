"""A business system for tests, of a file that several processes may write, and its sink: it counts what it was sent."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from factory.connectors.sinks.message import Message, Result, accepted, busy, message_key, refused, unknown
from factory.connectors.sinks.sink import Job
from factory.errors import FactoryError


def message(number: int = 0, *, site: str = "ulm", sink: str = "orders", release: int = 1) -> Message:
    """Return a message about one decision."""
    return Message(
        key=message_key("toy", sink, site, [number]),
        sink=sink,
        site=site,
        identity={"line": "toy", "site": site, "order": number, "release": release, "version": release},
        content={"predicted_probability": 0.75, "qty": number},
    )


@dataclass
class Receiver:
    """A system that appends what it takes to a file, and does with each message what its plan says next."""

    file: Path
    plan: list[str] = field(default_factory=list)
    """What it does with the next messages: accept, refuse, busy, lose (takes it, and no answer comes), drop, raise."""
    repeatable: bool = False
    batch_size: int = 10
    askable: bool = True
    knows_keys: bool = False
    """Whether it takes a key a second time for the first."""

    def check(self) -> list[str]:
        """Find nothing wrong."""
        return []

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:
        """Do what the plan says with each message."""
        job.keep(f"batch of {len(messages)}", messages)
        return self._each(messages)

    def _each(self, messages: Sequence[Message]) -> Iterator[Result]:
        for one in messages:
            what = self.plan.pop(0) if self.plan else "accept"
            if what == "refuse" and self._knows(one):
                what = "accept"
            if what in ("accept", "lose"):
                self._take(one)
            if what == "raise":
                raise FactoryError("the system went away")
            yield {
                "accept": lambda one=one: accepted(one, reference=f"no. {one.key[:3]}"),
                "lose": lambda one=one: unknown(one, "no answer came"),
                "drop": lambda one=one: unknown(one, "no answer came"),
                "refuse": lambda one=one: refused(one, "qty must be even"),
                "busy": lambda one=one: busy(one, "429", retry_after_s=30),
            }[what]()
            if what == "busy":
                return

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return what it has."""
        if not self.askable:
            raise FactoryError("the system does not answer")
        taken = {line["id"] for line in self.taken()}
        return {one.id: f"no. {one.key[:3]}" for one in messages if one.id in taken}

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> list[dict]:
        """Return what it took, in order."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [json.loads(line) for line in lines]

    def _knows(self, one: Message) -> bool:
        return self.knows_keys and one.id in {line["id"] for line in self.taken()}

    def _take(self, one: Message) -> None:
        if self._knows(one):
            return
        line = json.dumps({"id": one.id, "action": one.action, "fields": dict(one.fields)}) + "\n"
        handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, line.encode())
        os.close(handle)

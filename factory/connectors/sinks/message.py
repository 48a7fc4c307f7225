"""A message: one decision for one sink, with the key by which the system knows it again; and what became of it.

Values are JSON's: text, number, true and false, null. A moment is a text of RFC 3339 in UTC (`2026-03-01T06:00:00Z`), a
day `2026-03-01`; a sink turns them into what its system takes.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from factory.errors import ServiceBusy, ServiceError

Value = str | int | float | bool | None
Action = Literal["upsert", "withdraw"]
State = Literal["accepted", "refused", "busy", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One decision for one sink."""

    key: str
    """32 hexadecimal digits, the same for the same decision by whatever run: a retry cannot double it."""
    sink: str
    site: str
    identity: Mapping[str, Value]
    """Which decision it is: line, site, the features' key, `decided_at`, `release`, `version`, `digest`."""
    content: Mapping[str, Value] = field(default_factory=dict)
    """What else its fields may be filled from; empty once the system has it."""
    action: Action = "upsert"
    fields: Mapping[str, Value] = field(default_factory=dict)
    """The system's fields, as the line's file maps them; filled in when it is sent."""
    attempts: int = 0
    """How often it was given to the sink, this time included."""
    job: str = ""
    """What the sink kept of an earlier attempt before it sent: a job's id, a file's name."""

    @property
    def id(self) -> str:
        """What the outbox knows it by: a decision and its withdrawal are two messages about one key."""
        return self.key if self.action == "upsert" else f"{self.key}.{self.action}"

    @property
    def record(self) -> dict[str, Value]:
        """All columns, by which a line's file fills the system's fields."""
        return {**self.identity, **self.content, "message_key": self.key}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one message in one attempt."""

    message: Message
    state: State
    reference: str = ""
    """What the system calls what it made of it: an order's number, a record's id."""
    reply: str = ""
    """What the system said."""
    retry_after_s: float | None = None
    """How long the system asks to be left alone."""


def accepted(message: Message, reference: str = "", reply: str = "") -> Result:
    """The system has it, and said so."""
    return Result(message=message, state="accepted", reference=reference, reply=reply)


def refused(message: Message, reply: str) -> Result:
    """The system does not take this message, and would not a second time: it waits for a person, with the reply."""
    return Result(message=message, state="refused", reply=reply)


def busy(message: Message, reply: str, retry_after_s: float | None = None) -> Result:
    """The system surely did not take it, and may later."""
    return Result(message=message, state="busy", reply=reply, retry_after_s=retry_after_s)


def not_taken(message: Message, error: ServiceError) -> Result:
    """A call as a whole was not taken: the message waits as long as the system asks, and shows why."""
    return busy(message, str(error), error.retry_after_s if isinstance(error, ServiceBusy) else None)


def unknown(message: Message, why: str) -> Result:
    """It was sent, and no answer came: the system may have it or not."""
    return Result(message=message, state="unknown", reply=why)


def message_key(line: str, sink: str, site: str, decision: Sequence[Any]) -> str:
    """Return the key of one decision for one sink, 32 hexadecimal digits of SHA-256.

    `decision` is what tells it from others: its key columns, its moment, the model's version.
    """
    said = json.dumps([line, sink, site, [plain(value) for value in decision]], ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def plain(value: Any) -> Value:
    """Return a value as JSON has it; a moment as text of RFC 3339 in UTC, one without a zone is UTC already."""
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)

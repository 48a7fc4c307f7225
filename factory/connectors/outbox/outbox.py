"""The outbox: where messages wait, stored before they are sent, and where the receipts are kept.

    held      → a person says that it is right (the guard stopped a run that would send too much)
    waiting   → to be sent, at its due moment
    sending   → given to the sink by one process until its lease ends
    unknown   → it may have been taken: the sink is asked, or it is sent again where the system knows its key
    accepted  → the system said so: the receipt. Its content is deleted, what it was about and the reference stay
    refused   → a dead letter: the system said no; it stays with the reply until a person replays it
    cancelled → withdrawn before it was sent

`SqliteOutbox` keeps it on one machine, `PostgresOutbox` for several; both are `SqlOutbox`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from factory.connectors.sinks.message import Message

State = Literal["held", "waiting", "sending", "unknown", "accepted", "refused", "cancelled"]
OPEN: tuple[State, ...] = ("held", "waiting", "sending", "unknown")
"""States in which a message has yet to come to an end."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What becomes of a message after an attempt."""

    id: str
    state: State
    reply: str = ""
    reference: str = ""
    due: float = 0.0
    """When it may be tried again, as Unix time."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A message in the outbox, and how it stands."""

    message: Message
    state: State
    put_at: float
    changed_at: float
    due: float
    reply: str
    reference: str

    @property
    def row(self) -> dict[str, Any]:
        """It as JSON types, without its content."""
        return {
            "id": self.message.id,
            "action": self.message.action,
            "sink": self.message.sink,
            "site": self.message.site,
            "state": self.state,
            "attempts": self.message.attempts,
            "reply": self.reply,
            "reference": self.reference,
            "put_at": self.put_at,
            "changed_at": self.changed_at,
            "due": self.due,
            "about": dict(self.message.identity),
        }


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How many messages of a sink and site are in one state, and since when the oldest of them waits (Unix time)."""

    sink: str
    site: str
    state: State
    count: int
    oldest: float


class Outbox(Protocol):
    """Messages of one line; each call is one transaction, durable when it returns. Raises OutboxError."""

    clock: Callable[[], float]
    """The clock by which messages are due and leases end, as Unix time."""

    def put(self, messages: Iterable[Message], *, held: str = "") -> int:
        """Store messages that are not there yet, and return how many were new; with `held` they wait for a person."""
        ...

    def keys(self, sink: str, site: str) -> set[str]:
        """Return the keys of all messages of a sink and site, whatever became of them."""
        ...

    def claim(self, sink: str, sites: Collection[str], *, by: str, limit: int, lease_s: float) -> list[Message]:
        """Give messages that are due, oldest first, of one action, to one process for so long; no other gets them."""
        ...

    def keep_job(self, by: str, job: str, ids: Sequence[str]) -> None:
        """Store what a sink keeps of an attempt, with messages that this process has claimed."""
        ...

    def renew(self, by: str, lease_s: float) -> int:
        """Lengthen the lease of all that a process has claimed; return how many messages that is."""
        ...

    def settle(self, by: str, settled: Sequence[Settled]) -> None:
        """Store what became of claimed messages.

        One that another process has meanwhile is left to it, but for a receipt: it is true whoever got it.
        """
        ...

    def abandoned(self, sink: str) -> int:
        """Make messages `unknown` whose process has let the lease end; return how many."""
        ...

    def unknown(self, sink: str, sites: Collection[str], *, by: str, limit: int, lease_s: float) -> list[Message]:
        """Give unknown messages that are due to one process, to ask what became of them; they stay unknown."""
        ...

    def next_due(self, sink: str, sites: Collection[str]) -> float | None:
        """Return the moment at which something of these sites is due, or a lease ends; None where nothing waits."""
        ...

    def standing(self) -> list[Standing]:
        """Return how many messages are in each state, by sink and site."""
        ...

    def find(
        self,
        *,
        sink: str | None = None,
        site: str | None = None,
        states: Collection[State] = (),
        ids: Collection[str] = (),
        limit: int = 1000,
    ) -> list[Kept]:
        """Return messages, oldest first; of every sink, site or state where none is named."""
        ...

    def replay(self, ids: Collection[str]) -> int:
        """Let refused messages wait again, due now; return how many."""
        ...

    def let_go(self, sink: str, site: str) -> int:
        """Let held messages wait as others do; return how many."""
        ...

    def withdraw(self, sink: str, site: str, release: int) -> tuple[int, int]:
        """Cancel a release's messages that were not sent, and put a withdrawal for each that was or may have been.

        Returns how many were cancelled, and how many withdrawals were put.
        """
        ...

    def withdrawable(self, site: str, release: int) -> list[Standing]:
        """Return how many of a release's messages `withdraw` would cancel or take back, by sink and state."""
        ...

    def receipts(self, sites: Collection[str], limit: int) -> list[Kept]:
        """Return messages that came to an end and are not marked as recorded elsewhere, oldest first."""
        ...

    def mark_recorded(self, kept: Sequence[Kept]) -> None:
        """Note that these, as they stand, are recorded elsewhere."""
        ...

    def note(self, name: str, text: str) -> None:
        """Keep a text under a name, in the place of the one before."""
        ...

    def noted(self, name: str) -> str:
        """Return the text under a name, empty for none."""
        ...

    def forget(self, is_about: Callable[[str, str], bool], scrub: Callable[[str], str]) -> int:
        """Remove messages by their site and identity (JSON), and words from the texts of all others.

        Returns how many messages were removed; nothing of them stays in the outbox's own files.
        """
        ...

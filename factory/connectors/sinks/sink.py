"""What a sink is: a business system that takes messages, says of each what became of it, and can be asked what it has.

A sink keeps nothing and tries nothing twice: the outbox stores a message before it is sent, `Delivery`
(factory/connectors/outbox/delivery.py) sends what is due, waits, tries again and keeps the receipt. To add a kind of
system, write a class that keeps `Sink` and name its scheme in factory/connectors/sinks/kinds.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from factory.connectors.sinks.message import Message, Result


class Job(Protocol):
    """What a sink keeps of an attempt, durably, before it sends."""

    def keep(self, text: str, messages: Sequence[Message]) -> None:
        """Store a text with these messages; they have it as `job` when a later attempt asks what became of them."""
        ...


class Sink(Protocol):
    """One system's end of a line's sink."""

    @property
    def batch_size(self) -> int:
        """How many messages `deliver` takes at most at once."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether sending a message twice leaves one: the system knows its key. Otherwise `present` is asked."""
        ...

    def check(self) -> list[str]:
        """Return a sentence on each way in which the mapping does not fit the system's own metadata; none: it fits.

        Raises FactoryError where the system cannot be asked.
        """
        ...

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:
        """Send messages of one action, and give what became of each as soon as it is known.

        `accepted` only where the system said so; `refused` where it would refuse again; `busy` where it surely did not
        take it; `unknown` where no answer came. A message without a result when it ends, or raises, is unknown. After
        `busy` it need not try the others: they are busy as well.
        """
        ...

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return what the system has of these messages: id → its reference; one that is left out is not there.

        Raises FactoryError where that cannot be told now, or never.
        """
        ...

    def close(self) -> None:
        """Close what is open to the system; it may be used again."""
        ...

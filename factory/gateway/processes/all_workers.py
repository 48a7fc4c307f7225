"""The gateway as one, whichever of its workers is asked: what all have counted, and what all load and unload.

A worker keeps what it tells of its counts in a file, before it tells it. While a worker is silent or gone the others
take its counts from there, and who comes in its place goes on from there: no sum that was told once is ever told
smaller, and a killed worker takes with it only what it counted since somebody last asked.
"""

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import reduce
from pathlib import Path

import msgspec

from factory.gateway.metrics.counts import Counted
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.catalogue import Catalogue
from factory.gateway.processes.peers import Ask, Done, Peers
from factory.gateway.processes.worker_config import Membership
from factory.gateway.refusal import come_again

log = logging.getLogger(__name__)

COUNT_WITHIN_S = 0.5
LOAD_WITHIN_S = 30.0
COUNTS, UNLOADED, LOCK = "counts", "unloaded", "lock"
NONE = Counted(workers=0)


class SingleProcess:
    """A gateway of one process."""

    def __init__(self, catalogue: Catalogue, telemetry: Telemetry) -> None:
        self.catalogue = catalogue
        self._telemetry = telemetry

    async def counted(self) -> Counted:
        """Return what was counted."""
        return self.count()

    def count(self) -> Counted:
        """Return what this process has counted."""
        served = (entry.model.manifest for entry in self.catalogue.served.values())
        return self._telemetry.counted(served, self.catalogue.shares)

    async def load(self, model: str) -> str | None:
        """Serve the model's newest release, and return why not if it was refused."""
        return await self.catalogue.load(model)

    async def unload(self, model: str) -> None:
        """Serve the model no longer until it is loaded by hand."""
        await self.catalogue.unload(model)

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Be there during the body."""
        yield


class PeerProcess:
    """One worker, and through it all of them."""

    def __init__(self, own: SingleProcess, membership: Membership) -> None:
        self._own = own
        self._membership = membership
        self._peers = Peers(membership)
        self._before = NONE
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Take over what a worker in this place left and what is unloaded, and answer the peers during the body."""
        self._before = self._left_by(self._membership.number)
        async with AsyncExitStack() as until_end:
            async with self._managing():
                self._own.catalogue.unloaded |= self._unloaded()
                await until_end.enter_async_context(self._peers.answered(self._respond))
            yield
            self._count()  # nothing is lost of who ends in peace

    async def counted(self) -> Counted:
        """Return what all workers have counted; of those that are silent or gone, what they last told."""
        own = self._count()
        answers = await self._peers.ask(Ask("count"), Counted, COUNT_WITHIN_S)
        if answers.silent:
            log.warning("workers %s did not tell their counts; what they told last is taken", answers.silent)
        every = [answers.answered.get(number) or self._left_by(number) for number in self._membership.peers]
        return reduce(Counted.plus, every, own)

    async def load(self, model: str) -> str | None:
        """Have all workers serve the model's newest release; raises RequestRefused (503) where one is silent."""
        return await self._by_all(Ask("load", model))

    async def unload(self, model: str) -> None:
        """Have no worker serve the model; raises RequestRefused (503) where one is silent."""
        await self._by_all(Ask("unload", model))

    async def _by_all(self, ask: Ask) -> str | None:
        """Do it here and at all peers, one such thing at a time; those that start later find it in a file."""
        async with self._managing():
            self._note(ask)
            asking = asyncio.ensure_future(self._peers.ask(ask, Done, LOAD_WITHIN_S))
            try:
                own = await self._done(ask)
            finally:  # the lock is held until all have answered, also where this one fails
                answers = await asking
        if answers.silent:
            raise come_again(503, f"workers {answers.silent} have not said that they did it; try again", 1)
        return next((done.refused for done in (own, *answers.answered.values()) if done.refused is not None), None)

    async def _respond(self, ask: Ask) -> Counted | Done:
        """Answer a peer."""
        return self._count() if ask.what == "count" else await self._done(ask)

    async def _done(self, ask: Ask) -> Done:
        """Load or unload in this process."""
        if ask.what == "load":
            return Done(await self._own.load(ask.model))
        await self._own.unload(ask.model)
        return Done()

    def _count(self) -> Counted:
        """Return what was counted in this place, and keep it for when this process is no more."""
        counted = self._before.plus(self._own.count())
        _replace(self._membership.file(COUNTS), msgspec.msgpack.encode(counted))
        return counted

    def _left_by(self, number: int) -> Counted:
        """Return what a worker that does not answer told last."""
        try:
            content = self._membership.file(COUNTS, number).read_bytes()
        except FileNotFoundError:
            return NONE
        return msgspec.msgpack.decode(content, type=Counted).ended()

    @asynccontextmanager
    async def _managing(self) -> AsyncIterator[None]:
        """Be the only worker that loads or unloads by hand, or that begins; the lock of one that dies is free.

        One at most waits in a thread: more would take all threads from the one that has the lock and needs some.
        """
        async with self._one_at_a_time, AsyncExitStack() as held:
            file = held.enter_context((self._membership.folder / LOCK).open("w"))
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
            yield

    def _unloaded(self) -> set[str]:
        try:
            return set(msgspec.json.decode((self._membership.folder / UNLOADED).read_bytes(), type=list[str]))
        except FileNotFoundError:
            return set()

    def _note(self, ask: Ask) -> None:
        names = self._unloaded() - {ask.model} if ask.what == "load" else self._unloaded() | {ask.model}
        _replace(self._membership.folder / UNLOADED, msgspec.json.encode(sorted(names)))


def _replace(place: Path, content: bytes) -> None:
    """Write a file that a reader, or a killed writer, leaves old or new; it need not outlive the machine."""
    draft = place.with_name(f"{place.name}.new")
    draft.write_bytes(content)
    draft.replace(place)

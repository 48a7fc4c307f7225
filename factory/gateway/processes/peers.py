"""How the workers of one gateway ask each other: one question and one answer a connection, over private sockets.

The sockets are in a folder that nobody but the gateway's user can enter; nothing of it is on a network.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from factory.gateway.processes.worker_config import Membership

log = logging.getLogger(__name__)

SOCKET = "sock"
GONE = (FileNotFoundError, ConnectionError)
"""How a question ends at a peer that is no more: there is no socket, nobody listens at it, or the connection breaks.

A worker that lives reads a question to its end before it closes the connection, so only one that dies breaks it.
"""
T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True):
    """What a worker wants of its peers."""

    what: Literal["count", "load", "unload"]
    model: str = ""


class Done(msgspec.Struct, frozen=True):
    """That a worker did what was wanted, or why its release was refused."""

    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answers(Generic[T]):
    """What the peers answered, by their numbers. Who is in neither is gone: no process is there any more."""

    answered: dict[int, T]
    silent: list[int]
    """Who is there and did not answer: not in time, or not what was asked."""


class Peers:
    """The other workers; used on one event loop."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    @asynccontextmanager
    async def answered(self, answer: Callable[[Ask], Awaitable[Any]]) -> AsyncIterator[None]:
        """Answer the peers' questions during the body, each on its own."""

        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                ask = msgspec.msgpack.decode(await reader.read(), type=Ask)
                writer.write(msgspec.msgpack.encode(await answer(ask)))
                await writer.drain()
            except ConnectionError:  # who asked is gone
                pass
            except Exception:  # the boundary of a question
                log.exception("a peer's question was not answered")
            finally:
                writer.close()

        server = await asyncio.start_unix_server(respond, self._membership.file(SOCKET))
        try:
            yield
        finally:
            server.close()

    async def ask(self, ask: Ask, kind: type[T], within_s: float) -> Answers[T]:
        """Ask all peers at once; who is silent meets the question later all the same, if it still lives."""
        numbers = self._membership.peers
        answers = await asyncio.gather(*(self._asked(number, ask, kind, within_s) for number in numbers))
        by_number = dict(zip(numbers, answers, strict=True))
        return Answers(
            answered={number: one for number, one in by_number.items() if not isinstance(one, Exception)},
            silent=[
                number for number, one in by_number.items() if isinstance(one, Exception) and not isinstance(one, GONE)
            ],
        )

    async def _asked(self, number: int, ask: Ask, kind: type[T], within_s: float) -> T | Exception:
        """Return a peer's answer, or why there is none: one of `GONE`, or anything else where it is silent."""
        try:
            async with asyncio.timeout(within_s):
                content = await self._exchanged(number, msgspec.msgpack.encode(ask))
                return msgspec.msgpack.decode(content, type=kind)
        except (OSError, msgspec.DecodeError) as error:  # a TimeoutError is an OSError; half an answer is none
            return error

    async def _exchanged(self, number: int, content: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._membership.file(SOCKET, number))
        try:
            writer.write(content)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()

"""The messages of all calls, read within what they together may hold in memory.

gRPC's C core takes a whole message into memory before anybody sees it, and has no bound over all of them that Python
could set. So no message is read of whom the door refuses by the call's metadata, and the others share what there is. A
call that gRPC reads by itself, the fast way, cannot be stopped while it is read: only so many are at once (`Slots`).
Where those are taken, the message is read by us, and of those that come slowly only so many go on (`SlowReads`): what
comes within `_QUICK_S` is bounded by what a network carries in that time.
"""

import asyncio
from typing import Any

import grpc

from factory.gateway.refusal import RequestRefused, come_again

_QUICK_S = 0.05


class Slots:
    """How many calls gRPC reads by itself at once, each in a task of its own."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._reading: set[asyncio.Task[Any]] = set()

    def take(self) -> "asyncio.Task[Any] | None":
        """Take a slot for this task until its message is read or it ends; return it, or None without a free one."""
        task = asyncio.current_task()
        if not self._free or task is None:
            return None
        self._free -= 1
        self._reading.add(task)
        task.add_done_callback(self.give_back)
        return task

    def give_back(self, task: "asyncio.Task[Any]") -> None:
        """Give the task's slot back, once."""
        if task in self._reading:
            self._reading.remove(task)
            task.remove_done_callback(self.give_back)
            self._free += 1


class SlowReads:
    """The messages that take long to come, so many of them at once and for so long."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._within_s = within_s
        self._count = 0

    async def message(self, context: Any) -> bytes:
        """Return the call's message.

        Raises RequestRefused: 503 where too many come slowly, 408 where it takes too long, 400 without a message.
        """
        read = asyncio.ensure_future(context.read())
        try:
            await asyncio.wait((read,), timeout=_QUICK_S)
            if not read.done():
                await self._wait(read)
        finally:
            if not read.done():
                read.cancel()
        if (content := await read) is grpc.aio.EOF:
            raise RequestRefused(400, "the call has no message")
        return content  # type: ignore[no-any-return]  # gRPC has no types

    async def _wait(self, read: "asyncio.Future[Any]") -> None:
        if self._count >= self._most:
            raise come_again(503, f"{self._count} messages come slowly, the limit is {self._most}", 1)
        self._count += 1
        try:
            await asyncio.wait((read,), timeout=self._within_s)
        finally:
            self._count -= 1
        if not read.done():
            raise RequestRefused(408, f"the message was not whole after {self._within_s:g} s")

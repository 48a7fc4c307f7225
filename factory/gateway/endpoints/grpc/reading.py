"""The messages of all calls, read within what they together may hold in memory, each within its time.

gRPC's C core takes a whole message into memory before anybody sees it, and has no bound over all of them that Python
could set; nor could a call that it reads by itself be ended. So each call is handled as a stream: no message is read of
whom the door refuses by the call's metadata, and the others share what there is. What comes within `QUICK_S` is bounded
by what a network carries in that time. Of messages that come slowly only so many go on, a few of each client.
"""

import asyncio
from collections import Counter
from typing import Any

import grpc

from factory.gateway.refusal import RequestRefused, come_again

QUICK_S = 0.05
SHARES = 4
"""One client holds at most a quarter of the messages that may come slowly: it keeps no other out."""


class Reads:
    """Reads messages, `most` slow ones at once and each `within_s` seconds."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most, self._share = most, max(1, most // SHARES)
        self._within_s = within_s
        self._slow: Counter[str] = Counter()

    async def message(self, context: Any, client: str) -> bytes:
        """Return the call's message.

        Raises RequestRefused: 503 where too many come slowly, 408 where it takes too long, 400 without a message.
        """
        read = _Read()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._within_s) as limit:
                timer = loop.call_later(min(QUICK_S, self._within_s), self._slowed, read, client, limit)
                try:
                    content = await context.read()
                finally:
                    timer.cancel()
                    self._end(read, client)
        except TimeoutError:
            raise read.refused or RequestRefused(408, f"the message was not whole after {self._within_s:g} s") from None
        if content is grpc.aio.EOF:
            raise RequestRefused(400, "the call has no message")
        return content  # type: ignore[no-any-return]  # gRPC has no types

    def _slowed(self, read: "_Read", client: str, limit: asyncio.Timeout) -> None:
        """Count a message that did not come quickly; end its reading where there are enough such."""
        if self._slow.total() >= self._most:
            read.refused = come_again(503, f"{self._most} messages come slowly, which is the limit", 1)
        elif self._slow[client] >= self._share:
            read.refused = come_again(503, f"{self._share} of your messages come slowly, which is a client's limit", 1)
        else:
            self._slow[client] += 1
            read.counted = True
            return
        limit.reschedule(asyncio.get_running_loop().time())

    def _end(self, read: "_Read", client: str) -> None:
        if read.counted:
            self._slow[client] -= 1
            if not self._slow[client]:
                del self._slow[client]


class _Read:
    """One message that is being read: whether it is counted as a slow one, and why it must not go on."""

    __slots__ = ("counted", "refused")

    def __init__(self) -> None:
        self.counted = False
        self.refused: RequestRefused | None = None

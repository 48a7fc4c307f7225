"""The same endpoints under any ASGI server, for a platform that insists on its own.

In: the server's `scope`, `receive` and `send`, ASGI 3. Out: the very answers that the gateway's own HTTP core gives.
What a body may take is held here, as the core holds it; connections, heads, slow readers and TLS are the server's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from factory.gateway.http.door import Door
from factory.gateway.http.fields import joined_fields, require_heard
from factory.gateway.http.long_bodies import BodyMemory, LongBody, too_late, too_long
from factory.gateway.http.messages import Answer, Peer, Request, decoded_path
from factory.gateway.limits import Limits
from factory.gateway.refusal import Headers, RequestRefused

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


_LOST = (
    "the server before this application passed over the body, as uvicorn does with httptools where a client offers "
    "another protocol (Upgrade); run it with `--http h11`, or have the client offer none"
)


class _Disconnected(Exception):  # noqa: N818  no error: the client has gone
    pass


class AsgiApplication:
    """An ASGI application that hands whole requests to a door; the door is open between startup and shutdown."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[Door]], limits: Limits) -> None:
        """`opened` starts what answers and all that it needs, and ends it when the server ends."""
        self._opened = opened
        self._limits = limits
        self._body_memory = BodyMemory(limits.max_unfinished_bytes)
        self._door: Door | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or live from the server's startup to its shutdown; a websocket is refused."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        stage = "startup"
        try:
            async with self._opened() as self._door:
                await send({"type": "lifespan.startup.complete"})
                stage = "shutdown"
                await receive()
        except Exception as error:  # the boundary of the process: the server ends it, and says why
            log.exception("the gateway failed at %s", stage)
            await send({"type": f"lifespan.{stage}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})
        finally:
            self._door = None

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._door is None:
            raise RuntimeError("the gateway has not started: run the server with ASGI's lifespan on")
        door, request, answered = self._door, _request(scope), asyncio.get_running_loop().create_future()
        request.send = lambda: None if answered.done() else answered.set_result(None)  # done: the client has gone
        closing: Headers = ()
        try:
            request.headers = joined_fields(scope["headers"])
            require_heard(request.headers)
            request.body = await self._body(door, request.headers, receive)
        except _Disconnected:
            return
        except RequestRefused as refused:  # the rest of the body is never read, so the connection cannot go on
            closing = ((b"connection", b"close"),) if scope["http_version"].startswith("1") else ()
            door.refuse(request, refused)
        else:
            door.handle(request)
        await answered
        assert request.answer  # noqa: S101  for the type checker: `reply` set it
        await _send(scope, send, request.answer, closing)

    async def _body(self, door: Door, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the whole body; raises RequestRefused where it is too long, slow or lost, or who sends it may not."""
        length = headers.get(b"content-length", b"")
        announced = int(length) if length.isdigit() else None
        if announced is not None and announced > self._limits.max_body_bytes:
            raise too_long(f"{announced} bytes", self._limits)
        memory = LongBody(self._body_memory, door.admit)
        try:
            async with asyncio.timeout(self._limits.request_s):
                body = await self._read(memory, headers, receive)
        except TimeoutError:
            raise too_late(self._limits) from None
        finally:
            memory.give_back()
        in_chunks = b"transfer-encoding" in headers
        if len(body) < (announced or 0) or (in_chunks and not body and b"upgrade" in headers):
            raise RequestRefused(501, _LOST)
        return body

    async def _read(self, memory: LongBody, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Disconnected
            body += message.get("body", b"")
            if len(body) > self._limits.max_body_bytes:
                raise too_long("more", self._limits)
            if len(body) > self._limits.known_body_bytes:
                memory.grow(len(body), headers)
            if not message.get("more_body"):
                return bytes(body)


def _request(scope: Message) -> Request:
    """Return the request, of which headers and body are to come, by its path below where the application is mounted."""
    raw = scope.get("raw_path")  # ASGI lets a server leave it out
    path = decoded_path(raw) if raw else scope["path"]
    address, *_ = scope.get("client") or ("",)
    return Request(
        method=scope["method"],
        path=path.removeprefix(scope.get("root_path", "")),
        headers={},
        body=b"",
        keep_alive=True,
        peer=Peer(address, scope.get("scheme", "http")),
        send=lambda: None,
    )


async def _send(scope: Message, send: Send, answer: Answer, more: Headers = ()) -> None:
    headers = [(b"content-type", answer.kind), (b"content-length", b"%d" % len(answer.body)), *answer.headers, *more]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

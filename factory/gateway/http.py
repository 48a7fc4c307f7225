"""The little of HTTP that the gateway needs, on bare ASGI: a request's body within a limit, and an answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from factory.gateway.protocol import RequestRefused, encoded

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 16 * 1024**2

JSON, TEXT, HTML = b"application/json", b"text/plain; version=0.0.4; charset=utf-8", b"text/html; charset=utf-8"


class ClientGone(Exception):  # noqa: N818  nobody is left to be told of an error
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back to the client."""

    body: bytes
    status: int = 200
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Send it whole."""
        length = (b"content-length", str(len(self.body)).encode())
        headers = [(b"content-type", self.kind), length, *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def as_json(content: object, status: int = 200) -> Answer:
    """Return the content as a JSON answer."""
    return Answer(body=encoded(content), status=status)


def as_error(status: int, message: str) -> Answer:
    """Return an error in the protocol's form; where the body was not read to its end, the connection is closed."""
    closing = ((b"connection", b"close"),) if status == 413 else ()
    return Answer(body=encoded({"error": message}), status=status, headers=closing)


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the request's body; raises RequestRefused (413) as soon as it is known to be too large."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise _too_large(f"{int(length)} bytes")
    message = await receive()
    if not message.get("more_body"):
        return _part(message)
    parts = [_part(message)]
    size = len(parts[0])
    while message.get("more_body"):
        message = await receive()
        parts.append(_part(message))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large("more")
    return b"".join(parts)


def _part(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    part: bytes = message.get("body", b"")
    return part


def _too_large(found: str) -> RequestRefused:
    return RequestRefused(413, f"the body has {found}; the limit is {MAX_BODY_BYTES} bytes: send fewer rows at once")

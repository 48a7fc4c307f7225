"""One HTTP/1.1 connection: bytes into whole requests, answers back in their order, and an end for who takes too long.

It is ours, on `httptools`, because it answers a batch of many connections within one turn of the event loop, without a
task for each request. What that costs to keep is in this module: limits, keep-alive, pipelining, slow clients.
"""

import asyncio
import time
from collections import deque
from email.utils import formatdate
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Protocol
from urllib.parse import unquote

import httptools

from factory.gateway.http import Answer, Request
from factory.gateway.limits import Limits

_RESET = pack("ii", 1, 0)


class Door(Protocol):
    """Who answers requests."""

    def handle(self, request: Request) -> None:
        """Answer the request, now or later, and never raise."""

    def refusal(self, status: int, message: str) -> Answer:
        """Return the answer to what never became a request."""


class Connections:
    """All open connections, and the clock that ends those that take too long."""

    def __init__(self, door: Door, limits: Limits) -> None:
        self.door = door
        self.limits = limits
        self.open: set[Connection] = set()
        self.date = _date_line()

    def new(self) -> "Connection":
        """Return the protocol for a connection that was just accepted."""
        return Connection(self)

    async def watch(self, every_s: float = 0.5) -> None:
        """Close who takes too long, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self.date = _date_line()
            now = time.monotonic()
            for connection in list(self.open):
                connection.close_if_late(now)

    async def drain(self, within_s: float) -> None:
        """Let requests that are under way be answered, and close every connection."""
        for connection in list(self.open):
            connection.finish()
        end = time.monotonic() + within_s
        while self.open and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in list(self.open):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection. The methods named `on_…` are the parser's.

    `deaf`: what still comes in is thrown away. `ending`: it closes after the answers that are due. `refused`: it ends
    with a refusal, in the middle of a request. `blocked`: the client does not take what it is sent.
    """

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._handle = connections.door.handle
        self._limits = connections.limits
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._transport: asyncio.Transport
        self._ending = self._deaf = self._refused = self._blocked = False
        self._deadline = time.monotonic() + self._limits.request_s
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = self._head_bytes = self._unfinished_bytes = 0
        self._in_body = self._in_request = False

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        self._transport = transport  # type: ignore[assignment]
        self._all.open.add(self)
        if len(self._all.open) > self._limits.max_connections:
            self._refuse(503, f"{self._limits.max_connections} connections are open, the limit; try again later")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the event loop's signature
        """Forget the connection; answers still to come find nobody."""
        self._deaf = True
        self._waiting.clear()
        self._all.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; whole requests in them are handled before this returns."""
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # answered as if it had not asked for that, and then closed
            self._deaf = True
        except httptools.HttpParserError:
            self._refuse(400, "that is no HTTP/1.1 request")
        if self._in_request and not self._in_body:
            self._unfinished_bytes += len(data)
            self._check_head(self._unfinished_bytes)

    def eof_received(self) -> bool:
        """Answer what was asked before the client closed its side."""
        self._ending = self._deaf = True
        return bool(self._waiting)

    def pause_writing(self) -> None:
        """Read no more from a client that does not take its answers."""
        self._blocked = True
        self._transport.pause_reading()
        self._deadline = time.monotonic() + self._limits.write_s

    def resume_writing(self) -> None:
        """Read on."""
        self._blocked = False
        self._transport.resume_reading()
        self._deadline = time.monotonic() + self._limits.idle_s

    # What the parser says

    def on_message_begin(self) -> None:
        """A request's first byte came."""
        self._begin()
        self._in_request = True
        if not self._blocked:
            self._deadline = time.monotonic() + self._limits.request_s

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value
        self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """Refuse a body that says it is too large before it is sent."""
        self._in_body = True
        self._check_head(self._head_bytes)
        if b"host" not in self._headers and self._parser.get_http_version() == "1.1":
            self._refuse(400, "the request has no Host header, which HTTP/1.1 requires")
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limits.max_body_bytes:
            self._refuse_body(f"{int(length)} bytes")
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_head(self, found: int) -> None:
        if found > self._limits.max_head_bytes:
            self._refuse(431, f"the request's head has more than {self._limits.max_head_bytes} bytes, the limit")

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(part)
        if self._body_bytes > self._limits.max_body_bytes:
            self._refuse_body("more")
        elif not self._deaf:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._deaf:
            return
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=_path(self._url),
            headers=self._headers,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            keep_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade() and not self._ending,
            send=self._send,
        )
        self._body = []
        self._in_body = self._in_request = False
        if not self._blocked:
            self._deadline = time.monotonic() + self._limits.idle_s
        self._waiting.append(request)
        if len(self._waiting) == self._limits.max_pipelined:
            self._transport.pause_reading()
        if not request.keep_alive:
            self._deaf = self._ending = True
        self._handle(request)

    # What goes back

    def _send(self) -> None:
        """Send every answer whose turn it is."""
        waiting, transport = self._waiting, self._transport
        while waiting and (answer := waiting[0].answer) is not None:
            if len(waiting) == self._limits.max_pipelined and not self._blocked:
                transport.resume_reading()
            request = waiting.popleft()
            closing = self._ending and not waiting
            head = answer.head(self._all.date, closing=closing)
            transport.write(head if request.method == "HEAD" else head + answer.body)
            if closing:
                self._end()

    def _end(self) -> None:
        """Close once all is sent; who was refused in the middle of a request may first read why."""
        if not self._refused:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._deadline = time.monotonic() + self._limits.linger_s

    def _refuse_body(self, found: str) -> None:
        limit = self._limits.max_body_bytes
        self._refuse(413, f"the body has {found}; the limit is {limit} bytes: send fewer rows at once")

    def _refuse(self, status: int, message: str) -> None:
        """Answer what never became a request, hear no more, and end the connection once the client can have read it."""
        if self._deaf:
            return
        self._ending = self._deaf = self._refused = True
        refused = Request(method="", path="", headers={}, body=b"", keep_alive=False, send=self._send)
        self._waiting.append(refused)
        refused.reply(self._all.door.refusal(status, message))

    # When it ends

    def close_if_late(self, now: float) -> None:
        """End the connection if its time is over; a request that is being answered takes as long as it takes."""
        if now < self._deadline or (self._waiting and not self._transport.get_write_buffer_size()):
            return
        if self._in_request and not self._deaf:
            self._refuse(408, f"the request was not whole after {self._limits.request_s:g} s")
        elif self._refused or self._blocked:
            self.abort()
        else:
            self._transport.close()

    def finish(self) -> None:
        """Answer what is under way, take nothing new, and close."""
        self._ending = True
        if not self._waiting and not self._in_request:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection as it is; what the client did not take stays in no buffer of the system's either."""
        socket = self._transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._transport.abort()


def _path(url: bytes) -> str:
    """Return the target's path, decoded, in origin or absolute form."""
    if not url.startswith(b"/"):
        url = httptools.parse_url(url).path or b"/"
    path = url.partition(b"?")[0].decode("utf-8", "replace")
    return unquote(path) if "%" in path else path


def _date_line() -> bytes:
    return f"date: {formatdate(usegmt=True)}\r\n".encode()

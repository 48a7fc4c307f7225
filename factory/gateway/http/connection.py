"""One HTTP/1.1 connection: requests to the door in their order, answers back, and an end for who takes too long.

The HTTP core, this module and `parser`, is ours, on `httptools`: it answers a batch of many connections within one turn
of the event loop, without a task for each request, and it bounds what a client may take. Decided by measurement:
Granian's RSGI with the same batch per turn, and nothing of a client guarded, gave 0.8 to 1.1 times as many requests a
second at 64 connections and 0.6 times at 16; raw ASGI gave half. What the core costs to keep is limits, keep-alive,
pipelining and slow clients; where a platform insists on a server, `asgi` puts the same door under it.
"""

import asyncio
import logging
import time
from collections import deque
from email.utils import formatdate
from socket import SO_LINGER, SOL_SOCKET
from struct import pack

from factory.gateway.http.door import Door
from factory.gateway.http.long_bodies import BodyMemory
from factory.gateway.http.messages import NOBODY, Answer, Peer, Request
from factory.gateway.http.parser import Incoming
from factory.gateway.limits import Limits
from factory.gateway.refusal import RequestRefused

log = logging.getLogger(__name__)

_RESET = pack("ii", 1, 0)
_HTTP_1_1_REQUIRED = 13
_WHY = b"this gateway speaks HTTP/1.1"
_GOODBYE_TO_HTTP2 = pack(">xxxBxI", 4, 0) + pack(">xxBBxIII", 8 + len(_WHY), 7, 0, 0, _HTTP_1_1_REQUIRED) + _WHY
"""Empty settings, and GOAWAY before any stream was heard: RFC 9113, 6.5 and 6.8."""
_SLICE = 4096
"""So many bytes are looked at before requests in them are answered; of a body that was announced, all of it."""


class _Raw(Answer, frozen=True, kw_only=True):
    """Bytes for a client that speaks no HTTP/1.1."""

    def head(self, date: bytes, *, closing: bool) -> bytes:  # noqa: ARG002  as any answer's
        """Return nothing."""
        return b""


class Connections:
    """All open connections, and the clock that ends those that take too long."""

    def __init__(self, door: Door, limits: Limits) -> None:
        self.door = door
        self.limits = limits
        self.body_memory = BodyMemory(limits.max_unfinished_bytes)
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
                try:
                    connection.close_if_late(now)
                except Exception:  # the boundary of a connection: the clock of the others goes on
                    log.exception("a connection could not be ended")

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
    """One client's connection.

    `discarding`: what still comes in is thrown away. `ending`: it closes after the answers that are due. `refused`: it
    ends with a refusal, in the middle of a request. `blocked`: the client does not take what it is sent.
    `client_ended`: the client has closed its side.
    """

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._handle = connections.door.handle
        self._limits = connections.limits
        self._most = self._limits.max_pipelined
        self._incoming = Incoming(self._limits, connections.body_memory, connections.door.admit, self._send)
        self._pending = b""
        self._waiting: deque[Request] = deque()
        self._transport: asyncio.Transport
        self._peer = NOBODY
        self._ending = self._discarding = self._refused = self._blocked = self._client_ended = self._reading = False
        self._deadline = time.monotonic() + self._limits.request_s

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        self._transport = transport  # type: ignore[assignment]
        self._peer = _peer(transport)
        self._all.open.add(self)
        if len(self._all.open) > self._limits.max_connections:
            limit = self._limits.max_connections
            self._refuse(RequestRefused(503, f"{limit} connections are open, the limit; try again later"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the event loop's signature
        """Forget the connection; answers still to come find nobody."""
        self._discarding = True
        self._pending = b""
        self._waiting.clear()
        self._incoming.close()
        self._all.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; whole requests in them are handled before this returns, as many as may wait."""
        if not self._discarding:
            self._pending = self._pending + data if self._pending else data
            self._read_on()

    def eof_received(self) -> bool:
        """Answer what was asked before the client closed its side."""
        self._client_ended = True
        self._read_on()
        return bool(self._waiting or self._left)

    def pause_writing(self) -> None:
        """Read no more from a client that does not take its answers."""
        self._blocked = True
        self._transport.pause_reading()
        self._deadline = time.monotonic() + self._limits.write_s

    def resume_writing(self) -> None:
        """Read on."""
        self._blocked = False
        self._deadline = time.monotonic() + self._limits.idle_s
        if len(self._waiting) < self._most:
            self._transport.resume_reading()
        self._read_on()

    # What comes in

    @property
    def _left(self) -> bool:
        """Whether something that came is not handled yet."""
        incoming = self._incoming
        return not self._discarding and bool(self._pending or incoming.whole or incoming.refused)

    def _read_on(self) -> None:
        """Handle what came, as long as answers can be sent and not too many are awaited."""
        if self._reading:  # by an answer that was given at once
            return
        self._reading = True
        incoming = self._incoming
        while not self._blocked and len(self._waiting) < self._most:
            if incoming.whole:
                self._take(incoming.whole.popleft())
            elif self._discarding or not (self._pending or incoming.refused):
                break
            elif incoming.refused:
                self._refuse(incoming.refused)
            else:
                self._feed(incoming)
        self._reading = False
        if self._client_ended and not self._left:
            self._ending = self._discarding = True
            if not self._waiting:
                self._transport.close()

    def _feed(self, incoming: Incoming) -> None:
        part, self._pending = self._pending, b""
        if len(part) > _SLICE:
            size = max(_SLICE, incoming.body_left)
            part, self._pending = part[:size], part[size:]
        incoming.feed(part)
        if incoming.whole:
            self._deadline = time.monotonic() + self._limits.idle_s
        if incoming.in_request:
            if incoming.began:
                self._deadline = time.monotonic() + self._limits.request_s
            if incoming.wants_to_go_on and not incoming.refused and not self._waiting:
                incoming.wants_to_go_on = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take(self, request: Request) -> None:
        request.peer = self._peer
        if self._ending or not request.keep_alive:
            self._stop_reading()
        self._waiting.append(request)
        if len(self._waiting) == self._most:
            self._transport.pause_reading()
        self._handle(request)

    def _stop_reading(self) -> None:
        self._discarding = self._ending = True
        self._pending = b""
        self._incoming.close()

    # What goes back

    def _send(self) -> None:
        """Send every answer whose turn it is, and read on."""
        waiting, transport = self._waiting, self._transport
        while waiting and (answer := waiting[0].answer) is not None:
            if len(waiting) == self._most and not self._blocked:
                transport.resume_reading()
            request = waiting.popleft()
            closing = self._ending and not waiting
            head = answer.head(self._all.date, closing=closing)
            transport.write(head if request.method == "HEAD" else head + answer.body)
            if closing:
                self._end()
        if self._left:
            self._read_on()

    def _end(self) -> None:
        """Close once all is sent; who was refused in the middle of a request may first read why."""
        if not self._refused:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._deadline = time.monotonic() + self._limits.linger_s

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer what never became a request, hear no more, and end the connection once the client can have read it."""
        incoming = self._incoming
        request = Request(
            method=incoming.method,
            path=incoming.path,
            headers=incoming.headers,
            body=b"",
            keep_alive=False,
            peer=self._peer,
            send=lambda: None,
        )
        self._stop_reading()
        self._refused = True
        self._all.door.refuse(request, refused)
        if incoming.is_http2:
            request.answer = _Raw(body=_GOODBYE_TO_HTTP2)
        self._waiting.append(request)
        self._send()

    # When it ends

    def close_if_late(self, now: float) -> None:
        """End the connection if its time is over; a request that is being answered takes as long as it takes."""
        if now < self._deadline or (self._waiting and not self._transport.get_write_buffer_size()):
            return
        if self._refused or self._blocked:
            self.abort()
        elif self._incoming.in_request and not self._discarding:
            self._incoming.refuse_late()
            self._read_on()
        else:
            self._transport.close()

    def finish(self) -> None:
        """Answer what is under way, take nothing new, and close."""
        self._ending = True
        if not self._waiting and not self._incoming.in_request:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection as it is; what the client did not take stays in no buffer of the system's either."""
        socket = self._transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._transport.abort()


def _peer(transport: asyncio.BaseTransport) -> Peer:
    name = transport.get_extra_info("peername")
    encrypted = transport.get_extra_info("sslcontext") is not None
    return Peer(str(name[0]) if isinstance(name, tuple) else "", "https" if encrypted else "http")


def _date_line() -> bytes:
    return f"date: {formatdate(usegmt=True)}\r\n".encode()

"""The bytes of one HTTP/1.1 connection into whole requests, within limits; it answers nothing and waits for nothing.

Of a request that is not whole there is never more in memory than its limits say: its head, its body, and whatever the
parser keeps of a line or of a chunk's end that has not ended yet.
"""

from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import httptools

from factory.gateway.http.messages import Request
from factory.gateway.limits import Limits
from factory.gateway.refusal import RequestRefused, come_again


class Room:
    """Memory that the unfinished bodies of all connections share."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._taken = 0

    def take(self, count: int) -> None:
        """Take so many bytes; raises RequestRefused (503) where there are not so many left."""
        if self._taken + count > self._limit:
            raise come_again(503, f"bodies of {self._taken} bytes are under way, the limit is {self._limit}", 1)
        self._taken += count

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        self._taken -= count


class Incoming:
    """Requests out of one connection's bytes. The methods named `on_…` are the parser's.

    `refused`: there is no request to be made of what came; nothing more is taken. `began`: a request's first byte was
    in the last piece.
    """

    def __init__(
        self, limits: Limits, room: Room, admit: Callable[[Mapping[bytes, bytes]], None], send: Callable[[], None]
    ) -> None:
        """`admit` raises RequestRefused where the headers give no right to a long body; `send` is the requests' own."""
        self.whole: deque[Request] = deque()
        self.refused: RequestRefused | None = None
        self.in_request = self.began = False
        self._limits = limits
        self._room = room
        self._admit = admit
        self._send = send
        self._parser = httptools.HttpRequestParser(self)
        self._held_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._body_bytes = self._head_bytes = self._silent_bytes = 0
        self._in_body = False
        self.body_left = 0
        """Bytes of the body that the head announced and that have not come."""
        self.wants_to_go_on = False
        """Whether the client waits to be told that it may send the body."""

    @property
    def path(self) -> str:
        """What is asked for, as far as it is known."""
        try:
            return _path(self._url)
        except httptools.HttpParserError:
            return ""

    def feed(self, part: bytes) -> None:
        """Take the next bytes."""
        self.began = False
        self._silent_bytes += len(part)
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserUpgrade:  # answered as if it had not asked for that, and then closed
            return
        except httptools.HttpParserError:
            self._refuse(400, "that is no HTTP/1.1 request")
        if self.in_request:  # neither a head nor a chunk's trailer may go on for ever
            self._check_head(self._silent_bytes)

    def refuse_late(self) -> None:
        """Refuse the request that has begun, for it takes too long."""
        self._refuse(408, f"the request was not whole after {self._limits.request_s:g} s")

    def close(self) -> None:
        """Forget what is not whole."""
        self.whole.clear()
        self._give_back()

    # What the parser says

    def on_message_begin(self) -> None:
        """A request's first byte came."""
        self._begin()
        self.in_request = self.began = True

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what comes after the body is none, lest it say something else than what a proxy saw."""
        if self._in_body:
            return
        name = name.lower()
        if name == b"host" and name in self._headers:
            self._refuse(400, "the request has two Host headers")
        self._headers[name] = value
        self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """Refuse a body that says it is too large before it is sent."""
        self._in_body = True
        self._check_head(self._head_bytes)
        headers = self._headers
        if b"host" not in headers and self._parser.get_http_version() == "1.1":
            self._refuse(400, "the request has no Host header, which HTTP/1.1 requires")
        if b"transfer-encoding" in headers and self._parser.get_http_version() != "1.1":
            self._refuse(400, "Transfer-Encoding is of HTTP/1.1; send Content-Length")
        length = headers.get(b"content-length", b"0")
        self.body_left = int(length) if length.isdigit() else 0
        if self.body_left > self._limits.max_body_bytes:
            self._refuse_body(f"{self.body_left} bytes")
        self.wants_to_go_on = headers.get(b"expect", b"").lower() == b"100-continue"

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._silent_bytes = 0
        self.body_left -= len(part)
        if self.refused:
            return
        self._body_bytes += len(part)
        if self._body_bytes > self._limits.max_body_bytes:
            self._refuse_body("more")
        elif self._body_bytes > self._limits.known_body_bytes:
            self._hold()
        if not self._body:
            self._body = part
        elif isinstance(self._body, bytearray):
            self._body += part
        else:
            self._body = bytearray(self._body + part)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.in_request = False
        if self.refused:
            return
        self._give_back()
        parser = self._parser
        self.whole.append(
            Request(
                method=parser.get_method().decode("latin-1"),
                path=_path(self._url),
                headers=self._headers,
                body=bytes(self._body),
                keep_alive=parser.should_keep_alive() and not parser.should_upgrade(),
                send=self._send,
            )
        )
        self._body = b""

    def _hold(self) -> None:
        """Take room for a long body, which is not for everybody."""
        try:
            if not self._held_bytes:
                self._admit(self._headers)
            self._room.take(self._body_bytes - self._held_bytes)
        except RequestRefused as refused:
            self.refused = refused
        else:
            self._held_bytes = self._body_bytes

    def _give_back(self) -> None:
        if self._held_bytes:
            self._room.give_back(self._held_bytes)
            self._held_bytes = 0

    def _check_head(self, found: int) -> None:
        if found > self._limits.max_head_bytes:
            self._refuse(431, f"the request's head has more than {self._limits.max_head_bytes} bytes, the limit")

    def _refuse_body(self, found: str) -> None:
        limit = self._limits.max_body_bytes
        self._refuse(413, f"the body has {found}; the limit is {limit} bytes: send fewer rows at once")

    def _refuse(self, status: int, message: str) -> None:
        if not self.refused:
            self.refused = RequestRefused(status, message)


def _path(url: bytes) -> str:
    """Return the target's path, in origin or absolute form, decoded but for `/`: no part of a path becomes two."""
    if not url.startswith(b"/"):
        url = httptools.parse_url(url).path or b"/"
    path = url.partition(b"?")[0].decode("utf-8", "replace")
    return unquote(path.replace("%2F", "%252F").replace("%2f", "%252f")) if "%" in path else path

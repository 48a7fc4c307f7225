"""The bytes of one HTTP/1.1 connection into whole requests, within limits; it answers nothing and waits for nothing.

Of a request that is not whole there is never more in memory than its limits say: its head, its body, and whatever the
parser keeps of a line or of a chunk's end that has not ended yet.
"""

from collections import deque
from collections.abc import Callable, Mapping

import httptools

from factory.gateway.http.fields import add_field, require_heard, waits_to_go_on
from factory.gateway.http.long_bodies import BodyMemory, LongBody, too_late, too_long
from factory.gateway.http.messages import Request, decoded_path
from factory.gateway.limits import Limits
from factory.gateway.refusal import RequestRefused

_WRONG_VERSION = "Invalid HTTP version"
"""As the parser says it."""


class Incoming:
    """Requests out of one connection's bytes. The methods named `on_…` are the parser's.

    `refused`: there is no request to be made of what came; nothing more is taken. `is_http2`: for it is HTTP/2.
    `began`: a request's first byte was in the last piece. `headers`: of the last request, as far as it has come.
    """

    def __init__(
        self,
        limits: Limits,
        body_memory: BodyMemory,
        admit: Callable[[Mapping[bytes, bytes]], None],
        send: Callable[[], None],
    ) -> None:
        """`admit` raises RequestRefused where the headers give no right to a long body; `send` is the requests' own."""
        self.whole: deque[Request] = deque()
        self.refused: RequestRefused | None = None
        self.in_request = self.began = self.is_http2 = False
        self._limits = limits
        self._long_body = LongBody(body_memory, admit)
        self._send = send
        self._parser = httptools.HttpRequestParser(self)
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self.headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._body_bytes = self._head_bytes = self._silent_bytes = 0
        self._in_body = False
        self.body_left = 0
        """Bytes of the body that the head announced and that have not come."""
        self.wants_to_go_on = False
        """Whether the client waits to be told that it may send the body."""

    @property
    def method(self) -> str:
        """What is to be done, as far as it is known."""
        return str(self._parser.get_method().decode("latin-1")) if self._url else ""

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
        except httptools.HttpParserUpgrade as offer:
            self.feed(self._offer_declined() + part[offer.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_parsing(str(error))
        if self.in_request:  # neither a head nor a chunk's trailer may go on for ever
            self._check_head(self._silent_bytes)

    def _offer_declined(self) -> bytes:
        """Return the head of a request that offered to go on in another protocol, without that offer.

        It is declined by going on in this one, RFC 9110, 7.8. The parser ends where the other protocol would begin, so
        a new one reads the same head, and the body after it.
        """
        method, version = self._parser.get_method(), self._parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(501, "CONNECT is for proxies, and this is none")
        fields = [b"%b: %b\r\n" % field for field in self.headers.items() if field[0] != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (b"GET" if self.refused else method, self._url, version, b"".join(fields))

    def _refuse_parsing(self, reason: str) -> None:
        if self._parser.get_method() == b"PRI":
            self.is_http2 = True
            self._refuse(505, "that is HTTP/2; ask with HTTP/1.1")
        elif reason == _WRONG_VERSION:
            self._refuse_version()
        else:
            self._refuse(400, f"that is no HTTP/1.1 request: {reason}")

    def _refuse_version(self, version: str = "") -> None:
        if version != "1.0":
            self._refuse(505, "that version of HTTP is not spoken here; ask with HTTP/1.1")
        elif b"transfer-encoding" in self.headers:
            self._refuse(400, "Transfer-Encoding is of HTTP/1.1; send Content-Length")

    def refuse_late(self) -> None:
        """Refuse the request that has begun, for it takes too long."""
        self.refused = self.refused or too_late(self._limits)

    def close(self) -> None:
        """Forget what is not whole."""
        self.whole.clear()
        self._long_body.give_back()

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
        self._head_bytes += len(name) + len(value)
        if name not in self.headers:
            self.headers[name] = value
            return
        try:
            add_field(self.headers, name, value)
        except RequestRefused as refused:
            self.refused = self.refused or refused

    def on_headers_complete(self) -> None:
        """Refuse a body that says it is too large before it is sent."""
        self._in_body = True
        self._check_head(self._head_bytes)
        headers, version = self.headers, "1.1"
        if b"connection" in headers or not self._parser.should_keep_alive():  # as in 1.1 a connection is kept
            version = self._parser.get_http_version()
        if version != "1.1":
            self._refuse_version(version)
        elif b"host" not in headers:
            self._refuse(400, "the request has no Host header, which HTTP/1.1 requires")
        length = headers.get(b"content-length", b"0")
        self.body_left = int(length) if length.isdigit() else 0
        try:
            require_heard(headers)
            if self.body_left > self._limits.max_body_bytes:
                raise too_long(f"{self.body_left} bytes", self._limits)
        except RequestRefused as refused:
            self.refused = self.refused or refused
        if b"expect" in headers:
            self.wants_to_go_on = waits_to_go_on(headers) and version == "1.1"

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._silent_bytes = 0
        self.body_left -= len(part)
        if self.refused:
            return
        self._body_bytes += len(part)
        if self._body_bytes > self._limits.max_body_bytes:
            self.refused = too_long("more", self._limits)
        elif self._body_bytes > self._limits.known_body_bytes:
            self._take_memory()
        if not self._body:
            self._body = part
        elif isinstance(self._body, bytearray):
            self._body += part
        else:
            self._body = bytearray(self._body + part)

    def on_message_complete(self) -> None:
        """The request is whole, unless the parser only stopped at its head for an offer of another protocol."""
        if self._parser.should_upgrade():
            return
        self.in_request = False
        if self.refused:
            return
        self._long_body.give_back()
        parser = self._parser
        self.whole.append(
            Request(
                method=parser.get_method().decode("latin-1"),
                path=_path(self._url),
                headers=self.headers,
                body=bytes(self._body),
                keep_alive=parser.should_keep_alive(),
                send=self._send,
            )
        )
        self._body = b""

    def _take_memory(self) -> None:
        """Take memory for a long body, which is not for everybody."""
        try:
            self._long_body.grow(self._body_bytes, self.headers)
        except RequestRefused as refused:
            self.refused = refused

    def _check_head(self, size: int) -> None:
        if size > self._limits.max_head_bytes:
            self._refuse(431, f"the request's head has more than {self._limits.max_head_bytes} bytes, the limit")

    def _refuse(self, status: int, message: str) -> None:
        if not self.refused:
            self.refused = RequestRefused(status, message)


def _path(url: bytes) -> str:
    """Return the path of the target, in origin or absolute form; `*` is the server."""
    return decoded_path(url if url.startswith(b"/") or url == b"*" else httptools.parse_url(url).path or b"/")

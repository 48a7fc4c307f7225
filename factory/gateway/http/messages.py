"""HTTP as the endpoints see it: a request that is whole, and the answer that goes back on its connection."""

from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from factory.gateway.http.content import compressed
from factory.gateway.http.fields import answer_coding
from factory.gateway.http.trace import NO_TRACE, Trace
from factory.gateway.refusal import Headers

JSON, BINARY = b"application/json", b"application/octet-stream"
PROBLEM = b"application/problem+json"
HTML = b"text/html; charset=utf-8"

COMPRESSED_FROM_BYTES = 16 * 1024
"""A shorter answer is not worth the time that compressing it takes."""

_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_encoder = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back to the client."""

    body: bytes
    status: int = 200
    kind: bytes = JSON
    headers: Headers = ()

    def head(self, date: bytes, *, closing: bool) -> bytes:
        """Return status line and headers, up to the empty line; `date` is a whole header line."""
        more = [b"%b: %b\r\n" % header for header in self.headers]
        if closing:
            more.append(b"connection: close\r\n")
        return b"%b%bcontent-type: %b\r\n%bcontent-length: %d\r\n\r\n" % (
            _STATUS[self.status],
            date,
            self.kind,
            b"".join(more),
            len(self.body),
        )

    def coded(self, accept_encoding: bytes | None) -> "Answer":
        """Return it as a client that says so likes it best: compressed, where it is long."""
        if accept_encoding is None or any(name == b"content-encoding" for name, _ in self.headers):
            return self
        coding = answer_coding(accept_encoding, is_long=len(self.body) >= COMPRESSED_FROM_BYTES)
        if coding in (b"identity", b""):
            return self
        headers = (*self.headers, (b"content-encoding", coding), (b"vary", b"accept-encoding"))
        return msgspec.structs.replace(self, body=compressed(self.body, coding), headers=headers)


class Peer(NamedTuple):
    """Who is at the other end of a connection, a client or a proxy: the address, empty where there is none."""

    address: str
    scheme: str
    """`https` where the connection is encrypted, else `http`."""


NOBODY = Peer("", "http")


class Request(msgspec.Struct, kw_only=True):
    """One whole request. It is answered once, now or later, on the event loop: `reply`."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    """By name in lower case; of a header given twice, both as one list."""
    body: bytes
    keep_alive: bool
    send: Callable[[], None]
    """Called once the answer is there."""
    peer: Peer = NOBODY
    trace: Trace = NO_TRACE
    beside: Headers = ()
    """What its answer has among its headers, whatever it says."""
    answer: Answer | None = None

    def reply(self, answer: Answer) -> None:
        """Answer; it is sent as soon as the connection's earlier requests are answered."""
        if b"accept-encoding" in self.headers:
            answer = answer.coded(self.headers[b"accept-encoding"])
        if self.beside:
            answer = msgspec.structs.replace(answer, headers=(*answer.headers, *self.beside))
        self.answer = answer
        self.send()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as problem details, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class ErrorBody(msgspec.Struct, frozen=True):
    """An error in the form of the Open Inference Protocol."""

    error: str


def decoded_path(target: bytes) -> str:
    """Return the path of a request's target, decoded but for `/`: no part of a path becomes two."""
    path = target.partition(b"?")[0].decode("utf-8", "replace")
    return unquote(path.replace("%2F", "%252F").replace("%2f", "%252f")) if "%" in path else path


def encoded(content: object) -> bytes:
    """Return the content as JSON."""
    return _encoder.encode(content)


def as_json(content: object, status: int = 200, headers: Headers = ()) -> Answer:
    """Return the content as a JSON answer."""
    return Answer(body=encoded(content), status=status, headers=headers)


def as_problem(status: int, message: str, headers: Headers = ()) -> Answer:
    """Return an error as problem details, RFC 9457."""
    problem = Problem(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=message)
    return Answer(body=encoded(problem), status=status, kind=PROBLEM, headers=headers)


def as_error(status: int, message: str, headers: Headers = ()) -> Answer:
    """Return an error in the protocol's form."""
    return as_json(ErrorBody(message), status, headers)

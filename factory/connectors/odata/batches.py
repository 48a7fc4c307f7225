"""`$batch`: changes in, one document of parts out; the answer's parts in, what was answered to each change out.

Each change is a change set of its own (OData 2.0, "Batch Processing"; 4.01, 11.7.7): one that is refused takes no other
with it.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from factory.errors import ServiceGarbled

_LINE = b"\r\n"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One call that changes something; the path is beneath the service's root."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PartReply:
    """What was answered to one change; names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")


def encoded(changes: Sequence[Change]) -> tuple[str, bytes]:
    """Return the kind of content and the body of a batch."""
    batch = f"batch_{secrets.token_hex(12)}"
    parts = [_change_set(change, number) for number, change in enumerate(changes, 1)]
    body = b"".join(b"--%b\r\n%b\r\n" % (batch.encode(), part) for part in parts)
    return f"multipart/mixed; boundary={batch}", body + b"--%b--\r\n" % batch.encode()


def decoded(content_type: str, body: bytes) -> list[PartReply]:
    """Return what was answered to each change, in order; raises ServiceGarbled where that cannot be told."""
    replies: list[PartReply] = []
    for part in _parts(content_type, body):
        headers, content = _split(part)
        kind = headers.get("content-type", "")
        inner = list(_parts(kind, content)) if kind.startswith("multipart/mixed") else [part]
        if len(inner) != 1:
            raise ServiceGarbled(f"a change set of one change is answered in {len(inner)} parts")
        replies.append(_reply(_split(inner[0])[1]))
    return replies


def _change_set(change: Change, number: int) -> bytes:
    mark = f"changeset_{secrets.token_hex(12)}".encode()
    headers = {**change.headers, "Content-Length": str(len(change.body))}
    request = f"{change.method} {change.path} HTTP/1.1\r\n"
    request += "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    about = f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n"
    inside = b"--%b\r\n%b\r\n%b\r\n%b\r\n--%b--\r\n" % (mark, about.encode(), request.encode(), change.body, mark)
    return b"Content-Type: multipart/mixed; boundary=%b\r\nContent-Length: %d\r\n\r\n%b" % (mark, len(inside), inside)


def _parts(content_type: str, body: bytes) -> list[bytes]:
    named = re.search(r'boundary="?([^";\s]+)"?', content_type)
    pieces = re.split(rb"(?:\A|\r?\n)--" + re.escape(named[1].encode()) + rb"(?=\r?\n|--)", body) if named else []
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ServiceGarbled(f"the answer to a batch is none, or was cut short: {body[:200].decode(errors='replace')}")
    return [re.sub(rb"\A\r?\n", b"", piece) for piece in pieces[1:-1]]


def _split(part: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers of a part, and its content."""
    head, _, content = part.partition(_LINE * 2)
    lines = (line.partition(":") for line in head.decode("utf-8", errors="replace").splitlines())
    return {name.strip().lower(): text.strip() for name, sign, text in lines if sign}, content


def _reply(http: bytes) -> PartReply:
    line, _, rest = http.lstrip().partition(_LINE)
    said = re.match(rb"HTTP/\d\.\d (\d{3})", line)
    if not said:
        raise ServiceGarbled(f"a part of the answer to a batch has no status: {http[:200].decode(errors='replace')}")
    headers, body = _split(rest)
    length = headers.get("content-length", "")
    return PartReply(status=int(said[1]), headers=headers, body=body[: int(length)] if length.isdigit() else body)

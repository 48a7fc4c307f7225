"""By what names a client and its tracing know a request: `X-Request-Id`, and W3C Trace Context."""

import re
from collections.abc import Mapping

import msgspec

from factory.gateway.refusal import Headers

REQUEST_ID = re.compile(rb"[\x21-\x7e]{0,128}")
"""What can be one; a proxy may send an empty one, which names nothing."""
_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]{0,200})?"
)
_VERSION_0_BYTES = 55
_STATE = re.compile(rb"[\x20-\x7e\t]{0,512}")
NAMES = frozenset((b"x-request-id", b"traceparent"))
"""The fields that name a request."""


class Trace(msgspec.Struct, frozen=True):
    """The names of one request, each empty where the client gave none; `trace_state` is there beside a parent alone."""

    request_id: str = ""
    trace_parent: str = ""
    trace_state: str = ""

    @property
    def trace_id(self) -> str:
        """The trace, 32 hexadecimal digits; empty where there is none."""
        return self.trace_parent[3:35]

    @property
    def headers(self) -> Headers:
        """What an answer repeats, so that a client and its proxies find it by the same names."""
        said = ((b"x-request-id", self.request_id), (b"traceparent", self.trace_parent))
        return tuple((name, value.encode()) for name, value in said if value)


NO_TRACE = Trace()


def trace_of(fields: Mapping[bytes, bytes]) -> Trace:
    """Return a request's names, from its header fields or a call's metadata; what can be no name is none.

    A parent that is none is passed over, as the specification wants it: a caller's tracing must break no call.
    """
    parent = fields.get(b"traceparent", b"").strip()
    if not _PARENT.fullmatch(parent) or (parent.startswith(b"00") and len(parent) > _VERSION_0_BYTES):
        parent = b""
    state = fields.get(b"tracestate", b"") if parent else b""
    given = fields.get(b"x-request-id", b"")
    request_id = given.decode() if REQUEST_ID.fullmatch(given) else ""
    if not parent and not request_id:
        return NO_TRACE
    return Trace(
        request_id,
        parent.decode(),
        state.decode() if _STATE.fullmatch(state) else "",
    )

"""Which pages of other origins a browser may let ask the gateway: CORS, as the Fetch standard has it.

Credentials of the browser (cookies, certificates) are never asked for: a page sends a key itself.
"""

import re
from collections.abc import Sequence

from factory.errors import SettingRefused
from factory.gateway.http.messages import Answer, Request
from factory.gateway.refusal import Headers, RequestRefused, shown

EVERY_ORIGIN = "*"
_ORIGIN = re.compile(r"https?://[\w.\-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?", re.ASCII | re.IGNORECASE)
_ASKED = b"access-control-request-method"
_ALLOWED = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-encoding, content-type, inference-header-content-length, traceparent, tracestate, "
        b"x-api-key, x-request-id",
    ),
    (b"access-control-max-age", b"600"),
)
_READABLE = b"inference-header-content-length, retry-after, traceparent, x-request-id"


class Cors:
    """The origins whose pages may ask; none where nobody named any."""

    def __init__(self, origins: Sequence[str]) -> None:
        """Raises SettingRefused on what is no origin."""
        for origin in origins:
            if origin != EVERY_ORIGIN and not _ORIGIN.fullmatch(origin):
                raise SettingRefused(
                    f"{origin!r} is no origin for --cors-origin; give scheme, host and port alone, "
                    "https://app.example.com, or * for all"
                )
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self._every = EVERY_ORIGIN in origins

    def headers(self, request: Request) -> Headers:
        """Return what lets the page that asked read the answer; nothing for another page, or for no page."""
        origin = request.headers.get(b"origin")
        if origin is None or not self._origins:
            return ()
        if self._every:
            allowed: Headers = ((b"access-control-allow-origin", b"*"),)
        elif origin in self._origins:
            allowed = ((b"access-control-allow-origin", origin), (b"vary", b"origin"))
        else:
            return ((b"vary", b"origin"),)
        return (*allowed, (b"access-control-expose-headers", _READABLE))

    def preflight(self, request: Request) -> Answer | None:
        """Return the answer to a browser that asks whether a page may ask; None where it is no such question.

        Raises RequestRefused (403) for an origin that was not named.
        """
        if request.method != "OPTIONS" or _ASKED not in request.headers or b"origin" not in request.headers:
            return None
        origin = request.headers[b"origin"]
        if not self._every and origin not in self._origins:
            said = shown(origin.decode("latin-1"))
            raise RequestRefused(403, f"pages of {said} may not ask; the gateway's --cors-origin names those that may")
        return Answer(body=b"", headers=_ALLOWED)

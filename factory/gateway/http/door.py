"""The door between HTTP and what is answered: whoever serves HTTP gives it whole requests, and sends its answers.

On one side stand the gateway's own HTTP core (`connection`) and the adapter to any ASGI server (`asgi`), on the other
the endpoints. Neither knows the other.
"""

from collections.abc import Mapping
from typing import Protocol

from factory.gateway.http.messages import Request
from factory.gateway.refusal import RequestRefused


class Door(Protocol):
    """Who answers requests; asked on one event loop."""

    def handle(self, request: Request) -> None:
        """Answer the request, now or later, through `Request.reply`; never raise."""

    def refuse(self, request: Request, refused: RequestRefused) -> None:
        """Answer what never became a whole request."""

    def admit(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise RequestRefused where a request with these headers would be refused, whatever it asks."""

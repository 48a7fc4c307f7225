"""Where a person is told that something happened: the log, and a webhook if there is one."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

log = logging.getLogger(__name__)


class Alerts(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Tells people. An alert that cannot be delivered is logged and harms nothing: what it is about has happened."""

    webhook: str | None = Field(default=None, description="http or https address that takes alerts as JSON by POST")
    timeout_s: float = Field(default=10.0, description="how long the webhook may take")

    @field_validator("webhook")
    @classmethod
    def _is_web(cls, address: str | None) -> str | None:
        if address is not None and not address.startswith(("http://", "https://")):
            raise ValueError(f"webhook {address!r} is no http or https address")
        return address

    def tell(self, kind: str, text: str, **facts: Any) -> bool:
        """Tell people; return whether a webhook took it, or there is none.

        The webhook gets `{"kind", "text", "at", …facts}`; `text` is what chat programs show.
        """
        log.warning("%s: %s", kind, text)
        if self.webhook is None:
            return True
        message = {**facts, "kind": kind, "text": text, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        return self._posted(self.webhook, message)

    def _posted(self, address: str, message: Mapping[str, Any]) -> bool:
        body = json.dumps(message, default=str).encode()
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310  checked
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s):  # noqa: S310  checked above
                return True
        except (OSError, ValueError) as error:
            # Its address may hold a secret, so it is not told.
            log.error("the alert %r could not be delivered to the webhook: %s", message["kind"], _why(error))
            return False


def _why(error: Exception) -> str:
    return f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__

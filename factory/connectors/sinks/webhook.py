"""Decisions to a web address, one a call, signed as the Standard Webhooks specification says (standardwebhooks.com).

    webhook-id         the message's key, the same at each try: who has had it takes it for the same
    webhook-timestamp  seconds since 1970, of this try
    webhook-signature  v1,<base64 of HMAC-SHA256 over id.timestamp.body>, one for each secret
    idempotency-key    the key again, for gateways that look for it there

The body is `{"type": "decision.made", "timestamp": …, "data": {…}}`, or `decision.withdrawn`. Nobody can be asked what
it has had: a message without an answer is sent again, and a receiver must take a key once.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar

from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, Result, accepted, busy, not_taken, refused, unknown
from factory.connectors.sinks.sink import Job
from factory.connectors.web.access import LOOPBACK, secret_of
from factory.errors import (
    LineError,
    ServiceBusy,
    ServiceError,
    ServiceRefused,
    ServiceUnreachable,
)
from factory.errors.masking import ENVIRONMENT, keep_secret

_OF_THE_MESSAGE = (400, 406, 410, 413, 415, 422)
"""What is answered to a message that will not do; any other refusal is about the address, the access or the moment."""
_PREFIX = "whsec_"


@dataclass(frozen=True, kw_only=True)
class WebhookOptions:
    """What a webhook asks for beside its address."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    secret: str
    """The variable that holds the signing secret, `env:NAME`; several, with spaces between, while one is replaced."""
    at_once: int = 4
    """How many calls are made at the same time."""
    timeout_s: float = 30.0
    """How long an answer may take."""

    def __post_init__(self) -> None:
        """Refuse a secret that is written into the file, and numbers that cannot be."""
        if not self.secret.startswith(ENVIRONMENT) or self.secret == ENVIRONMENT:
            raise ValueError("secret must be env:VARIABLE, and the secret in that variable")
        if not 1 <= self.at_once <= 64 or self.timeout_s <= 0:
            raise ValueError("at_once must be 1 to 64, and timeout_s above 0")


def webhook_sink(target: Target) -> "WebhookSink":
    """Return the sink of a web address; raises LineError where it has no secret or would be sent to openly."""
    return WebhookSink(target, target.options(WebhookOptions))


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature` for one secret, `whsec_` and base64, or a text as it is."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True) if secret.startswith(_PREFIX) else b""
    except binascii.Error:
        key = b""
    signed = hmac.new(key or secret.encode(), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


class WebhookSink:
    """One web address."""

    repeatable = True
    batch_size = 100

    def __init__(self, target: Target, options: WebhookOptions, clock: Callable[[], float] = time.time) -> None:
        self.target, self.options, self.clock = target, options, clock

    def check(self) -> list[str]:
        """Find nothing to compare; raises FactoryError where secret or address cannot be used."""
        _ = self._secrets, self._service
        return []

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:  # noqa: ARG002  the key is all it has
        """Post each message, some at once."""
        with ThreadPoolExecutor(self.options.at_once) as pool:
            for start in range(0, len(messages), self.options.at_once):
                results = list(pool.map(self._posted, messages[start : start + self.options.at_once]))
                yield from (result for result in results if result.state != "busy")
                if waiting := [result for result in results if result.state == "busy"]:
                    yield from waiting
                    return

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Raise LineError: a webhook cannot be asked what it has had."""
        raise LineError(
            f"{self.target.named}: a webhook cannot be asked what it has had; {len(messages)} are sent again"
        )

    def close(self) -> None:
        """Close the connections."""
        if (service := vars(self).pop("_service", None)) is not None:
            service.close()

    def _posted(self, message: Message) -> Result:
        body = self._body(message)
        timestamp = int(self.clock())
        signatures = " ".join(signature(secret, message.id, timestamp, body) for secret in self._secrets)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures,
            "Idempotency-Key": message.id,
        }
        try:
            reply = self._service.call("POST", content=body, headers=headers, repeatable=False)
        except (ServiceBusy, ServiceUnreachable) as error:
            return not_taken(message, error)
        except ServiceRefused as error:
            return refused(message, str(error)) if error.status in _OF_THE_MESSAGE else busy(message, str(error))
        except ServiceError as error:
            return unknown(message, str(error))
        return accepted(message, reference=_reference(reply.headers, reply.text))

    def _body(self, message: Message) -> bytes:
        kind = "decision.made" if message.action == "upsert" else "decision.withdrawn"
        data = {"message_key": message.key, **message.fields}
        said = {
            "type": kind,
            "timestamp": f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m-%dT%H:%M:%SZ}",
            "data": data,
        }
        return json.dumps(said, ensure_ascii=False).encode()

    @cached_property
    def _secrets(self) -> list[str]:
        secrets = secret_of(self.options.secret).split()
        keep_secret(*secrets)
        return secrets

    @cached_property
    def _service(self) -> Any:
        from factory.connectors.web.session import Patience, Service

        patience = Patience(tries=1, read_s=self.options.timeout_s, total_s=self.options.timeout_s)
        if not self.target.address.startswith("https://") and not self.target.address.startswith(LOOPBACK):
            raise LineError(
                f"{self.target.named}: to: {self.target.shown} is not https://: decisions would be sent openly"
            )
        return Service(self.target.address, self.target.access, patience=patience)


def _reference(headers: Mapping[str, str], text: str) -> str:
    """Return what the receiver calls what it made of a message, where it says so: `id` in its answer, or `Location`."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    named = said.get("id") if isinstance(said, dict) else None
    return str(named) if isinstance(named, str | int) else headers.get("location", "")

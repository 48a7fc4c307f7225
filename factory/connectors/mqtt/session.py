"""A session with an MQTT broker (version 5), which keeps what comes while nobody is connected."""

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from factory.connectors.web.access import Access, Basic, NoAccess, secret_of, value_of
from factory.errors import LineError, ServiceUnreachable
from factory.errors.masking import masked

if TYPE_CHECKING:
    from paho.mqtt.client import Client

MOST_HELD = 65_535
"""So many messages may wait for an acknowledgement: MQTT numbers them with 16 bits."""
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """What a line's file may say of a session, under `query` of a table."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    client_id: str = ""
    """The session's name at the broker: each reader of a topic needs its own. Empty: made of address and topic."""
    session_days: float = 7.0
    """How long the broker keeps messages for us while we are not connected."""
    quiet_s: float = 1.0
    """A micro-batch ends when no message came for so long."""
    longest_s: float = 60.0
    """A micro-batch ends after so long, however many still come."""
    most: int = 50_000
    """A micro-batch has at most so many messages."""

    def __post_init__(self) -> None:
        """Raise ValueError on a number that cannot be."""
        if not 0 < self.most <= MOST_HELD or min(self.session_days, self.quiet_s, self.longest_s) <= 0:
            raise ValueError(f"most is 1 to {MOST_HELD:,}, and session_days, quiet_s and longest_s are above 0")

    @classmethod
    def of(cls, said: Mapping[str, str], where: str) -> Self:
        """Return what a line's file says; raises LineError naming each mistake."""
        try:
            return TypeAdapter(cls).validate_python(dict(said))
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
            raise LineError(f"{where}: query: {'; '.join(wrong)}") from error


def name_of(*parts: str) -> str:
    """Return a session's name, the same for the same parts."""
    return f"ai-factory-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


def connected(client: "Client", address: str, access: Access | None, **told: Any) -> None:
    """Connect a client to a broker, with TLS and user as the line's file says.

    Raises ServiceUnreachable, EnvironmentRefused. `told` are paho's own options of a connection.
    """
    parts = urlsplit(address)
    if not isinstance(access, Basic | NoAccess | None):
        raise ServiceUnreachable(f"{masked(address)}: a broker knows `access: {{kind: basic}}` alone", lasting=True)
    if isinstance(access, Basic):
        if parts.scheme != "mqtts" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ServiceUnreachable(
                f"{masked(address)} is not mqtts://: the password would be sent openly", lasting=True
            )
        client.username_pw_set(value_of(access.user), secret_of(access.password))
    if parts.scheme == "mqtts":
        authority = access.certificate_authority if access else ""
        client.tls_set_context(ssl.create_default_context(cafile=value_of(authority) if authority else None))
    try:
        client.connect(parts.hostname or "", parts.port or _PORTS[parts.scheme], **told)
    except (OSError, ValueError) as error:
        raise ServiceUnreachable(
            f"the broker {masked(address)} cannot be reached: {error}; is it up, and may this machine reach it?"
        ) from error

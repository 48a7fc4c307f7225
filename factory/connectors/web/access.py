"""How a service knows who calls it, as the section `access` of a line's file says it.

    access: {kind: bearer, token: env:ORDERS_TOKEN}
    access: {kind: basic, user: factory, password: env:SAP_PASSWORD}
    access: {kind: header, name: APIKey, value: env:API_KEY}
    access: {kind: oauth, token_url: https://…, client_id: env:CLIENT_ID, client_secret: env:CLIENT_SECRET}
    access: {kind: none, certificate_authority: /etc/ssl/company.pem}

A secret is the name of a variable of the environment, `env:NAME`; whatever is read from one is masked in every message
from then on. Each kind may name the file of the company's own certificate authority; no kind turns verification off.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from factory.errors import EnvironmentRefused, LineError
from factory.errors.masking import ENVIRONMENT, keep_secret


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What every kind of access may say."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    certificate_authority: str = ""
    """The PEM file of the authority that signed the service's certificate, or `env:NAME` of its path."""


@dataclass(frozen=True, kw_only=True)
class NoAccess(_Known):
    """Whoever calls is welcome."""

    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True)
class Bearer(_Known):
    """A token that does not expire while the factory runs."""

    kind: Literal["bearer"] = "bearer"
    token: str

    def __post_init__(self) -> None:
        """Refuse a token that is written into the file."""
        _require_variable("token", self.token)


@dataclass(frozen=True, kw_only=True)
class Basic(_Known):
    """A user and a password."""

    kind: Literal["basic"] = "basic"
    user: str
    password: str

    def __post_init__(self) -> None:
        """Refuse a password that is written into the file."""
        _require_variable("password", self.password)


@dataclass(frozen=True, kw_only=True)
class Header(_Known):
    """A key in a header of the service's own."""

    kind: Literal["header"] = "header"
    name: str
    value: str

    def __post_init__(self) -> None:
        """Refuse a key that is written into the file."""
        _require_variable("value", self.value)


@dataclass(frozen=True, kw_only=True)
class OAuth(_Known):
    """OAuth 2.0 with client credentials (RFC 6749, 4.4): a token is had, kept until it expires, and had anew."""

    kind: Literal["oauth"] = "oauth"
    token_url: str
    client_id: str
    client_secret: str
    scope: str = ""
    client_in: Literal["header", "body"] = "header"
    """Where the service wants the client's id and secret."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What else the service wants to be told, such as `audience`; a value may be `env:NAME`."""

    def __post_init__(self) -> None:
        """Refuse a secret that is written into the file, and an address to which it would go in plain text."""
        _require_variable("client_secret", self.client_secret)
        if not self.token_url.startswith((ENVIRONMENT, "https://", *LOOPBACK)):
            raise LineError(f"token_url {self.token_url!r} is not https://: the client's secret would be sent openly")


Access = Annotated[NoAccess | Bearer | Basic | Header | OAuth, Field(discriminator="kind")]
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def secret_of(text: str) -> str:
    """Return the value of the variable that `env:NAME` names, masked from now on; raises EnvironmentRefused."""
    name = text.removeprefix(ENVIRONMENT)
    value = os.environ.get(name, "")
    if not value:
        raise EnvironmentRefused(
            f"the environment variable {name} is not set; put the secret that a service asks into it"
        )
    keep_secret(value)
    return value


def value_of(text: str) -> str:
    """Return a text, or what the variable `env:NAME` holds; raises EnvironmentRefused."""
    return secret_of(text) if text.startswith(ENVIRONMENT) else text


def fixed_headers(access: NoAccess | Bearer | Basic | Header | OAuth) -> dict[str, str]:
    """Return the headers by which a service knows us, where no token must be had first; raises EnvironmentRefused."""
    match access:
        case Bearer():
            return {"Authorization": f"Bearer {secret_of(access.token)}"}
        case Basic():
            return {"Authorization": basic(value_of(access.user), secret_of(access.password))}
        case Header():
            return {access.name: secret_of(access.value)}
        case _:
            return {}


def basic(user: str, password: str) -> str:
    """Return what HTTP's Basic scheme sends of a user and a password, masked from now on."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    keep_secret(pair)
    return f"Basic {pair}"


def _require_variable(name: str, text: str) -> None:
    if not text.startswith(ENVIRONMENT) or text == ENVIRONMENT:
        raise LineError(
            f"{name} is a secret and must not be written into a line's file: put it into a variable of the "
            f"environment, such as SERVICE_{name.upper()}, and say {name}: env:SERVICE_{name.upper()}"
        )

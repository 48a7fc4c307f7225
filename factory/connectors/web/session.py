"""`Service`: calls to a service over HTTP. What goes wrong is one of `ServiceError`, and says what to do about it.

A call that may be repeated is, while the service is busy or cannot be reached: after as long as the service says, or
after a while that doubles each time, of which a random part is waited. A call that may not be repeated is sent once;
only where nothing of it left this machine is it tried again.
"""

import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import httpx

from factory.connectors.web.access import Access, NoAccess, OAuth, basic, fixed_headers, secret_of, value_of
from factory.errors import (
    AnswerLost,
    ServiceBusy,
    ServiceError,
    ServiceGarbled,
    ServiceRefused,
    ServiceUnreachable,
)
from factory.errors.masking import keep_secret, masked, masked_cause

logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells whole addresses, and a secret may be in a query
_BUSY = (429, 503)
_NOTHING_SAID = (500, 502, 504)
"""Answers that do not say whether the service did what it was asked."""
_MOST_REDIRECTS = 5
_EARLY_S = 30.0
"""A token is had anew so long before it expires."""
_SHOWN = 300
_REMEDIES = {
    400: "is what is asked as the service wants it?",
    401: "may this user or token call it?",
    403: "let this user or token call it",
    404: "is the address right?",
    405: "the service does not do this here; is the address right?",
    406: "the service cannot answer in the form that is asked",
    407: "give the proxy's user in HTTPS_PROXY",
    413: "ask for less at once",
}
_EXACT = json.JSONDecoder(parse_float=Decimal, strict=False)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a call is waited for, in seconds, and how often it is tried."""

    connect_s: float = 10.0
    read_s: float = 60.0
    """Between two pieces of an answer."""
    total_s: float = 300.0
    """From a request to the end of its answer."""
    tries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    """A service that asks for more is told busy at once."""
    most_bytes: int = 512 << 20
    """A longer answer is refused: it would be held in memory."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a service answered; the names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")

    def json(self, decoder: json.JSONDecoder = _EXACT) -> Any:
        """Return the body's value: whole numbers are ints of any length, others Decimals; raises ServiceGarbled."""
        kind = self.headers.get("content-type", "")
        if "html" in kind.lower() or self.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
            raise ServiceGarbled(
                f"{masked(self.url)} answers a page of HTML where JSON should be ({_excerpt(self.text)}): is the "
                "address right, or is it the page of a log-in or of a proxy?"
            )
        try:
            return decoder.decode(self.body.decode("utf-8-sig").strip())
        except (ValueError, RecursionError) as error:
            what = "is empty" if not self.body.strip() else f"is no JSON ({error}): {_excerpt(self.text)}"
            raise ServiceGarbled(f"the answer of {masked(self.url)} {what}; is the address right?") from None


class Service:
    """A service at an address, and our session with it: one pool of connections, one jar of cookies, one token.

    Its certificate is always verified. Close it, or use it in a `with`. `sleep`, `clock` (seconds since 1970) and
    `chance` (0 to 1) are those of this machine unless given. Raises EnvironmentRefused where a secret is not set, and
    ServiceUnreachable where secrets would be sent in plain text or a certificate authority's file cannot be read.
    """

    def __init__(
        self,
        address: str,
        access: Access | None = None,
        *,
        patience: Patience | None = None,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.address, known_by_address = _without_user(address)
        self._access = access or NoAccess()
        self._patience = patience or Patience()
        self._sleep, self._clock, self._chance = sleep, clock, chance
        self._token, self._token_until = "", 0.0
        if known_by_address or not isinstance(self._access, NoAccess):
            _require_private(self.address)
        self._client = httpx.Client(
            headers={"User-Agent": "ai-factory", **known_by_address, **fixed_headers(self._access), **(headers or {})},
            timeout=httpx.Timeout(self._patience.read_s, connect=self._patience.connect_s),
            verify=_trusted(self._access.certificate_authority),
        )

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str = "",
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        expect: Collection[int] = (),
    ) -> Reply:
        """Return the service's answer; raises ServiceError.

        `path` is beneath the address, or an address of the same host, with a query or without; no secret is sent to
        another host. A call that is
        `repeatable` may be done twice without harm: reading is unless said otherwise. An answer that says no is raised,
        but for the statuses in `expect`, which are returned.
        """
        url = self._url(path, params or {})
        if repeatable is None:
            repeatable = method in ("GET", "HEAD")

        def build() -> httpx.Request:
            mine = self._headers(headers)
            return self._client.build_request(method, url, json=json, content=content, headers=mine)

        for attempt in range(1, self._patience.tries + 1):
            try:
                reply = self._admitted(build)
                fault = None if reply.status in expect else self._fault(method, reply)
            except (ServiceUnreachable, AnswerLost) as error:
                fault = error
            if fault is None:
                return reply
            pause_s = self._pause(fault, attempt, repeatable=repeatable)
            if pause_s is None:
                raise fault
            self._sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    def _admitted(self, build: Callable[[], httpx.Request]) -> Reply:
        """Return the answer to a request; where the token is not accepted, to the same with a new one."""
        reply = self._sent(build())
        if reply.status == 401 and isinstance(self._access, OAuth):  # it is said before anything is done
            self._token = ""
            reply = self._sent(build())
        return reply

    def _pause(self, fault: ServiceError, attempt: int, *, repeatable: bool) -> float | None:
        """Return after how many seconds to try again; None where that is no use, or might do a thing twice."""
        if attempt == self._patience.tries:
            return None
        doubled = min(self._patience.first_wait_s * 2.0 ** (attempt - 1), self._patience.longest_wait_s)
        match fault:
            case ServiceUnreachable():
                again, after_s = not fault.lasting, None
            case AnswerLost():
                again, after_s = repeatable, None
            case ServiceBusy():
                after_s = fault.retry_after_s
                again = repeatable and (after_s or 0.0) <= self._patience.longest_wait_s
            case _:
                again, after_s = False, None
        return (doubled * self._chance() if after_s is None else after_s) if again else None

    def _url(self, path: str, params: Mapping[str, str]) -> str:
        """Return the address of what is called: a link of the same host is called at our own scheme and port."""
        url = urlsplit(path if "://" in path else f"{self.address.rstrip('/')}/{path}" if path else self.address)
        ours = urlsplit(self.address)
        if url.hostname != ours.hostname:
            raise ServiceGarbled(
                f"{masked(self.address)} refers to {masked(path)}, which is another host: it is not called, for it "
                "would be given what only the service may know"
            )
        query = "&".join(
            filter(None, [url.query, *(f"{_quoted(name)}={_quoted(text)}" for name, text in params.items())])
        )
        return urlunsplit((ours.scheme, ours.netloc, url.path, query, ""))

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        if isinstance(self._access, OAuth):
            if not self._token or self._clock() >= self._token_until:
                self._renew(self._access)
            return {"Authorization": f"Bearer {self._token}", **(headers or {})}
        return dict(headers or {})

    def _renew(self, access: OAuth) -> None:
        """Have a token from the service that gives them; raises ServiceError."""
        client_id, client_secret = value_of(access.client_id), secret_of(access.client_secret)
        form = {
            "grant_type": "client_credentials",
            **{name: value_of(text) for name, text in access.parameters.items()},
        }
        if access.scope:
            form["scope"] = access.scope
        headers = {"Accept": "application/json"}
        if access.client_in == "header":
            headers["Authorization"] = basic(client_id, client_secret)
        else:
            form |= {"client_id": client_id, "client_secret": client_secret}
        url = value_of(access.token_url)
        _require_private(url)
        reply = self._sent(self._client.build_request("POST", url, data=form, headers=headers))
        if fault := self._fault("POST", reply):
            raise fault
        granted = reply.json()
        token = granted.get("access_token") if isinstance(granted, dict) else None
        if not isinstance(token, str) or not token:
            raise ServiceGarbled(f"{masked(url)} gives no access_token; is it the address where tokens are given?")
        keep_secret(token)
        self._token = token
        self._token_until = self._clock() + max(float(granted.get("expires_in") or 3600) - _EARLY_S, 1.0)

    def _sent(self, request: httpx.Request) -> Reply:
        """Return the answer to a request, redirected within the host where nothing is changed by it."""
        for _ in range(_MOST_REDIRECTS):
            reply = self._answer(request)
            target = urljoin(str(request.url), reply.headers.get("location", ""))
            if reply.status not in (301, 302, 303, 307, 308) or request.method not in ("GET", "HEAD"):
                return reply
            if origin_of(target) != origin_of(str(request.url)):
                raise ServiceRefused(
                    f"{masked(str(request.url))} redirects to {masked(target)}, another host: is the address right, "
                    "and may this user or token call it?",
                    status=reply.status,
                )
            request = self._client.build_request(request.method, target, headers=request.headers)
        raise ServiceRefused(f"{masked(str(request.url))} redirects without end; is the address right?", status=302)

    def _answer(self, request: httpx.Request) -> Reply:
        deadline, body = time.monotonic() + self._patience.total_s, bytearray()
        with _translated(request):
            response = self._client.send(request, stream=True)
            try:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > self._patience.most_bytes:
                        raise ServiceGarbled(
                            f"{masked(str(request.url))} answers more than {self._patience.most_bytes:,} bytes; ask "
                            "for less at once"
                        )
                    if time.monotonic() > deadline:
                        raise AnswerLost(
                            f"{masked(str(request.url))} has not ended its answer after {self._patience.total_s:g} s"
                        )
            finally:
                response.close()
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status_code, headers=names, body=bytes(body), url=str(request.url))

    def _fault(self, method: str, reply: Reply) -> ServiceError | None:
        """Return what an answer says no with."""
        if reply.status < 300:
            return None
        what = f"{method} {masked(reply.url)} is answered {reply.status}: {_excerpt(reply.text)}"
        if reply.status in _BUSY:
            retry_after_s = self._retry_after(reply)
            when = "" if retry_after_s is None else f"; it says to come again in {retry_after_s:.0f} s"
            return ServiceBusy(f"{what}{when}", retry_after_s=retry_after_s)
        if reply.status in _NOTHING_SAID:
            return AnswerLost(f"{what}; the service failed at it, and its own log says why")
        remedy = _REMEDIES.get(reply.status, "what it says is to be mended")
        return ServiceRefused(f"{what}; {remedy}", status=reply.status, headers=reply.headers, body=reply.text)

    def _retry_after(self, reply: Reply) -> float | None:
        """Return how many seconds a service says to wait, which is a number of them or a date."""
        said = reply.headers.get("retry-after", "").strip()
        if said.isdigit():
            return float(said)
        try:
            return max(parsedate_to_datetime(said).timestamp() - self._clock(), 0.0)
        except (ValueError, OverflowError):
            return None


def _quoted(text: str) -> str:
    return quote(text, safe="$(),:*'/@!~")


def _without_user(address: str) -> tuple[str, dict[str, str]]:
    """Return an address without user and password, and the header that says them."""
    parts = urlsplit(address)
    user_info, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, {}
    user, _, password = user_info.partition(":")
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": basic(unquote(user), unquote(password))}


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _require_private(url: str) -> None:
    scheme, host, _ = origin_of(url)
    if scheme != "https" and host not in ("localhost", "::1") and not host.startswith("127."):
        raise ServiceUnreachable(f"{masked(url)} is not https://: what only the service may know would be sent openly")


def _trusted(authority: str) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if authority:
        file = value_of(authority)
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise ServiceUnreachable(
                f"certificate_authority {file} cannot be used ({error}); name a file of certificates in PEM"
            ) from None
    return context


@contextmanager
def _translated(request: httpx.Request) -> Iterator[None]:
    """Say what a connection's failure means as a ServiceError."""
    where = masked(str(request.url))
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
        raise _unreachable(where, error) from masked_cause(error)
    except httpx.DecodingError as error:
        raise ServiceGarbled(f"the answer of {where} is packed, and cannot be unpacked: {error}") from masked_cause(
            error
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        words = f"{where} is no address of a service: {error}"
        raise ServiceUnreachable(words, lasting=True) from masked_cause(error)
    except httpx.TimeoutException as error:
        raise AnswerLost(f"{where} does not answer in time") from masked_cause(error)
    except httpx.TransportError as error:
        raise AnswerLost(f"the connection to {where} was lost: {_excerpt(str(error))}") from masked_cause(error)


def _unreachable(where: str, error: Exception) -> ServiceUnreachable:
    words = _excerpt(str(error)) or type(error).__name__
    untrusted = "CERTIFICATE_VERIFY_FAILED" in words
    if isinstance(error, httpx.TimeoutException):
        why = "it does not answer; is it up, and may this machine reach it?"
    elif untrusted:
        why = (
            f"its certificate is not one to trust ({words}); if the company signs its own, name the file of its "
            "authority in `access: {certificate_authority: …}`"
        )
    elif "SSL" in words:
        why = f"{words}; does it speak TLS on this port?"
    else:
        why = f"{words}; is the address right, is it up, and may this machine reach it?"
    return ServiceUnreachable(f"{where} cannot be reached: {why}", lasting=untrusted)


def _excerpt(text: str) -> str:
    return masked(" ".join(text.split()))[:_SHOWN]

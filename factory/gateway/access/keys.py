"""Who may ask what: API keys, kept as hashes in a file that may change while the gateway runs.

A key is 256 random bits, so a plain SHA-256 of it gives nothing away that could be guessed. Without the file everybody
may ask everything; once it was read, a file that goes away or is damaged changes nothing.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path

from factory.errors import KeyRefused
from factory.gateway.access.key_file import Key, read_keys
from factory.gateway.access.quota import OwnSpending, SpendingOf
from factory.gateway.refusal import RequestRefused, come_again
from factory.names import model_parts

log = logging.getLogger(__name__)

BURST_S = 2.0
"""So many seconds' worth of rows may come at once."""


class Grant:
    """What one key allows, and how much of its rate is left."""

    def __init__(self, key: Key, spending_of: SpendingOf = OwnSpending) -> None:
        self.key = key
        self.name = key.name
        self._left = self._most = max(1.0, key.rows_per_s * BURST_S) if key.rows_per_s else math.inf
        self._at = time.monotonic()
        self._spending = spending_of(key.sha256) if key.rows_per_s else OwnSpending()
        self._seen = self._spending.rows

    def opens(self, model: str) -> bool:
        """Whether the key opens the site of this model, by its name."""
        lines, sites = self.key.lines, self.key.sites
        if lines is None and sites is None:
            return True
        line, site = model_parts(model)
        return self.opens_line(line) and (sites is None or site in sites)

    def opens_line(self, line: str) -> bool:
        """Whether the key opens this line, or some sites of it."""
        return self.key.lines is None or line in self.key.lines

    def require(self, model: str) -> None:
        """Raise RequestRefused (403) unless the key opens the site of this model."""
        if not self.opens(model):
            line, site = model_parts(model[:130])  # of a name that no model has, only so much
            raise RequestRefused(403, f"key {self.name!r} is not for line {line}, site {site}; ask for one that is")

    def require_management(self, model: str) -> None:
        """Raise RequestRefused (403) unless the key may load and unload this model."""
        if not self.key.manage:
            raise RequestRefused(403, f"key {self.name!r} may not load or unload models; ask for one that may")
        self.require(model)

    def require_all(self) -> None:
        """Raise RequestRefused (403) unless the key opens every line and site."""
        if self.key.lines is not None or self.key.sites is not None:
            raise RequestRefused(403, f"key {self.name!r} is for some lines or sites, and this tells of all of them")

    def require_left(self) -> None:
        """Raise RequestRefused (429) where the rate has not even one row left."""
        self._require(1)

    def charge(self, error: Exception) -> None:
        """Take a row for a question that was no question: to read it costs as much as to answer one."""
        if isinstance(error, RequestRefused) and error.status in (400, 413):
            self._spending.add(1)

    def spend(self, rows: int) -> None:
        """Take rows from the rate; raises RequestRefused (429) when there are too few left."""
        self._require(rows)
        self._spending.add(rows)

    def _require(self, rows: int) -> None:
        if self._most == math.inf or rows <= 0:
            return
        self.refill()
        if rows > self._left:
            wait = math.ceil((min(rows, self._most) - self._left) / self.key.rows_per_s)
            limit = f"{self.key.rows_per_s:g} rows a second, at most {self._most:g} at once"
            raise come_again(429, f"key {self.name!r} may ask {limit}; wait", max(1, wait))

    def refill(self) -> None:
        """Add what came in since the last time, and take away what was spent, at whichever worker.

        A worker that refills seldom gives more than the rate: what came in before others spent makes up for it.
        """
        now, spent = time.monotonic(), self._spending.rows
        came_in = (now - self._at) * self.key.rows_per_s
        self._left = min(self._most, self._left + came_in - (spent - self._seen))
        self._at, self._seen = now, spent


_NOT_TAKEN_OVER = "the key file was not taken over, the keys before it still count"
_BEARER = ((b"www-authenticate", b"Bearer"),)
EVERYBODY = Grant(Key(name="", sha256="", manage=True))


class Access:
    """The grants of the key file, by the hash of their key."""

    def __init__(self, place: Path | None, spending_of: SpendingOf = OwnSpending) -> None:
        """Raises KeyRefused where there is a file that is none, or that may not be read."""
        self._place = place
        self._spending_of = spending_of
        self._grants: Mapping[str, Grant] | None = None
        self._seen: tuple[int, int] | None = None
        self._failed = ""
        if place is not None and place.exists():
            try:
                self._read(place)
            except OSError as error:
                raise KeyRefused(
                    f"{place} cannot be read ({error.strerror}); let the gateway's user read it"
                ) from error

    @property
    def is_open(self) -> bool:
        """Whether there are no keys, so that everybody may ask everything."""
        return self._grants is None

    def grant(self, headers: Mapping[bytes, bytes]) -> Grant:
        """Return what the request's key allows; raises RequestRefused (401) if it has none that counts."""
        if self._grants is None:
            return EVERYBODY
        secret = headers.get(b"x-api-key") or _bearer(headers.get(b"authorization", b""))
        if not secret:
            raise RequestRefused(401, "no key; send `Authorization: Bearer <key>` or `X-Api-Key: <key>`", _BEARER)
        grant = self._grants.get(hashlib.sha256(secret).hexdigest())
        if grant is None:
            raise RequestRefused(401, "that key counts no longer, or never did; ask for a new one", _BEARER)
        return grant

    async def watch(self, every_s: float) -> None:
        """Follow the key file until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                self.refresh()
                for grant in (self._grants or {}).values():
                    grant.refill()
            except Exception:  # the task must outlive whatever it meets: a key that was removed must cease to count
                log.exception("the key file could not be followed; it is tried again")

    def refresh(self) -> None:
        """Take over a key file that changed; one that cannot be read is told of in the log, and changes nothing."""
        if self._place is None:
            return
        try:
            stat = self._place.stat()
            version = (stat.st_mtime_ns, stat.st_ino)
            if version != self._seen:
                self._read(self._place)
                self._seen, self._failed = version, ""
        except FileNotFoundError:
            return
        except KeyRefused as error:
            self._seen = version  # told once, and looked at again when it changes
            log.error("%s: %s", _NOT_TAKEN_OVER, error)
        except OSError as error:  # for want of a descriptor, say: it is read at the next look
            if self._failed != str(error):
                log.error("%s; it is tried again: %s", _NOT_TAKEN_OVER, error)
            self._failed = str(error)

    def _read(self, place: Path) -> None:
        keys = read_keys(place)
        unchanged = {grant.key: grant for grant in (self._grants or {}).values()}
        self._grants = {key.sha256: unchanged.get(key) or Grant(key, self._spending_of) for key in keys}
        log.info("%d keys count", len(keys))


def _bearer(authorization: bytes) -> bytes:
    scheme, _, secret = authorization.partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""

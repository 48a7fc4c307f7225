"""One line of a site's history: what somebody did, bound to the line before it and signed."""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import HistoryError, ModelRefused
from factory.model.verdict import Verdict
from factory.release.signing import Signed

Kind = Literal[
    "promotion",
    "refusal",
    "approval",
    "release",
    "rollback",
    "allowance",
    "wait",
    "turn",
    "trial",
    "trial_end",
    "trial_promotion",
    "removal",
    "return",
    "delivery",
    "gap",
]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What somebody did at a site.

    A `wait` says that a rollout has not come to the site, the `turn` after it that it has, or was ended. A `removal`
    says that the site is no longer one of its line's, the `return` after it that it is again. A `delivery` says which
    business system got how many decisions of a release.

    `version` is the registry's, `release` the sequence in the model repository, `digest` the SHA-256 of the model file,
    `verdict` that of the verdict; `withdrawn` is the digest of the file that a rollback took out of service, or that a
    person ended the trial of.
    """

    kind: Kind
    actor: str
    reason: str
    version: int | None = None
    release: int | None = None
    digest: str | None = None
    verdict: str | None = None
    withdrawn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record(Event, Signed):
    """An event on record: the `sequence`-th of its model, at an ISO time in UTC.

    `previous` is the SHA-256 of the line before it, "" for the first; the signature covers everything else.
    """

    model: str
    sequence: int
    at: str
    previous: str
    signature: str = ""

    @property
    def event(self) -> Event:
        """What was done, without when and where it stands."""
        return Event(**{field.name: getattr(self, field.name) for field in fields(Event)})

    @property
    def named(self) -> str:
        """What it is, in an error."""
        return f"{self.model}: record {self.sequence}"

    def require_signature(self, key: Ed25519PublicKey) -> None:
        """Raise HistoryError unless the key's owner signed exactly this."""
        try:
            super().require_signature(key)
        except ModelRefused as error:
            raise HistoryError(f"record {self.sequence} is not signed by this factory's key, or was changed") from error

    def to_line(self) -> bytes:
        """Return the line of the file, without its end; `from_line` is the inverse."""
        return json.dumps(self.to_dict(), separators=(",", ":")).encode("ascii")

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """Rebuild a record; raises HistoryError on anything that `to_line` never wrote."""
        try:
            data = msgspec.json.decode(line)
            if not isinstance(data, dict) or set(data) != {field.name for field in fields(cls)}:
                raise HistoryError(f"is no record: {line[:60]!r}")
            return msgspec.convert(data, cls)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise HistoryError(f"cannot be read: {error}") from error


def hash_of(line: bytes) -> str:
    """Return the SHA-256 of a line as the next one quotes it."""
    return hashlib.sha256(line).hexdigest()


def verdict_digest(verdict: Verdict | None) -> str | None:
    """Return the SHA-256 of a verdict with all its figures, whatever their order; None for none."""
    if verdict is None:
        return None
    return hashlib.sha256(json.dumps(verdict.to_dict(), sort_keys=True).encode()).hexdigest()

"""The head of a site's history: how long it is and where it ends, signed, so that a shortened one is found out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

import msgspec

from factory.errors import HistoryError
from factory.release.history.record import hash_of
from factory.release.signing import Signed


@dataclass(frozen=True, kw_only=True)
class Head(Signed):
    """A history had `count` records, one or more, and `hash` is the SHA-256 of the last one's line."""

    model: str
    count: int
    hash: str
    signature: str = ""

    @classmethod
    def of(cls, model: str, lines: Sequence[bytes]) -> "Head":
        """Return the unsigned head of these lines, at least one."""
        return cls(model=model, count=len(lines), hash=hash_of(lines[-1]))

    @classmethod
    def from_json(cls, content: bytes) -> "Head":
        """Rebuild a head; raises HistoryError on anything that `to_json` never wrote."""
        try:
            data = msgspec.json.decode(content)
            if not isinstance(data, dict) or set(data) != {field.name for field in fields(cls)} or data["count"] < 1:
                raise HistoryError(f"head is no head of a history: {content[:60]!r}")
            return msgspec.convert(data, cls)
        except (ValueError, TypeError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise HistoryError(f"head cannot be read: {error}") from error

    def to_json(self) -> bytes:
        """Return the file's content."""
        return (json.dumps(self.to_dict()) + "\n").encode("ascii")

    @property
    def named(self) -> str:
        """What it is, in an error."""
        return f"{self.model}: head of its history"

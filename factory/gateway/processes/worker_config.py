"""What a supervisor and a worker of its gateway tell each other, a line of JSON each way."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from factory.gateway.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Which of several processes of one gateway this is, and the private folder where they meet."""

    number: int
    """From 1."""
    workers: int
    folder: Path

    @property
    def peers(self) -> list[int]:
        """The numbers of the others."""
        return [number for number in range(1, self.workers + 1) if number != self.number]

    def file(self, kind: str, number: int | None = None) -> Path:
        """Return this worker's file of a kind, or a peer's."""
        return self.folder / f"{self.number if number is None else number}.{kind}"


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a supervisor tells a worker: what to serve, how, and as which of how many."""

    models: Path
    public_key: Path
    settings: Settings
    membership: Membership

    def to_json(self) -> bytes:
        """Return it as one line."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def from_json(cls, line: bytes) -> "WorkerConfig":
        """Return what `to_json` made a line of."""
        return msgspec.json.decode(line, type=cls, dec_hook=_path)


def _path(kind: Any, text: Any) -> Any:
    return kind(text)


class Started(msgspec.Struct, frozen=True):
    """That a worker answers; or that it cannot, with the kind of the error and what it says."""

    error: str = ""
    message: str = ""

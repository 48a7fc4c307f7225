"""An online snapshot's manifest: the rows it holds, the code that made it, and the sites where it was proved right.

The release key signs the whole manifest. The functions it names are imported from the gateway's own files, which must
be the ones that made the features: the manifest has their digest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused, SnapshotRefused
from factory.features.declared import Declared
from factory.line.announced import Announced
from factory.line.expectation import Expectation
from factory.line.personal import Treatment
from factory.release.signing import Signed


def announced_name(table: str) -> str:
    """Return by which name a snapshot has a table's announced rows."""
    return f"announced/{table}"


@dataclass(frozen=True, kw_only=True)
class SnapshotTable:
    """One clean table of a snapshot: the SHA-256 of its Parquet file, and how many rows it has."""

    digest: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class RowPath:
    """How a business row becomes features: the decision table as a line's file says it, and the line's own code."""

    table: str
    columns: Mapping[str, str]
    """Of the raw table: name → Polars type name."""
    site_column: str
    key: tuple[str, ...]
    """Of the raw table."""
    contract: tuple[Expectation, ...]
    repair: str
    """`package.module:function`."""
    build: str
    """Empty where what is declared needs no function of the line's own."""
    features: tuple[str, ...]
    features_key: tuple[str, ...]
    entity: tuple[str, ...]
    steps: int | None
    code: str
    """Stands for the source files that repair and build come from."""
    cursor: str = ""
    """Of the raw table: the moment at which a row happens; empty where it tells none."""
    announced: Announced | None = None
    """What is known of a row before."""
    personal: Mapping[str, Treatment] = field(default_factory=dict)
    """Of the raw table: its personal columns, and what becomes of each."""
    personal_key: str = ""
    """The variable that has the key of pseudonyms, `env:NAME`; empty without personal columns."""
    personal_key_fingerprint: str = ""
    """Tells that key from another."""
    declared: Declared | None = None
    """The windows that a line's file declares."""


@dataclass(frozen=True, kw_only=True)
class OnlineSnapshot(Signed):
    """One line's online snapshot. Moments are ISO times in UTC."""

    line: str
    made_at: str
    made_from: str
    """Stands for all it was made from: another snapshot has the same only if it is the same."""
    row_path: RowPath
    tables: Mapping[str, SnapshotTable]
    """By name: rows that happened, and apart from them, by `announced_name`, those that are only announced."""
    sites: tuple[str, ...]
    """Where recent rows, built again from what a request could have had, had the features that training has.

    A site without recent decisions is among them, for there was nothing to compare.
    """
    known_until: str | None
    """The newest row's moment at any site; None where the tables have no times."""
    answers_from: str | None
    """Decisions before this moment would look back further than the snapshot goes."""
    newest: Mapping[str, str]
    """By site the moment of its own newest row that happened; a site without such a row is not among them."""
    stale_after_hours: float | None
    """How long after its own newest row a site's decisions are answered; None: always."""
    shut: Mapping[str, str] = field(default_factory=dict)
    """Sites whose business rows are not answered, and why: which feature came out otherwise."""
    signature: str = ""

    def to_json(self) -> bytes:
        """Return the file's content; `from_json` is the inverse. Raises ValueError where JSON has no such value."""
        return (json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n").encode("ascii")

    @classmethod
    def from_json(cls, content: bytes, what: str = "online snapshot") -> "OnlineSnapshot":
        """Rebuild a snapshot; raises SnapshotRefused on what `to_json` never wrote."""
        try:
            snapshot = msgspec.json.decode(content, type=cls)
            as_now = json.loads(content) == json.loads(snapshot.to_json())
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise SnapshotRefused(f"{what} cannot be read: {error}; run the line's operations again") from error
        if not as_now:  # its signature would not hold, though nobody changed it
            raise SnapshotRefused(
                f"{what} was written by another version of the library, which has other fields; run the line's "
                "operations again with this one"
            )
        return snapshot

    @property
    def named(self) -> str:
        """What it is, in an error."""
        return f"the online snapshot of line {self.line}"

    def require_signature(self, key: Ed25519PublicKey) -> None:
        """Raise SnapshotRefused unless the key's owner signed exactly this."""
        try:
            super().require_signature(key)
        except ModelRefused as error:
            raise SnapshotRefused(str(error)) from error

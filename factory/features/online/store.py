"""Where snapshots lie in the model repository, and how they are read and written.

<root>/.snapshots/<line>.json               what the line's snapshot is, signed; replaced by one rename
<root>/.snapshots/<line>/<SHA-256>.parquet  its tables, and those of the snapshot before it; never changed
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused, SnapshotRefused
from factory.features.online.manifest import OnlineSnapshot
from factory.names import checked_name
from factory.release.layout import SNAPSHOTS, snapshot_file
from factory.storage.atomic_files import TEMPORARY, read_file, replace_file, sync_folder
from factory.storage.locks import FileLocks, Locks

MAX_SNAPSHOT_BYTES = 4 * 1024**2
MAX_TABLE_BYTES = 512 * 1024**2
SUFFIX = ".parquet"


class Snapshots:
    """The snapshots of all lines in one model repository."""

    def __init__(self, root: Path, locks: Locks | None = None) -> None:
        """Take the folder, and the locks by which writers exclude one another; by default files in the folder."""
        self.root = root
        self.locks = locks or FileLocks(root / SNAPSHOTS / ".locks")

    def current(self, line: str) -> OnlineSnapshot | None:
        """Return the line's snapshot, its signature unchecked; None without one. Raises SnapshotRefused."""
        place = self.root / snapshot_file(checked_name(line, "line"))
        if not place.exists():
            return None
        try:
            snapshot = OnlineSnapshot.from_json(read_file(place, at_most=MAX_SNAPSHOT_BYTES), str(place))
        except ModelRefused as error:
            raise SnapshotRefused(str(error)) from error
        if snapshot.line != line:
            raise SnapshotRefused(
                f"{place} is the snapshot of line {snapshot.line}; run the operations of {line} again"
            )
        return snapshot

    def load(self, line: str, key: Ed25519PublicKey) -> tuple[OnlineSnapshot, dict[str, pl.DataFrame]]:
        """Return the line's snapshot and its tables; raises SnapshotRefused unless both are as signed."""
        snapshot = self.current(line)
        if snapshot is None:
            raise SnapshotRefused(f"line {line} has no snapshot in {self.root}; run its operations")
        snapshot.require_signature(key)
        return snapshot, {name: self._table(line, name, table.digest) for name, table in snapshot.tables.items()}

    def _table(self, line: str, name: str, digest: str) -> pl.DataFrame:
        try:
            content = read_file(self.root / SNAPSHOTS / line / f"{digest}{SUFFIX}", at_most=MAX_TABLE_BYTES)
        except ModelRefused as error:
            raise SnapshotRefused(f"line {line}, table {name} of its snapshot: {error}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise SnapshotRefused(f"line {line}: table {name} of its snapshot was changed; run its operations again")
        return pl.read_parquet(io.BytesIO(content))

    def put(self, snapshot: OnlineSnapshot, files: Mapping[str, bytes]) -> None:
        """Make a signed snapshot the line's own; `files` are its tables' Parquet files by their digest.

        A reader sees either the earlier snapshot or this one, whole. Files that neither of them names are removed.
        """
        folder = self.root / SNAPSHOTS / snapshot.line
        folder.mkdir(parents=True, exist_ok=True)
        with self.locks.hold(f"snapshots.{snapshot.line}"):
            before = self._named(snapshot.line)
            for digest, content in files.items():
                if not (folder / f"{digest}{SUFFIX}").exists():
                    replace_file(folder / f"{digest}{SUFFIX}", content, mode=0o444)
            replace_file(self.root / snapshot_file(snapshot.line), snapshot.to_json(), mode=0o444)
            self._clear(folder, before | set(files))
            sync_folder(folder)

    def _named(self, line: str) -> set[str]:
        try:
            current = self.current(line)
        except SnapshotRefused:
            return set()
        return {table.digest for table in current.tables.values()} if current else set()

    def _clear(self, folder: Path, named: set[str]) -> None:
        for place in folder.iterdir():
            unnamed = place.suffix == SUFFIX and place.stem not in named
            if unnamed or place.name.startswith(TEMPORARY):
                place.unlink(missing_ok=True)


def parquet(rows: pl.DataFrame) -> tuple[str, bytes]:
    """Return the rows as a Parquet file, and its SHA-256."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest(), content

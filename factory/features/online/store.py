"""Where contexts lie in the model repository, and how they are read and written.

<root>/.contexts/<line>.json               what the line's context is, signed; replaced by one rename
<root>/.contexts/<line>/<SHA-256>.parquet  its tables, and those of the context before it; never changed
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ContextRefused, ModelRefused
from factory.features.online.manifest import Context
from factory.names import checked_name
from factory.release.layout import CONTEXTS, context_file
from factory.storage.atomic_files import TEMPORARY, read_file, replace_file, sync_folder
from factory.storage.locks import FileLocks, Locks

MAX_CONTEXT_BYTES = 4 * 1024**2
MAX_TABLE_BYTES = 512 * 1024**2
SUFFIX = ".parquet"


class Contexts:
    """The contexts of all lines in one model repository."""

    def __init__(self, root: Path, locks: Locks | None = None) -> None:
        """Take the folder, and the locks by which writers exclude one another; by default files in the folder."""
        self.root = root
        self.locks = locks or FileLocks(root / CONTEXTS / ".locks")

    def current(self, line: str) -> Context | None:
        """Return the line's context, its signature unchecked; None without one. Raises ContextRefused."""
        place = self.root / context_file(checked_name(line, "line"))
        if not place.exists():
            return None
        try:
            context = Context.from_json(read_file(place, at_most=MAX_CONTEXT_BYTES), str(place))
        except ModelRefused as error:
            raise ContextRefused(str(error)) from error
        if context.line != line:
            raise ContextRefused(f"{place} is the context of line {context.line}; run the operations of {line} again")
        return context

    def load(self, line: str, key: Ed25519PublicKey) -> tuple[Context, dict[str, pl.DataFrame]]:
        """Return the line's context and its tables; raises ContextRefused unless both are as signed."""
        context = self.current(line)
        if context is None:
            raise ContextRefused(f"line {line} has no context in {self.root}; run its operations")
        context.require_signature(key)
        return context, {name: self._table(line, name, table.digest) for name, table in context.tables.items()}

    def _table(self, line: str, name: str, digest: str) -> pl.DataFrame:
        try:
            content = read_file(self.root / CONTEXTS / line / f"{digest}{SUFFIX}", at_most=MAX_TABLE_BYTES)
        except ModelRefused as error:
            raise ContextRefused(f"line {line}, table {name} of its context: {error}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise ContextRefused(f"line {line}: table {name} of its context was changed; run its operations again")
        return pl.read_parquet(io.BytesIO(content))

    def put(self, context: Context, files: Mapping[str, bytes]) -> None:
        """Make a signed context the line's own; `files` are its tables' Parquet files by their digest.

        A reader sees either the earlier context or this one, whole. Files that neither of them names are removed.
        """
        folder = self.root / CONTEXTS / context.line
        folder.mkdir(parents=True, exist_ok=True)
        with self.locks.hold(f"contexts.{context.line}"):
            before = self._named(context.line)
            for digest, content in files.items():
                if not (folder / f"{digest}{SUFFIX}").exists():
                    replace_file(folder / f"{digest}{SUFFIX}", content, mode=0o444)
            replace_file(self.root / context_file(context.line), context.to_json(), mode=0o444)
            self._clear(folder, before | set(files))
            sync_folder(folder)

    def _named(self, line: str) -> set[str]:
        try:
            current = self.current(line)
        except ContextRefused:
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

"""The outbox of one machine: an SQLite file in WAL mode, each transaction on the disk before it returns."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factory.connectors.outbox.sql import LAYOUT, TABLES, SqlOutbox, Transaction
from factory.errors import OutboxError
from factory.errors.masking import masked_cause
from factory.storage.faults import storage_faults
from factory.storage.locks import FileLocks


class SqliteOutbox(SqlOutbox):
    """The messages of one line in one file; safe among threads and processes of one machine."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.file = file
        self._connection: sqlite3.Connection | None = None

    def forget(self, is_about: Callable[[str, str], bool], scrub: Callable[[str], str]) -> int:
        """Remove messages and words of persons, where there is an outbox."""
        return super().forget(is_about, scrub) if self.file.is_file() else 0

    def close(self) -> None:
        """Close the file."""
        with self._taking_turns:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._faults(), self._taking_turns:
            return self._opened().execute(statement, values).fetchall()

    @contextmanager
    def _writing(self, *, adds: bool = False) -> Iterator[Transaction]:  # noqa: ARG002  all writers take turns
        with self._faults(), self._taking_turns:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection.cursor(), self.clock())
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _compact(self) -> None:
        with self._faults(), self._taking_turns:
            self._opened().execute("VACUUM")
            self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite waits for nobody while a new file becomes WAL.
            with FileLocks(self.file.parent / ".locks").hold(self.file.stem):
                self._connection = self._made_if_missing()
        return self._connection

    def _made_if_missing(self) -> sqlite3.Connection:
        if not self.file.exists():  # what it holds may be personal; to close a file ends this process's locks on it
            os.close(os.open(self.file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.file, timeout=60, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout not in (0, LAYOUT):
            connection.close()
            raise OutboxError(
                f"the outbox {self.file} has layout {layout}, and this version of the library knows {LAYOUT}; use "
                "the version that wrote it"
            )
        if layout == 0:
            tables = TABLES.format(sequence="INTEGER PRIMARY KEY")
            connection.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {LAYOUT}; COMMIT")
        return connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        with storage_faults(self.file):
            try:
                yield
            except sqlite3.Error as error:
                raise OutboxError(
                    f"the outbox {self.file} cannot be read or written: {error}; what it holds is kept. Run the same "
                    "command again when no other program has it open"
                ) from masked_cause(error)

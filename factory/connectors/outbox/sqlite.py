"""The outbox of one machine: an SQLite file in WAL mode, each transaction on the disk before it returns."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from factory.connectors.outbox.outbox import Kept, Settled, Standing, State
from factory.connectors.sinks.message import Message
from factory.errors import OutboxError
from factory.errors.masking import masked, masked_cause
from factory.storage.faults import storage_faults

LAYOUT = 1
"""The number of the tables' layout, kept in the file; another one is refused."""
LONGEST_REPLY = 2000
"""Characters of a system's reply that are kept."""
_TABLES = """
CREATE TABLE IF NOT EXISTS messages (
    sequence   INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    key        TEXT NOT NULL,
    action     TEXT NOT NULL,
    sink       TEXT NOT NULL,
    site       TEXT NOT NULL,
    release    INTEGER,
    identity   TEXT NOT NULL,
    content    TEXT NOT NULL,
    state      TEXT NOT NULL,
    due        REAL NOT NULL,
    owner      TEXT NOT NULL DEFAULT '',
    attempts   INTEGER NOT NULL DEFAULT 0,
    job        TEXT NOT NULL DEFAULT '',
    reply      TEXT NOT NULL DEFAULT '',
    reference  TEXT NOT NULL DEFAULT '',
    put_at     REAL NOT NULL,
    changed_at REAL NOT NULL,
    recorded   TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS due ON messages (sink, state, due);
CREATE INDEX IF NOT EXISTS unrecorded ON messages (site)
    WHERE state IN ('accepted', 'refused', 'cancelled') AND recorded <> state;
CREATE INDEX IF NOT EXISTS owned ON messages (owner) WHERE state IN ('sending', 'unknown');
CREATE INDEX IF NOT EXISTS of_site ON messages (sink, site, state, put_at);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
_READ = (
    "id, key, action, sink, site, identity, content, state, due, attempts, job, reply, reference, put_at, changed_at"
)
_SENDABLE = (
    "(action = 'upsert' OR EXISTS (SELECT 1 FROM messages AS sent WHERE sent.id = messages.key "
    "AND sent.state = 'accepted'))"
)
"""A withdrawal is sent once the system has what it takes back."""
_ENDED = "state IN ('accepted', 'refused', 'cancelled')"


class SqliteOutbox:
    """The messages of one line in one file; safe among threads and processes of one machine."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self.file = file
        self.clock = clock
        self._connection: sqlite3.Connection | None = None
        self._taking_turns = threading.RLock()

    def put(self, messages: Iterable[Message], *, held: str = "") -> int:
        """Store messages that are not there yet, and return how many were new; with `held` they wait for a person."""
        now, state = self.clock(), "held" if held else "waiting"
        rows = [
            (
                *(message.id, message.key, message.action, message.sink, message.site),
                *(message.identity.get("release"), _json(message.identity), _json(message.content)),
                *(state, now, masked(held), now, now),
            )
            for message in messages
        ]
        statement = (
            "INSERT OR IGNORE INTO messages (id, key, action, sink, site, release, identity, content, state, due, "
            "reply, put_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        with self._writing() as connection:
            return connection.executemany(statement, rows).rowcount if rows else 0

    def keys(self, sink: str, site: str) -> set[str]:
        """Return the keys of all messages of a sink and site, whatever became of them."""
        rows = self._rows("SELECT DISTINCT key FROM messages WHERE sink = ? AND site = ?", (sink, site))
        return {key for (key,) in rows}

    def claim(self, sink: str, sites: Collection[str], *, by: str, limit: int, lease_s: float) -> list[Message]:
        """Give messages that are due, oldest first, of one action, to one process for so long; no other gets them."""
        now = self.clock()
        due = f"sink = ? AND site IN ({_places(sites)}) AND state = 'waiting' AND due <= ? AND {_SENDABLE}"
        asked = (sink, *sites, now)
        with self._writing() as connection:
            first = connection.execute(
                f"SELECT action FROM messages WHERE {due} ORDER BY due, sequence LIMIT 1",  # noqa: S608  bound
                asked,
            ).fetchone()
            if first is None:
                return []
            rows = connection.execute(
                f"UPDATE messages SET state = 'sending', owner = ?, due = ?, attempts = attempts + 1, changed_at = ? "  # noqa: S608  bound
                f"WHERE sequence IN (SELECT sequence FROM messages WHERE {due} AND action = ? ORDER BY due, "
                f"sequence LIMIT ?) RETURNING sequence, {_READ}",
                (by, now + lease_s, now, *asked, first[0], limit),
            ).fetchall()
        return [_kept(row[1:]).message for row in sorted(rows)]

    def keep_job(self, by: str, job: str, ids: Sequence[str]) -> None:
        """Store what a sink keeps of an attempt, with messages that this process has claimed."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE messages SET job = ? WHERE id = ? AND owner = ?", [(job, one, by) for one in ids]
            )

    def renew(self, by: str, lease_s: float) -> int:
        """Lengthen the lease of all that a process has claimed; return how many messages that is."""
        with self._writing() as connection:
            return connection.execute(
                "UPDATE messages SET due = ? WHERE owner = ? AND state IN ('sending', 'unknown')",
                (self.clock() + lease_s, by),
            ).rowcount

    def settle(self, by: str, settled: Sequence[Settled]) -> None:
        """Store what became of claimed messages; a receipt counts whoever has the message meanwhile."""
        now = self.clock()
        rows = [
            (
                *(one.state, one.due, _shown(one.reply), _shown(one.reference), now),
                *(one.state, one.state, one.id, by, one.state),
            )
            for one in settled
        ]
        with self._writing() as connection:
            connection.executemany(
                "UPDATE messages SET state = ?, due = ?, owner = '', reply = ?, reference = ?, changed_at = ?, "
                "content = CASE ? WHEN 'accepted' THEN '{}' ELSE content END, "
                "job = CASE ? WHEN 'unknown' THEN job ELSE '' END "
                "WHERE id = ? AND state <> 'accepted' AND (owner = ? OR ? = 'accepted')",
                rows,
            )
            # What the system never had need not be taken back.
            connection.executemany(
                "UPDATE messages SET state = 'cancelled', changed_at = ? WHERE key = ? AND action = 'withdraw' "
                "AND state = 'waiting'",
                [(now, one.id) for one in settled if one.state == "refused"],
            )

    def abandoned(self, sink: str) -> int:
        """Make messages `unknown` whose process has let the lease end; return how many."""
        now = self.clock()
        with self._writing() as connection:
            return connection.execute(
                "UPDATE messages SET state = 'unknown', owner = '', due = ?, changed_at = ?, "
                "reply = 'its process ended before the answer' WHERE sink = ? AND state = 'sending' AND due <= ?",
                (now, now, sink, now),
            ).rowcount

    def unknown(self, sink: str, sites: Collection[str], *, by: str, limit: int, lease_s: float) -> list[Message]:
        """Give unknown messages that are due to one process, to ask what became of them; they stay unknown."""
        now = self.clock()
        with self._writing() as connection:
            rows = connection.execute(
                f"UPDATE messages SET owner = ?, due = ? WHERE sequence IN (SELECT sequence FROM messages "  # noqa: S608  bound
                f"WHERE sink = ? AND site IN ({_places(sites)}) AND state = 'unknown' AND due <= ? ORDER BY due, "
                f"sequence LIMIT ?) RETURNING sequence, {_READ}",
                (by, now + lease_s, sink, *sites, now, limit),
            ).fetchall()
        return [_kept(row[1:]).message for row in sorted(rows)]

    def next_due(self, sink: str, sites: Collection[str]) -> float | None:
        """Return the moment at which something of these sites is due, or a lease ends; None where nothing waits."""
        rows = self._rows(
            f"SELECT min(due) FROM messages WHERE sink = ? AND site IN ({_places(sites)}) "  # noqa: S608  bound
            f"AND state IN ('waiting', 'sending', 'unknown') AND {_SENDABLE}",
            (sink, *sites),
        )
        return None if rows[0][0] is None else float(rows[0][0])

    def standing(self) -> list[Standing]:
        """Return how many messages are in each state, by sink and site."""
        rows = self._rows(
            "SELECT sink, site, state, count(*), min(put_at) FROM messages GROUP BY sink, site, state ORDER BY 1, 2, 3"
        )
        return [Standing(sink=row[0], site=row[1], state=row[2], count=row[3], oldest=row[4]) for row in rows]

    def find(
        self,
        *,
        sink: str | None = None,
        site: str | None = None,
        states: Collection[State] = (),
        ids: Collection[str] = (),
        limit: int = 1000,
    ) -> list[Kept]:
        """Return messages, oldest first; of every sink, site or state where none is named."""
        wanted: list[tuple[str, tuple[Any, ...]]] = []
        if sink is not None:
            wanted.append(("sink = ?", (sink,)))
        if site is not None:
            wanted.append(("site = ?", (site,)))
        if states:
            wanted.append((f"state IN ({_places(states)})", tuple(states)))
        if ids:
            wanted.append((f"id IN ({_places(ids)})", tuple(ids)))
        where = " AND ".join(text for text, _ in wanted) or "TRUE"
        values = [value for _, some in wanted for value in some]
        rows = self._rows(f"SELECT {_READ} FROM messages WHERE {where} ORDER BY sequence LIMIT ?", (*values, limit))  # noqa: S608  bound
        return [_kept(row) for row in rows]

    def replay(self, ids: Collection[str]) -> int:
        """Let refused messages wait again, due now; return how many."""
        now = self.clock()
        with self._writing() as connection:
            return connection.executemany(
                "UPDATE messages SET state = 'waiting', due = ?, changed_at = ?, recorded = '' "
                "WHERE id = ? AND state = 'refused'",
                [(now, now, one) for one in ids],
            ).rowcount

    def let_go(self, sink: str, site: str) -> int:
        """Let held messages wait as others do; return how many."""
        now = self.clock()
        with self._writing() as connection:
            return connection.execute(
                "UPDATE messages SET state = 'waiting', due = ?, changed_at = ?, reply = '' "
                "WHERE sink = ? AND site = ? AND state = 'held'",
                (now, now, sink, site),
            ).rowcount

    def withdraw(self, sink: str, site: str, release: int) -> tuple[int, int]:
        """Cancel a release's messages that were not sent, and put a withdrawal for each that was or may have been."""
        now = self.clock()
        mine = "sink = ? AND site = ? AND release = ? AND action = 'upsert'"
        with self._writing() as connection:
            cancelled = connection.execute(
                f"UPDATE messages SET state = 'cancelled', content = '{{}}', changed_at = ? WHERE {mine} "  # noqa: S608  bound
                "AND state IN ('held', 'waiting', 'refused')",
                (now, sink, site, release),
            ).rowcount
            put = connection.execute(
                "INSERT OR IGNORE INTO messages (id, key, action, sink, site, release, identity, content, state, due, "  # noqa: S608  bound
                "put_at, changed_at) SELECT key || '.withdraw', key, 'withdraw', sink, site, release, identity, '{}', "
                f"'waiting', ?, ?, ? FROM messages WHERE {mine} AND state IN ('accepted', 'sending', 'unknown')",
                (now, now, now, sink, site, release),
            ).rowcount
        return cancelled, put

    def receipts(self, sites: Collection[str], limit: int) -> list[Kept]:
        """Return messages that came to an end and are not marked as recorded elsewhere, oldest first."""
        rows = self._rows(
            f"SELECT {_READ} FROM messages WHERE site IN ({_places(sites)}) AND {_ENDED} AND recorded <> state "  # noqa: S608  bound
            "ORDER BY sequence LIMIT ?",
            (*sites, limit),
        )
        return [_kept(row) for row in rows]

    def mark_recorded(self, kept: Sequence[Kept]) -> None:
        """Note that these, as they stand, are recorded elsewhere."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE messages SET recorded = ? WHERE id = ?", [(one.state, one.message.id) for one in kept]
            )

    def note(self, name: str, text: str) -> None:
        """Keep a text under a name, in the place of the one before."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO notes (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                (name, text),
            )

    def noted(self, name: str) -> str:
        """Return the text under a name, empty for none."""
        rows = self._rows("SELECT text FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

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
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._faults(), self._taking_turns:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)  # what it holds may be personal
            os.close(handle)
            connection = sqlite3.connect(self.file, timeout=60, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, LAYOUT):
                connection.close()
                raise OutboxError(
                    f"the outbox {self.file} has layout {layout}, and this version of the library knows {LAYOUT}; use "
                    "the version that wrote it"
                )
            if layout == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {LAYOUT}; COMMIT")
            self._connection = connection
        return self._connection

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


def _places(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _shown(text: str) -> str:
    """Return what a system said without secrets, and not all of it."""
    return masked(text)[:LONGEST_REPLY] if text else ""


def _json(values: Any) -> str:
    return msgspec.json.encode(dict(values)).decode()


def _kept(row: Sequence[Any]) -> Kept:
    (one, key, action, sink, site, identity, content, state, due, attempts, job, reply, reference, put, changed) = row
    message = Message(
        key=key,
        sink=sink,
        site=site,
        identity=msgspec.json.decode(identity),
        content=msgspec.json.decode(content),
        action=action,
        attempts=attempts,
        job=job,
    )
    assert message.id == one, one  # noqa: S101  the primary key is made of both
    return Kept(message=message, state=state, put_at=put, changed_at=changed, due=due, reply=reply, reference=reference)

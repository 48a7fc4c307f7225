"""An outbox in SQL: the tables and statements that SQLite and PostgreSQL have in common.

A statement's values are bound, each at a `?`. What differs is a subclass's: how a transaction begins and ends, whose
clock it reads, and how rows that another process has locked are passed over.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from factory.connectors.outbox.outbox import Kept, Settled, Standing, State
from factory.connectors.sinks.message import Message
from factory.errors.masking import masked

LAYOUT = 1
"""The number of the tables' layout, kept in the database; another one is refused."""
LONGEST_REPLY = 2000
"""Characters of a system's reply that are kept."""
TABLES = """
CREATE TABLE IF NOT EXISTS messages (
    sequence   {sequence},
    id         TEXT NOT NULL UNIQUE,
    key        TEXT NOT NULL,
    action     TEXT NOT NULL,
    sink       TEXT NOT NULL,
    site       TEXT NOT NULL,
    release    BIGINT,
    identity   TEXT NOT NULL,
    content    TEXT NOT NULL,
    state      TEXT NOT NULL,
    due        DOUBLE PRECISION NOT NULL,
    owner      TEXT NOT NULL DEFAULT '',
    attempts   INTEGER NOT NULL DEFAULT 0,
    job        TEXT NOT NULL DEFAULT '',
    reply      TEXT NOT NULL DEFAULT '',
    reference  TEXT NOT NULL DEFAULT '',
    put_at     DOUBLE PRECISION NOT NULL,
    changed_at DOUBLE PRECISION NOT NULL,
    recorded   TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS due ON messages (sink, state, due);
CREATE INDEX IF NOT EXISTS unrecorded ON messages (site)
    WHERE state IN ('accepted', 'refused', 'cancelled') AND recorded <> state;
CREATE INDEX IF NOT EXISTS owned ON messages (owner) WHERE state IN ('sending', 'unknown');
CREATE INDEX IF NOT EXISTS of_site ON messages (sink, site, state, put_at);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
"""`sequence` is the database's own counter."""
_READ = (
    "id, key, action, sink, site, identity, content, state, due, attempts, job, reply, reference, put_at, changed_at"
)
_SENDABLE = (
    "(action = 'upsert' OR EXISTS (SELECT 1 FROM messages AS sent WHERE sent.id = messages.key "
    "AND sent.state = 'accepted'))"
)
"""A withdrawal is sent once the system has what it takes back."""
_ENDED = "state IN ('accepted', 'refused', 'cancelled')"


@dataclass(frozen=True)
class Transaction:
    """An open transaction, by a driver's cursor."""

    cursor: Any
    now: float
    """The moment of the transaction by the outbox's clock, as Unix time."""
    place: str = "?"
    """What the driver writes where a value is bound."""

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        self.cursor.execute(statement.replace("?", self.place), values)
        rows: list[tuple[Any, ...]] = self.cursor.fetchall()
        return rows

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Return how many rows a statement changed."""
        self.cursor.execute(statement.replace("?", self.place), values)
        return int(self.cursor.rowcount)

    def change_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """Return how many rows a statement changed with each of these values."""
        if not rows:
            return 0
        self.cursor.executemany(statement.replace("?", self.place), rows)
        return int(self.cursor.rowcount)


class SqlOutbox(ABC):
    """The messages of one line in a database's tables `messages` and `notes`; safe among threads."""

    _unlocked: ClassVar[str] = ""
    """What a SELECT ends in that leaves out rows another transaction has locked; empty where writers take turns."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._taking_turns = threading.RLock()

    @abstractmethod
    def _writing(self, *, adds: bool = False) -> AbstractContextManager[Transaction]:
        """Open a transaction that is durable when the block ends; of those that add messages one goes at a time."""

    @abstractmethod
    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that changes nothing."""

    @abstractmethod
    def _compact(self) -> None:
        """Leave nothing of deleted rows in the database's files."""

    def put(self, messages: Iterable[Message], *, held: str = "") -> int:
        """Store messages that are not there yet, and return how many were new; with `held` they wait for a person."""
        state = "held" if held else "waiting"
        rows = [
            (
                *(message.id, message.key, message.action, message.sink, message.site),
                *(message.identity.get("release"), _json(message.identity), _json(message.content)),
                *(state, masked(held)),
            )
            for message in messages
        ]
        with self._writing(adds=True) as transaction:
            now = transaction.now
            return transaction.change_each(
                "INSERT INTO messages (id, key, action, sink, site, release, identity, content, state, reply, due, "
                "put_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(*row, now, now, now) for row in rows],
            )

    def keys(self, sink: str, site: str) -> set[str]:
        """Return the keys of all messages of a sink and site, whatever became of them."""
        rows = self._rows("SELECT DISTINCT key FROM messages WHERE sink = ? AND site = ?", (sink, site))
        return {key for (key,) in rows}

    def claim(self, sink: str, sites: Collection[str], *, by: str, limit: int, lease_s: float) -> list[Message]:
        """Give messages that are due, oldest first, of one action, to one process for so long; no other gets them."""
        due = f"sink = ? AND site IN ({_places(sites)}) AND state = 'waiting' AND due <= ? AND {_SENDABLE}"
        with self._writing() as transaction:
            now = transaction.now
            asked = (sink, *sites, now)
            first = transaction.rows(
                f"SELECT action FROM messages WHERE {due} ORDER BY due, sequence LIMIT 1{self._unlocked}",  # noqa: S608  bound
                asked,
            )
            if not first:
                return []
            rows = transaction.rows(
                f"WITH due AS MATERIALIZED (SELECT sequence FROM messages WHERE {due} AND action = ? "  # noqa: S608  bound
                f"ORDER BY due, sequence LIMIT ?{self._unlocked}) "
                "UPDATE messages SET state = 'sending', owner = ?, due = ?, attempts = attempts + 1, changed_at = ? "
                f"WHERE sequence IN (SELECT sequence FROM due) RETURNING sequence, {_READ}",
                (*asked, first[0][0], limit, by, now + lease_s, now),
            )
        return [_kept(row[1:]).message for row in sorted(rows)]

    def keep_job(self, by: str, job: str, ids: Sequence[str]) -> None:
        """Store what a sink keeps of an attempt, with messages that this process has claimed."""
        with self._writing() as transaction:
            transaction.change_each(
                "UPDATE messages SET job = ? WHERE id = ? AND owner = ?", [(job, one, by) for one in ids]
            )

    def renew(self, by: str, lease_s: float) -> int:
        """Lengthen the lease of all that a process has claimed; return how many messages that is."""
        with self._writing() as transaction:
            return transaction.change(
                "UPDATE messages SET due = ? WHERE owner = ? AND state IN ('sending', 'unknown')",
                (transaction.now + lease_s, by),
            )

    def settle(self, by: str, settled: Sequence[Settled]) -> None:
        """Store what became of claimed messages; a receipt counts whoever has the message meanwhile."""
        settled = sorted(settled, key=lambda one: one.id)  # two that settle the same rows take turns, in one order
        with self._writing() as transaction:
            now = transaction.now
            rows = [
                (
                    *(one.state, one.due, _shown(one.reply), _shown(one.reference), now),
                    *(one.state, one.state, one.id, by, one.state),
                )
                for one in settled
            ]
            transaction.change_each(
                "UPDATE messages SET state = ?, due = ?, owner = '', reply = ?, reference = ?, changed_at = ?, "
                "content = CASE ? WHEN 'accepted' THEN '{}' ELSE content END, "
                "job = CASE ? WHEN 'unknown' THEN job ELSE '' END "
                "WHERE id = ? AND state <> 'accepted' AND (owner = ? OR ? = 'accepted')",
                rows,
            )
            # What the system never had need not be taken back.
            transaction.change_each(
                "UPDATE messages SET state = 'cancelled', changed_at = ? WHERE key = ? AND action = 'withdraw' "
                "AND state = 'waiting'",
                [(now, one.id) for one in settled if one.state == "refused"],
            )

    def abandoned(self, sink: str) -> int:
        """Make messages `unknown` whose process has let the lease end; return how many."""
        with self._writing() as transaction:
            now = transaction.now
            return transaction.change(
                "WITH ended AS MATERIALIZED (SELECT sequence FROM messages WHERE sink = ? AND state = 'sending' "  # noqa: S608  bound
                f"AND due <= ?{self._unlocked}) UPDATE messages SET state = 'unknown', owner = '', due = ?, "
                "changed_at = ?, reply = 'its process ended before the answer' "
                "WHERE sequence IN (SELECT sequence FROM ended)",
                (sink, now, now, now),
            )

    def unknown(self, sink: str, sites: Collection[str], *, by: str, limit: int, lease_s: float) -> list[Message]:
        """Give unknown messages that are due to one process, to ask what became of them; they stay unknown."""
        with self._writing() as transaction:
            now = transaction.now
            rows = transaction.rows(
                "WITH due AS MATERIALIZED (SELECT sequence FROM messages "  # noqa: S608  bound
                f"WHERE sink = ? AND site IN ({_places(sites)}) AND state = 'unknown' AND due <= ? ORDER BY due, "
                f"sequence LIMIT ?{self._unlocked}) UPDATE messages SET owner = ?, due = ? "
                f"WHERE sequence IN (SELECT sequence FROM due) RETURNING sequence, {_READ}",
                (sink, *sites, now, limit, by, now + lease_s),
            )
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
        with self._writing() as transaction:
            now = transaction.now
            return transaction.change_each(
                "UPDATE messages SET state = 'waiting', due = ?, changed_at = ?, recorded = '' "
                "WHERE id = ? AND state = 'refused'",
                [(now, now, one) for one in ids],
            )

    def let_go(self, sink: str, site: str) -> int:
        """Let held messages wait as others do; return how many."""
        with self._writing() as transaction:
            now = transaction.now
            return transaction.change(
                "UPDATE messages SET state = 'waiting', due = ?, changed_at = ?, reply = '' "
                "WHERE sink = ? AND site = ? AND state = 'held'",
                (now, now, sink, site),
            )

    def withdraw(self, sink: str, site: str, release: int) -> tuple[int, int]:
        """Cancel a release's messages that were not sent, and put a withdrawal for each that was or may have been."""
        now = self.clock()
        mine = "sink = ? AND site = ? AND release = ? AND action = 'upsert'"
        with self._writing(adds=True) as transaction:
            cancelled = transaction.change(
                f"UPDATE messages SET state = 'cancelled', content = '{{}}', changed_at = ? WHERE {mine} "  # noqa: S608  bound
                "AND state IN ('held', 'waiting', 'refused')",
                (now, sink, site, release),
            )
            put = transaction.change(
                "INSERT INTO messages (id, key, action, sink, site, release, identity, content, state, due, "  # noqa: S608  bound
                "put_at, changed_at) SELECT key || '.withdraw', key, 'withdraw', sink, site, release, identity, '{}', "
                f"'waiting', ?, ?, ? FROM messages WHERE {mine} AND state IN ('accepted', 'sending', 'unknown') "
                "ON CONFLICT DO NOTHING",
                (now, now, now, sink, site, release),
            )
        return cancelled, put

    def withdrawable(self, site: str, release: int) -> list[Standing]:
        """Return how many of a release's messages `withdraw` would cancel or take back, by sink and state."""
        rows = self._rows(
            "SELECT sink, site, state, count(*), min(put_at) FROM messages WHERE site = ? AND release = ? "
            "AND action = 'upsert' AND state <> 'cancelled' AND NOT EXISTS (SELECT 1 FROM messages AS back "
            "WHERE back.id = messages.key || '.withdraw') GROUP BY sink, site, state ORDER BY 1, 2, 3",
            (site, release),
        )
        return [Standing(sink=row[0], site=row[1], state=row[2], count=row[3], oldest=row[4]) for row in rows]

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
        with self._writing() as transaction:
            transaction.change_each(
                "UPDATE messages SET recorded = ? WHERE id = ?", [(one.state, one.message.id) for one in kept]
            )

    def note(self, name: str, text: str) -> None:
        """Keep a text under a name, in the place of the one before."""
        with self._writing() as transaction:
            transaction.change(
                "INSERT INTO notes (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                (name, text),
            )

    def noted(self, name: str) -> str:
        """Return the text under a name, empty for none."""
        rows = self._rows("SELECT text FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def forget(self, is_about: Callable[[str, str], bool], scrub: Callable[[str], str]) -> int:
        """Remove messages by their site and identity, and words from the texts of all others; return how many went."""
        rows = self._rows("SELECT id, site, identity, content, job, reply, reference FROM messages")
        gone = [(one,) for one, site, identity, *_ in rows if is_about(site, identity)]
        others = [
            (*texts, one)
            for one, site, identity, *said in rows
            if not is_about(site, identity) and (texts := [scrub(text) for text in said]) != said
        ]
        with self._writing() as transaction:
            transaction.change_each("DELETE FROM messages WHERE id = ?", gone)
            transaction.change_each(
                "UPDATE messages SET content = ?, job = ?, reply = ?, reference = ? WHERE id = ?", others
            )
        if gone or others:
            self._compact()
        return len(gone)


def _places(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _shown(text: str) -> str:
    """Return what a system said without secrets, and not all of it."""
    return masked(text)[:LONGEST_REPLY].replace("\0", "") if text else ""


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

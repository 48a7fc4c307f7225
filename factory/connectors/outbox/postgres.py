"""The outbox of several machines: a schema of a PostgreSQL database for each line.

Machines differ in their clocks, so each transaction reads the server's. A process passes over messages that another is
claiming (FOR UPDATE SKIP LOCKED), and those that add messages take turns, so that two of them never wait for each
other.
"""

import re
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from factory.connectors.outbox.sql import LAYOUT, TABLES, SqlOutbox, Transaction
from factory.errors import EnvironmentRefused, OutboxError
from factory.errors.masking import keep_secret, masked, masked_cause

if TYPE_CHECKING:
    import psycopg

_ADDING = 0x0B0C5
"""The number of the lock for those that make tables or add messages; with the schema's own number it is a line's."""
_CONNECT_S, _ANSWER_MS = 10, 60_000


class PostgresOutbox(SqlOutbox):
    """The messages of one line in one schema; safe among threads, processes and machines."""

    _unlocked = " FOR UPDATE OF messages SKIP LOCKED"

    def __init__(self, url: str, schema: str, clock: Callable[[], float] | None = None) -> None:
        """`clock` is the server's unless another is given. Raises EnvironmentRefused for no URL of PostgreSQL."""
        if not re.match(r"postgres(ql)?(\+psycopg)?://", url):
            raise EnvironmentRefused(
                "FACTORY_OUTBOX_URL is no URL of a PostgreSQL database: write postgresql://user:password@host/database"
            )
        super().__init__(clock or self._server_clock)
        keep_secret(url)
        self.url, self.schema = url.replace("+psycopg", "", 1), schema
        self._own_clock = clock
        self._ahead = 0.0
        self._connection: psycopg.Connection[Any] | None = None

    def schemas(self) -> list[str]:
        """Return the schemas of the database that hold an outbox, this one among them or not."""
        with self._faults(), self._connected() as connection:
            rows = connection.execute(
                "SELECT schemaname FROM pg_tables WHERE tablename = 'messages' INTERSECT "
                "SELECT schemaname FROM pg_tables WHERE tablename = 'notes' ORDER BY 1"
            ).fetchall()
        return [name for (name,) in rows]

    def close(self) -> None:
        """Close the connection."""
        with self._taking_turns:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _server_clock(self) -> float:
        """Return the server's time, by this machine's clock and how far it was behind when a transaction last began."""
        with self._taking_turns:
            if self._connection is None:
                with self._writing():
                    pass
        return time.time() + self._ahead

    def _now(self, cursor: "psycopg.Cursor[Any]") -> float:
        """Return the moment by the server's clock, and note how far this machine's is behind it."""
        if self._own_clock is not None:
            return self._own_clock()
        (now,) = cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone() or (time.time(),)
        self._ahead = now - time.time()
        return float(now)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._faults(), self._taking_turns, self._opened().cursor() as cursor:
            return Transaction(cursor, 0.0, "%s").rows(statement, values)

    @contextmanager
    def _writing(self, *, adds: bool = False) -> Iterator[Transaction]:
        with self._faults(), self._taking_turns:
            connection = self._opened()
            with connection.transaction(), connection.cursor() as cursor:
                if adds:
                    self._take_turn(cursor)
                yield Transaction(cursor, self._now(cursor), "%s")

    def _take_turn(self, cursor: "psycopg.Cursor[Any]") -> None:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_ADDING, self.schema))

    def _compact(self) -> None:
        with self._faults(), self._taking_turns:
            self._opened().execute("VACUUM FULL messages")

    def _opened(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            connection = self._connected()
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            weakref.finalize(self, connection.close)  # an outbox that nobody has any more keeps no connection
            self._connection = connection
        return self._connection

    def _connected(self) -> "psycopg.Connection[Any]":
        try:
            import psycopg
        except ImportError as error:
            raise EnvironmentRefused(
                "an outbox in PostgreSQL needs this library's extra: pip install 'ai-factory[postgres]'"
            ) from error
        options = f"-c statement_timeout={_ANSWER_MS} -c synchronous_commit=on"
        return psycopg.connect(
            self.url, autocommit=True, connect_timeout=_CONNECT_S, options=options, application_name="factory outbox"
        )

    def _prepare(self, connection: "psycopg.Connection[Any]") -> None:
        """Make the line's tables where they are not there; raises OutboxError where another version made them."""
        from psycopg import sql

        name = sql.Identifier(self.schema)
        with connection.transaction(), connection.cursor() as cursor:
            self._take_turn(cursor)
            if not cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.schema,)).fetchone():
                cursor.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            cursor.execute(sql.SQL("SET search_path TO {}").format(name))
            if cursor.execute("SELECT to_regclass('notes')").fetchone() == (None,):
                tables = TABLES.format(sequence="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
                cursor.execute(sql.SQL(tables))
                cursor.execute("INSERT INTO notes (name, text) VALUES ('layout', %s)", (str(LAYOUT),))
            (layout,) = cursor.execute("SELECT text FROM notes WHERE name = 'layout'").fetchone() or ("",)
        if layout != str(LAYOUT):
            raise OutboxError(
                f"the outbox {self.schema} has layout {layout or 'unknown'}, and this version of the library knows "
                f"{LAYOUT}; use the version that wrote it"
            )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith("psycopg"):
                raise
            raise OutboxError(
                f"the outbox {self.schema} in PostgreSQL (FACTORY_OUTBOX_URL) cannot be read or written: "
                f"{masked(str(error).strip())}; what it holds is kept. Run the same command again when the database "
                "answers and its user may use the schema"
            ) from masked_cause(error)

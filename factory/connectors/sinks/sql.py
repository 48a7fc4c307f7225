"""Decisions into a SQL table, a row each: PostgreSQL, MySQL or MariaDB, SQLite.

The table has a column for the message's key with a unique index on it. A row whose key is there already is left as it
is, so that a retry neither doubles it nor overwrites what people have done with it since. A batch is one transaction;
where a row is refused the batch is halved until the others are in.

With `options: {current_by: [machine_id]}` the table has one row for each machine instead: the newest decision about it,
whatever order the messages come in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, ClassVar

import sqlalchemy as sa

from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, Result, Value, accepted, busy, refused
from factory.connectors.sinks.sink import Job
from factory.errors import LineError, ServiceUnreachable
from factory.errors.masking import masked, masked_cause
from factory.line.sinks import ColumnKind

BATCH_ROWS = 1000
KEY_LENGTH = 32
DECIDED_AT = "decided_at"
_ORDER = (DECIDED_AT, "release")
"""The message's columns by which one decision about a thing is newer than another."""
_BOUND = "new_"
"""What a bound value's name begins with, beside the columns' own."""
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_DRIVERS["mariadb"] = "mariadb+pymysql"
_OF_ROWS = (sa.exc.IntegrityError, sa.exc.DataError)
_CODES_OF_ROWS = ("P0001", 4025, 3819, 1364, 1366, 1292, 1406, 1264, 1644)
"""By which PostgreSQL (a trigger's RAISE) and MySQL (checks, defaults, lengths, triggers) refuse a row's values."""


@dataclass(frozen=True, kw_only=True)
class SqlOptions:
    """What a SQL sink asks for beside its place."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    current_by: tuple[str, ...] = ()
    """The columns that name a thing, unique together: its row holds the newest decision. None for a row a decision."""


def sql_sink(target: Target) -> "SqlSink":
    """Return the sink of a SQL table; raises LineError where table or key are not said."""
    options: SqlOptions = target.options(SqlOptions)
    if not target.thing:
        raise LineError(f"{target.named}: to: name the table, as in {target.shown}::decisions")
    if not target.section.key:
        raise LineError(
            f"{target.named}: key: name the column that takes the message's key; it must have a unique index, by which "
            "a decision that is sent again is known"
        )
    for name in options.current_by:
        if name not in target.section.fields:
            raise LineError(f"{target.named}: options: current_by: no message fills {name!r}: name it in `fields`")
    if options.current_by and DECIDED_AT not in target.section.fields.values():
        raise LineError(
            f"{target.named}: options: current_by: name in `fields` which column takes `{DECIDED_AT}`, by which newer "
            "decisions are told from older ones"
        )
    return SqlSink(target, options.current_by)


class SqlSink:
    """One table of a database."""

    batch_size = BATCH_ROWS
    repeatable = True

    def __init__(self, target: Target, current_by: Sequence[str] = ()) -> None:
        self.target = target
        self.key = target.section.key
        self.current_by = list(current_by)
        self.unique = self.current_by or [self.key]
        """The columns by which a row is known again."""

    def check(self) -> list[str]:
        """Return how the mapping does not fit the table's columns and unique index."""
        with self._asked():
            table, found = self._table, []
            section = self.target.section
            for name in (self.key, *section.fields, *section.constants, *section.withdrawn):
                if name not in table.columns:
                    found.append(f"the table {table} has no column {name!r}; it has {', '.join(table.columns.keys())}")
            found += [] if found else [*self._key_misfits(), *self._unfilled(), *self._type_misfits()]
            return found

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:  # noqa: ARG002  a transaction is enough
        """Insert the rows that are not there, or set `withdrawn` in those that are taken back.

        With `current_by` a thing's row is brought up to date where the decision in it is older; one that shows another
        decision by now is not taken back.
        """
        if messages[0].action == "withdraw":
            return self._in_halves(messages, self._withdraw)
        return self._in_halves(messages, self._insert)

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return which messages have a row."""
        with self._asked():
            column = self._table.columns[self.key]
            by_key = {message.key: message.id for message in messages}
            with self._engine.connect() as connection:
                rows = connection.execute(sa.select(column).where(column.in_(by_key))).all()
            return {by_key[str(key)]: str(key) for (key,) in rows}

    def close(self) -> None:
        """Close the connections."""
        if "_engine" in vars(self):
            self._engine.dispose()

    def _in_halves(
        self, messages: Sequence[Message], write: Callable[[sa.Connection, Sequence[Message]], None]
    ) -> Iterator[Result]:
        """Write messages in one transaction; where one is refused, each half for itself."""
        try:
            _ = self._insert_statement  # looked up before a transaction is open
            with self._engine.begin() as connection:
                write(connection, messages)
        except LineError as error:
            yield from (refused(message, str(error)) for message in messages)
        except sa.exc.DBAPIError as error:
            if not _is_of_a_row(error):  # a commit that was cut off is known by the keys
                yield busy(messages[0], _said(error))
                return
            if len(messages) == 1:
                yield refused(messages[0], _said(error))
                return
            middle = len(messages) // 2
            yield from self._in_halves(messages[:middle], write)
            yield from self._in_halves(messages[middle:], write)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            yield busy(messages[0], _said(error))
        else:
            yield from (accepted(message, reference=message.key) for message in messages)

    def _insert(self, connection: sa.Connection, messages: Sequence[Message]) -> None:
        types = {column.name: column.type for column in self._table.columns}
        rows = [
            {name: for_column(value, types[name]) for name, value in message.fields.items()} for message in messages
        ]
        connection.execute(self._insert_statement, rows)
        if self.current_by:
            connection.execute(self._update_statement, [_bound(row) for row in rows])

    def _withdraw(self, connection: sa.Connection, messages: Sequence[Message]) -> None:
        section, columns = self.target.section, self._table.columns
        if not section.withdrawn:
            raise LineError(f"{self.target.named}: the line's file says no `withdrawn` fields, so no row is changed")
        values = {name: for_column(value, columns[name].type) for name, value in section.withdrawn.items()}
        keys = [message.key for message in messages]
        connection.execute(sa.update(self._table).where(columns[self.key].in_(keys)).values(values))

    @cached_property
    def _insert_statement(self) -> Any:
        """What inserts a row unless its key is there."""
        name = self._engine.dialect.name
        if name in ("mysql", "mariadb"):
            from sqlalchemy.dialects import mysql

            insert = mysql.insert(self._table)
            return insert.on_duplicate_key_update({self.key: self._table.columns[self.key]})  # changes nothing
        from sqlalchemy.dialects import postgresql, sqlite

        some = postgresql.insert(self._table) if name == "postgresql" else sqlite.insert(self._table)
        return some.on_conflict_do_nothing(index_elements=self.unique)

    @cached_property
    def _update_statement(self) -> Any:
        """What brings a thing's row up to date unless its decision is as new: by moment, then release, where told."""
        columns, section = self._table.columns, self.target.section
        order = [name for source in _ORDER for name, column in section.fields.items() if column == source]
        newer: Any = sa.false()
        for name in reversed(order):
            told = sa.bindparam(f"{_BOUND}{name}", type_=columns[name].type)
            here = columns[name]
            newer = sa.or_(here.is_(None), here < told, sa.and_(here == told, newer))
        changed = [self.key, *section.fields, *section.constants]
        values: dict[str, Any] = {
            name: sa.bindparam(f"{_BOUND}{name}") for name in changed if name not in self.current_by
        }
        same = [columns[name] == sa.bindparam(f"{_BOUND}{name}") for name in self.current_by]
        return sa.update(self._table).where(*same, newer).values(values)

    @cached_property
    def _engine(self) -> sa.Engine:
        try:
            url = sa.make_url(self.target.address)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise LineError(
                f"{self.target.named}: to: {self.target.shown} holds no SQLAlchemy URL; write dialect://…::table"
            ) from masked_cause(error)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            url = url.set(database=str((self.target.project / url.database).absolute()))
        try:
            return sa.create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            extra = "postgres" if url.get_backend_name() == "postgresql" else "mysql"
            raise LineError(
                f"{self.target.named}: {error}; install the driver with this library's extra: "
                f"pip install 'ai-factory[{extra}]'"
            ) from masked_cause(error)

    @cached_property
    def _table(self) -> sa.Table:
        schema, _, name = self.target.thing.rpartition(".")
        return sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=self._engine)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Raise LineError where there is no such table, and ServiceUnreachable where nobody says so."""
        try:
            yield
        except sa.exc.NoSuchTableError as error:
            raise LineError(
                f"{self.target.named}: the database has no table {self.target.thing!r}; make it, or mend its name"
            ) from masked_cause(error)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise ServiceUnreachable(
                f"{self.target.named}: the database of {self.target.shown} cannot be asked: {_said(error)}; is it up, "
                "and may this user read the table?"
            ) from masked_cause(error)

    def _key_misfits(self) -> Iterator[str]:
        inspector = sa.inspect(self._engine)
        name, schema = self._table.name, self._table.schema
        indexes: list[Any] = [index["column_names"] for index in inspector.get_indexes(name, schema) if index["unique"]]
        constraints = [one["column_names"] for one in inspector.get_unique_constraints(name, schema)]
        primary = inspector.get_pk_constraint(name, schema)["constrained_columns"]
        if set(self.unique) not in [set(columns) for columns in (*indexes, *constraints, primary)]:
            named = ", ".join(self.unique)
            yield (
                f"{self._table} has no unique index on {named!r}, so a decision that is sent again would be there "
                f"twice: CREATE UNIQUE INDEX ON {self._table} ({named})"
            )
        for name in self.current_by:
            if self._table.columns[name].nullable and not self._table.columns[name].primary_key:
                yield f"the column {name!r} of current_by may be empty, and empty ones are not unique: make it NOT NULL"
        length = getattr(self._table.columns[self.key].type, "length", None)
        if not isinstance(self._table.columns[self.key].type, sa.String) or (length and length < KEY_LENGTH):
            yield f"the column {self.key!r} takes no text of {KEY_LENGTH} signs: {self._table.columns[self.key].type}"

    def _unfilled(self) -> Iterator[str]:
        section = self.target.section
        filled = {self.key, *section.fields, *section.constants}
        for column in self._table.columns:
            has_own = column.server_default is not None or column.identity is not None or column.computed is not None
            numbered = column.primary_key and column.autoincrement and isinstance(column.type, sa.Integer)
            if column.name not in filled and not column.nullable and not has_own and not numbered:
                yield f"the column {column.name!r} must have a value, and nothing fills it: name it under `fields`"

    def _type_misfits(self) -> Iterator[str]:
        for name, source in self.target.section.fields.items():
            kind, wanted = self.target.columns.get(source, "anything"), self._table.columns[name].type
            if not fits(kind, wanted):
                yield f"the column {name!r} is {wanted}, and {source!r} is a {kind}"
            if self.current_by and source == DECIDED_AT:
                if not isinstance(wanted, sa.DateTime):
                    yield f"the column {name!r} is {wanted}, and to tell newer decisions from older it must be a moment"
                elif getattr(wanted, "fsp", None) != 6 and self._engine.dialect.name in ("mysql", "mariadb"):
                    yield f"the column {name!r} is {wanted} and rounds moments, which mixes up their order: DATETIME(6)"


def fits(kind: ColumnKind, wanted: sa.types.TypeEngine[Any]) -> bool:
    """Whether a column of a type keeps every value of a kind as it is; a type that is not known keeps all."""
    if isinstance(wanted, sa.String | sa.types.NullType) or kind == "anything":
        return True
    keeps: tuple[tuple[type[sa.types.TypeEngine[Any]], tuple[ColumnKind, ...]], ...] = (
        (sa.Boolean, ("truth",)),
        (sa.Integer, ("whole number", "truth")),
        (sa.Numeric, ("whole number", "number")),
        (sa.Float, ("whole number", "number")),
        (sa.DateTime, ("moment", "day")),
        (sa.Date, ("day",)),
    )
    return next((kind in kinds for type_, kinds in keeps if isinstance(wanted, type_)), True)


def for_column(value: Value, wanted: sa.types.TypeEngine[Any]) -> Any:
    """Return a message's value as a column of a type takes it: a moment in UTC, without a zone where it has none."""
    if value is None:
        return None
    if isinstance(wanted, sa.DateTime) and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return moment if wanted.timezone else moment.astimezone(UTC).replace(tzinfo=None)
    if isinstance(wanted, sa.Date) and isinstance(value, str):
        return date.fromisoformat(value[:10])
    if isinstance(wanted, sa.Boolean):
        return bool(value)
    if isinstance(wanted, sa.String):
        return value if isinstance(value, str) else str(value)
    return value


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{_BOUND}{name}": value for name, value in row.items()}


def _is_of_a_row(error: sa.exc.DBAPIError) -> bool:
    """Whether a database refuses a row's values; else it is about the database, the table or the connection."""
    codes = {getattr(error.orig, "sqlstate", None), *getattr(error.orig, "args", ())[:1]}
    return isinstance(error, _OF_ROWS) or (bool(codes & set(_CODES_OF_ROWS)) and not error.connection_invalidated)


def _said(error: Exception) -> str:
    """Return what a driver says, in one line."""
    words = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return masked(" ".join(words)[:500])

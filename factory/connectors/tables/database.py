"""A SQL table as batches of rows, through SQLAlchemy: names are quoted by it, values are bound, never written in.

The URL may come from an environment variable that the line's file names. What a driver says about a failure is shown
without what is secret in the URL.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import sqlalchemy as sa

from factory.connectors.tables.place import ENVIRONMENT, Place
from factory.connectors.tables.reader import BATCH_ROWS, Narrowing
from factory.errors import SourceError
from factory.errors.masking import keep_secret, masked_cause

_REMEDIES = (
    ("no module named", "install the driver of {driver} beside this library"),
    ("can't load plugin", "there is no dialect {driver}: install its package, or mend {variable}"),
    ("password authentication", "user or password is not theirs: mend {variable}"),
    ("access denied", "user or password is not theirs: mend {variable}"),
    ("login failed", "user or password is not theirs: mend {variable}"),
    ("permission denied", "let its owner grant that user SELECT on the table"),
    ("insufficient privilege", "let its owner grant that user SELECT on the table"),
    ("refused", "is it up, and may this machine reach its host and port?"),
    ("timeout", "is it up, and may this machine reach its host and port?"),
    ("timed out", "is it up, and may this machine reach its host and port?"),
    ("could not translate host", "mend the host's name in {variable}"),
    ("name or service not known", "mend the host's name in {variable}"),
    ("failed to resolve", "mend the host's name in {variable}"),
    ("does not exist", "mend the name in {variable}, or in the line's file"),
    ("unable to open database", "check the path, which is relative to the project's folder"),
    ("not a database", "it is a file of another kind: check the path"),
    ("locked", "another program writes it: run again when that is done"),
    ("invalid input", "a value is not of its column's type: mend the table, or the column's type in the line's file"),
    ("dataerror", "a value is not of its column's type: mend the table, or the column's type in the line's file"),
)
"""What a driver's words mean, the first that fits, and what a person does about it."""
_ASK = "ask who runs the database, with these words; nothing was written"
_SLACK = timedelta(days=1)
"""A database may keep moments as text or in its own zone: it narrows to the day, and the source filters exactly."""


class DatabaseReader:
    """One SQL table."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def schema(self) -> dict[str, pl.DataType]:
        """Return the table's columns; raises SourceError."""
        with self._connected() as connection:
            return {column.name: _polars_type(column.type) for column in self._table(connection).columns}

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the columns' rows in the order the database gives them; raises SourceError."""
        with self._connected() as connection:
            table = self._table(connection)
            query = sa.select(*(table.columns[name] for name in columns))
            if not row_number:  # a row's number counts all rows
                query = query.where(*_conditions(table, only))
            schema = {name: _polars_type(table.columns[name].type) for name in columns}
            rows = connection.execution_options(stream_results=True).execute(query)
            done = 0
            for part in rows.partitions(BATCH_ROWS):
                frame = _frame(part, schema)
                if row_number:
                    numbers = pl.int_range(done + 1, done + 1 + len(frame), dtype=pl.Int64, eager=True)
                    frame = frame.insert_column(0, numbers.alias(row_number))
                done += len(frame)
                yield frame

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        url = self._url()
        try:
            engine = sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool)
            with engine.connect() as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, ImportError, OSError, ValueError, TypeError) as error:
            raise self._unreadable(error, url) from masked_cause(error)

    def _unreadable(self, error: Exception, url: sa.URL) -> SourceError:
        """Return what a driver, or SQLAlchemy, says of the table as a sentence, and what to do about it."""
        said = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        remedy = next((remedy for sign, remedy in _REMEDIES if sign in f"{type(error).__name__} {said}".lower()), _ASK)
        variable = self.place.at.removeprefix(ENVIRONMENT) if self.place.at.startswith(ENVIRONMENT) else "the URL"
        return SourceError(
            f"table {self.place.table}: the database {url.render_as_string(hide_password=False)} cannot be read: "
            f"{' '.join(said)[:300]}; {remedy.format(variable=variable, driver=url.drivername)}"
        )

    def _url(self) -> sa.URL:
        text = self.place.at
        if text.startswith(ENVIRONMENT):
            name = text.removeprefix(ENVIRONMENT)
            if not os.environ.get(name):
                raise SourceError(
                    f"table {self.place.table}: the environment variable {name} is not set; "
                    "put the database's SQLAlchemy URL into it"
                )
            text = os.environ[name]
            keep_secret(text)
        try:
            return sa.make_url(text)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise SourceError(
                f"table {self.place.table}: {self.place.at} holds no SQLAlchemy URL; write dialect://…"
            ) from masked_cause(error)

    def _table(self, connection: sa.Connection) -> sa.Table:
        schema, _, name = self.place.table.rpartition(".")
        inspector = sa.inspect(connection)
        known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
        if name not in known:
            shown = ", ".join(sorted(known)[:20]) or "none"
            raise SourceError(f"the database has no table {self.place.table!r}; it has {shown}")
        return sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)


def _conditions(table: sa.Table, only: Narrowing) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if only.column and only.values and isinstance(table.columns[only.column].type, sa.String):
        conditions.append(table.columns[only.column].in_(list(only.values)))
    if only.moment and isinstance(table.columns[only.moment].type, sa.DateTime):
        moment = table.columns[only.moment]
        bounds = [
            moment >= only.after.replace(tzinfo=None) - _SLACK if only.after else None,
            moment < only.until.replace(tzinfo=None) + _SLACK if only.until else None,
        ]
        conditions += [sa.or_(bound, moment.is_(None)) for bound in bounds if bound is not None]
    return conditions


_TYPES: list[tuple[type[sa.types.TypeEngine[Any]], pl.DataType]] = [
    (sa.Boolean, pl.Boolean()),
    (sa.Integer, pl.Int64()),
    (sa.Numeric, pl.Float64()),
    (sa.DateTime, pl.Datetime("us")),
    (sa.Date, pl.Date()),
    (sa.String, pl.String()),
]


def _polars_type(kind: sa.types.TypeEngine[Any]) -> pl.DataType:
    """Return the type a column is read as; an unknown type is read as text."""
    return next((dtype for known, dtype in _TYPES if isinstance(kind, known)), pl.String())


def _frame(rows: Sequence[sa.Row[Any]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    by_column = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pl.DataFrame(
        [
            pl.Series(name, [_plain(value, dtype) for value in values], dtype=dtype, strict=False)
            for (name, dtype), values in zip(schema.items(), by_column, strict=True)
        ]
    )


def _plain(value: Any, dtype: pl.DataType) -> Any:
    """Return a driver's value as Polars takes it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime) and value.tzinfo:
        return (value - value.utcoffset()).replace(tzinfo=None)  # type: ignore[operator]  # an aware one has an offset
    if dtype == pl.String and value is not None and not isinstance(value, str):
        return value.isoformat() if isinstance(value, date) else str(value)
    return value

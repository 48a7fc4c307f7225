"""SQLite by the standard library: any column may hold any value, so each comes as its exact text.

A whole number as its digits, a double as the shortest text that reads back to it, a text as it is, bytes in hex.
SQLAlchemy opens the file, and names and binds; the rows do not pass through it.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import polars as pl
import sqlalchemy as sa

from factory.connectors.tables.databases.columns import Column, Condition, Expression
from factory.connectors.tables.databases.queries import Query
from factory.connectors.tables.databases.texts import frames_of, is_utf_8, undecodable

_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_CLOCK = "[0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
_ISO = (_DAY, *(f"{_DAY}{between}{_CLOCK}{zone}" for between in (" ", "T") for zone in ("", ".[0-9]*", "Z")))
"""Texts of moments that sort as the moments do, where all of a column are of one length and one of these patterns."""


@dataclass(frozen=True, kw_only=True)
class SqliteColumn(Column):
    """A column of a SQLite table."""

    dtype: pl.DataType = field(default_factory=pl.String)
    through_driver: bool = False

    def among(self, values: Sequence[str]) -> Condition | None:
        """Return a condition by text; a double's text is not SQLite's own, so those are not held back."""
        by_text = sa.cast(self.at, sa.Text).in_(list(values))
        return sa.or_(by_text, sa.func.typeof(self.at).in_(["real", "blob"]))

    def grouped(self) -> tuple[Expression, list[Expression]]:
        """Return the value, grouped by its type and its bytes, whatever the column's collation."""
        return sa.func.min(self.at), [sa.func.typeof(self.at), sa.collate(self.at, "BINARY")]

    def before(self, until: datetime) -> Condition | None:
        """Return the condition of moments before another by the second; a number may be no moment, and is kept."""
        seconds = sa.func.replace(sa.func.substr(self.at, 1, 19), "T", " ")
        is_text = sa.func.typeof(self.at) == "text"
        return sa.or_(sa.not_(is_text), seconds <= f"{until:%Y-%m-%d %H:%M:%S}")


class SqliteDatabase:
    """One SQLite file, in one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, url: sa.URL) -> Iterator[Self]:
        """Open the file for one transaction."""
        with sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool).connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield cls(connection)

    def tables(self, schema: str) -> list[str]:
        """Return the file's tables and views."""
        inspector = sa.inspect(self._connection)
        return [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]

    def columns(self, schema: str, name: str) -> dict[str, Column]:
        """Return the columns, all of texts."""
        quote = self._connection.dialect.identifier_preparer.quote_identifier
        of_schema = f"{quote(schema)}." if schema else ""
        rows = self._connection.exec_driver_sql(f"PRAGMA {of_schema}table_xinfo({quote(name)})")
        return {row.name: SqliteColumn(name=row.name) for row in rows if row.hidden != 1}

    def is_ordered(self, table: sa.TableClause, column: Column) -> bool:
        """Whether all values are numbers, or all are texts of moments in one way of writing."""
        kind, at = sa.func.typeof(column.at), column.at
        pattern = sa.case(*((at.op("GLOB")(pattern), number) for number, pattern in enumerate(_ISO)), else_=-1)
        way = sa.case((kind == "text", pattern * 100 + sa.func.length(at)), else_=0)
        query = sa.select(kind.label("c0"), way.label("c1")).select_from(table).where(at.is_not(None)).distinct()
        ways = set(self._fetched(query.limit(3)))
        kinds = {kind for kind, _ in ways}
        return kinds <= {"integer", "real"} or (len(ways) == 1 and kinds == {"text"} and min(ways)[1] >= 0)

    def frames(self, query: Query, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Yield the rows; raises SourceError naming the row whose text is no UTF-8."""
        connection = self._driver()
        statement, values = self._compiled(query)
        try:
            with closing(connection.execute(statement, values)) as cursor:
                yield from frames_of(cursor.fetchmany, schema)
        except sqlite3.OperationalError as error:
            if "decode" in str(error):
                self._refuse_undecodable(query, list(schema))
            raise

    def _refuse_undecodable(self, query: Query, names: Sequence[str]) -> None:
        """Raise SourceError with the first row that has a text which is no UTF-8."""
        connection = self._driver()
        connection.text_factory = bytes
        for row in self._fetched(query):
            for name, value in zip(names, row, strict=True):
                if isinstance(value, bytes) and not is_utf_8(value):
                    raise undecodable(name, dict(zip(names, row, strict=True)))

    def _fetched(self, query: Query) -> Iterator[tuple[Any, ...]]:
        with closing(self._driver().execute(*self._compiled(query))) as cursor:
            yield from cursor

    def _driver(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = self._connection.connection.driver_connection  # type: ignore[assignment]  # pysqlite's own
        return connection

    def _compiled(self, query: Query) -> tuple[str, tuple[Any, ...]]:
        compiled = query.compile(self._connection, compile_kwargs={"render_postcompile": True})
        return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup or ())

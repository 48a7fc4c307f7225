"""PostgreSQL in Arrow batches, by ADBC, in one read-only transaction that sees one state.

Types that the driver delivers exactly come as they are; all others (NUMERIC, UUID, JSON, arrays, intervals, enums,
addresses, times of day …) as the text that PostgreSQL writes. A column with `infinity`, or with years that are none of
1 to 9999, comes as text too: the driver would wrap them round. Rows come by COPY, which takes no parameters: texts are
bound to settings of the transaction, and the query reads those; numbers and moments are written out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.visitors import replacement_traverse

from factory.connectors.tables.databases.columns import Column, Condition, Expression
from factory.connectors.tables.databases.queries import Query
from factory.connectors.tables.databases.texts import decoded

_EXACT = {
    "int2": pl.Int16(),
    "int4": pl.Int32(),
    "int8": pl.Int64(),
    "float4": pl.Float32(),
    "float8": pl.Float64(),
    "bool": pl.Boolean(),
    "text": pl.String(),
    "varchar": pl.String(),
    "bpchar": pl.String(),
    "bytea": pl.Binary(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
}
"""What the driver delivers exactly, by PostgreSQL's own names."""
_SESSION = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL TIME ZONE 'UTC'",
    "SET LOCAL DateStyle = ISO",
    "SET LOCAL IntervalStyle = postgres",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = hex",
)
_TABLES = """SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE WHEN $1 = '' THEN pg_catalog.pg_table_is_visible(c.oid)
AND n.nspname NOT IN ('pg_catalog', 'information_schema') ELSE n.nspname = $1 END ORDER BY 1"""
_COLUMNS = """SELECT a.attname::text, COALESCE(base.typname, t.typname)::text FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_type base ON base.oid = t.typbasetype
WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class PostgresColumn(Column):
    """A column of a PostgreSQL table; `kind` is its type's own name."""

    as_bytes: bool = False
    """Whether the database does not say how its texts are encoded: those are decoded here, or refused."""

    def sent(self, value: Expression) -> Expression:
        """Return the value, cast to text where the driver has no type for it."""
        value = self._text(value)
        return sa.func.convert_to(value, sa.literal_column("'SQL_ASCII'")) if self.as_bytes else value

    def among(self, values: Sequence[str]) -> Condition | None:
        """Return a condition that no row with one of these texts fails."""
        return self._text(self.at).in_(list(values)) if self.dtype == pl.String else None

    def grouped(self) -> tuple[Expression, list[Expression]]:
        """Return the value, grouped by its bytes where it is a text."""
        value = self.sent(self.at)
        if self.dtype == pl.String and not self.as_bytes:
            value = sa.collate(value, "C")
        return value, [value]

    def _text(self, value: Expression) -> Expression:
        if self.dtype == _EXACT.get(self.kind):
            return value
        if self.kind == "inet":  # whose cast adds the netmask that PostgreSQL does not write
            return sa.case((value.is_not(None), sa.func.concat(value)))
        return sa.cast(value, sa.Text)

    def misfit(self) -> Condition | None:
        """Return the condition of moments that are infinite, or in a year that is none of 1 to 9999."""
        if not self.dtype.is_temporal():
            return None
        first: Expression = sa.literal_column(f"{self.kind} '0001-01-01'")
        end: Expression = sa.literal_column(f"{self.kind} '10000-01-01'")
        return sa.or_(self.at < first, self.at >= end)

    def bound(self, moment: datetime) -> Any:
        """Return a moment as a constant of the column's own type: PostgreSQL then knows how few rows an index gives."""
        return sa.literal_column(f"{self.kind} '{moment.isoformat(sep=' ')}+00'")


class PostgresDatabase:
    """One connection by ADBC."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._bytes = self._fetched("SELECT pg_catalog.current_setting('server_encoding')")[0][0] == "SQL_ASCII"

    @classmethod
    @contextmanager
    def opened(cls, url: sa.URL) -> Iterator[Self]:
        """Connect and begin the transaction."""
        from adbc_driver_postgresql import dbapi

        with closing(dbapi.connect(_conninfo(url))) as connection:
            for statement in _SESSION:
                with closing(connection.cursor()) as cursor:
                    cursor.execute(statement)
            yield cls(connection)

    def tables(self, schema: str) -> list[str]:
        """Return the schema's tables, views and foreign tables, by default those that need no schema's name."""
        return [name for (name,) in self._fetched(_TABLES, schema)]

    def columns(self, schema: str, name: str) -> dict[str, Column]:
        """Return the columns by PostgreSQL's catalogue."""
        quote = _DIALECT.identifier_preparer.quote_identifier
        rows = self._fetched(_COLUMNS, ".".join(quote(part) for part in (schema, name) if part))
        return {column: self._column(column, kind) for column, kind in rows}

    def _column(self, name: str, kind: str) -> PostgresColumn:
        dtype = _EXACT.get(kind, pl.String())
        return PostgresColumn(name=name, kind=kind, dtype=dtype, as_bytes=self._bytes and dtype == pl.String)

    def is_ordered(self, _table: sa.TableClause, column: Column, /) -> bool:
        """Whether the column holds numbers or moments."""
        return column.kind == "numeric" or column.dtype.is_numeric() or column.dtype.is_temporal()

    def frames(self, query: Query, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Yield the rows by COPY."""
        from arro3.core import RecordBatchReader

        settings: dict[str, str] = {}
        bound: Any = replacement_traverse(query, {}, lambda element, **_: _as_setting(element, settings))
        if settings:
            calls = ", ".join(
                f"pg_catalog.set_config('{name}', ${n}, true) AS c{n}" for n, name in enumerate(settings, 1)
            )
            self._fetched(f"SELECT {calls}", *settings.values())
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(str(bound.compile(dialect=_DIALECT)))
            for batch in RecordBatchReader.from_stream(cursor.fetch_arrow()):
                frame = pl.DataFrame(batch)
                frame.columns = list(schema)
                yield decoded(frame, schema) if self._bytes else frame

    def _fetched(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(statement, list(values) or None)
            return pl.DataFrame(cursor.fetch_arrow()).rows()


def _as_setting(element: Any, settings: dict[str, str]) -> Any:
    """Return what reads a bound value from a setting of the transaction; None for any other part of a query."""
    if not isinstance(element, sa.BindParameter):
        return None
    if isinstance(element.effective_value, int):
        return sa.literal_column(str(element.effective_value))
    name = f"factory.value_{len(settings)}"
    setting = sa.func.current_setting(sa.literal_column(f"'{name}'"))
    if not element.expanding:
        settings[name] = str(element.effective_value)
        return setting
    settings[name] = json.dumps(element.effective_value)
    return sa.select(sa.func.json_array_elements_text(sa.cast(setting, sa.JSON))).scalar_subquery()


def _conninfo(url: sa.URL) -> str:
    """Return a URL as PostgreSQL's own library takes it."""
    _, options = _DIALECT.create_connect_args(url)  # type: ignore[no-untyped-call]
    quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in options.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())

"""MySQL, MariaDB, Microsoft SQL Server and every other dialect, by SQLAlchemy; rows become columns batch by batch.

Where a driver would round or drop a value, the database writes it as text: DECIMAL, MySQL's zero dates, the seventh
decimal of a second. SQLAlchemy's own types are kept away from the values.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, mysql

from factory.connectors.tables.databases.columns import Column, Condition, Expression
from factory.connectors.tables.databases.queries import Query
from factory.connectors.tables.databases.texts import frames_of

UTC = pl.Datetime("us", "UTC")
_TYPES: list[tuple[type[Any], pl.DataType]] = [
    (sa.Boolean, pl.Boolean()),
    (sa.Integer, pl.Int64()),
    (sa.Float, pl.Float64()),
    (sa.DateTime, pl.Datetime("us")),
    (sa.Date, pl.Date()),
    (sa.LargeBinary, pl.Binary()),
    (sa.types._Binary, pl.Binary()),
]
"""What values come as, by SQLAlchemy's type, the first that fits; of any other type they come as text."""


@dataclass(frozen=True, kw_only=True)
class OtherColumn(Column):
    """A column of a dialect that nothing more is known of; `kind` is SQLAlchemy's type."""

    @classmethod
    def of(cls, name: str, kind: Any) -> Self:
        """Return the column as it was reflected."""
        if isinstance(kind, sa.DateTime) and kind.timezone:
            return cls(name=name, kind=kind, dtype=UTC)
        return cls(
            name=name, kind=kind, dtype=next((dtype for known, dtype in _TYPES if isinstance(kind, known)), pl.String())
        )

    def among(self, values: Any) -> Condition | None:
        """Return a condition on texts; what another type is written as, each driver decides."""
        return self.at.in_(list(values)) if isinstance(self.kind, sa.String) else None


@dataclass(frozen=True, kw_only=True)
class MysqlColumn(OtherColumn):
    """A column of MySQL or MariaDB; the session's zone is UTC."""

    @classmethod
    def of(cls, name: str, kind: Any) -> Self:
        """Return the column; BIT and unsigned numbers are whole numbers, a TIMESTAMP is a moment in UTC."""
        if isinstance(kind, mysql.BIT) or (isinstance(kind, sa.BigInteger) and getattr(kind, "unsigned", False)):
            return cls(name=name, kind=kind, dtype=pl.UInt64())
        if isinstance(kind, mysql.TIMESTAMP):
            return cls(name=name, kind=kind, dtype=UTC)
        return super().of(name, kind)

    def sent(self, value: Expression) -> Expression:
        """Return the value as the protocol's text keeps it; a FLOAT as the double that it is."""
        if isinstance(self.kind, mysql.BIT):
            return sa.cast(value, mysql.INTEGER(unsigned=True))
        if isinstance(self.kind, mysql.FLOAT | mysql.REAL):
            return value * sa.literal_column("1e0")
        plain = isinstance(
            self.kind, sa.String | sa.Integer | sa.Float | sa.types._Binary | sa.types.NullType | mysql.YEAR
        )
        return value if plain else sa.cast(value, sa.CHAR)

    def grouped(self) -> tuple[Expression, list[Expression]]:
        """Return the value, grouped by its bytes: most collations take `a` and `A` for one."""
        if self.dtype != pl.String:
            return super().grouped()
        return sa.func.min(self.sent(self.at)), [sa.cast(self.sent(self.at), sa.BINARY)]

    def misfit(self) -> Condition | None:
        """Return the condition of `0000-00-00` and of dates whose month or day is zero."""
        if not self.dtype.is_temporal():
            return None
        parts = (sa.func.year, sa.func.month, sa.func.dayofmonth)
        return sa.or_(*(part(self.at) == sa.literal_column("0") for part in parts))


@dataclass(frozen=True, kw_only=True)
class MssqlColumn(OtherColumn):
    """A column of Microsoft SQL Server."""

    def sent(self, value: Expression) -> Expression:
        """Return the value, or the text of what has more digits than a driver's types."""
        kind = self.kind
        if isinstance(kind, mssql.MONEY | mssql.SMALLMONEY):
            return sa.func.convert(sa.literal_column("varchar(40)"), value, sa.literal_column("2"))
        if self.dtype == pl.String and isinstance(kind, sa.DateTime):
            return sa.func.convert(sa.literal_column("varchar(40)"), value, sa.literal_column("121"))
        plain = isinstance(
            kind, sa.String | sa.Integer | sa.Float | sa.Boolean | sa.DateTime | sa.Date | sa.types._Binary
        )
        return value if plain and not isinstance(kind, mssql.XML) else sa.cast(value, sa.NVARCHAR)

    def grouped(self) -> tuple[Expression, list[Expression]]:
        """Return the value, grouped by its bytes: most collations take `a` and `A` for one."""
        if self.dtype != pl.String:
            return super().grouped()
        return sa.func.min(self.sent(self.at)), [sa.cast(self.sent(self.at), mssql.VARBINARY(8000))]  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, name: str, kind: Any) -> Self:
        """Return the column; moments with a zone, or with a hundred nanoseconds, are texts."""
        fine = isinstance(kind, mssql.DATETIME2) and (kind.precision is None or kind.precision > 6)
        if fine or isinstance(kind, mssql.DATETIMEOFFSET):
            return cls(name=name, kind=kind, dtype=pl.String())
        if isinstance(kind, mssql.TIMESTAMP):  # a row's version: eight bytes
            return cls(name=name, kind=kind, dtype=pl.Binary())
        return super().of(name, kind)


_COLUMNS: dict[str, type[OtherColumn]] = {"mysql": MysqlColumn, "mariadb": MysqlColumn, "mssql": MssqlColumn}
_REPEATABLE = ("mysql", "mariadb")


class OtherDatabase:
    """One connection by SQLAlchemy."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, url: sa.URL) -> Iterator[Self]:
        """Connect, and begin a transaction that sees one state where the database has such."""
        backend = url.get_backend_name()
        options = {"isolation_level": "REPEATABLE READ"} if backend in _REPEATABLE else {}
        engine = sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool, **options)
        with engine.connect() as connection:
            if backend in _REPEATABLE:
                connection.exec_driver_sql("SET time_zone = '+00:00'")
            if backend == "mssql" and connection.scalar(sa.text(_SNAPSHOTS)) == 1:
                connection.commit()
                connection.execution_options(isolation_level="SNAPSHOT")
            yield cls(connection)

    def tables(self, schema: str) -> list[str]:
        """Return the schema's tables and views."""
        inspector = sa.inspect(self._connection)
        return [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]

    def columns(self, schema: str, name: str) -> dict[str, Column]:
        """Return the columns as SQLAlchemy reflects them; a type that it does not know comes as text."""
        column_of = _COLUMNS.get(self._connection.dialect.name, OtherColumn).of
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sa.exc.SAWarning)  # of types it does not know
            try:
                columns = sa.inspect(self._connection).get_columns(name, schema or None)
            except sa.exc.NoSuchTableError:
                return {}
        return {column["name"]: column_of(column["name"], column["type"]) for column in columns}

    def is_ordered(self, _table: sa.TableClause, column: Column, /) -> bool:
        """Whether the column holds numbers or moments."""
        return column.dtype.is_numeric() or column.dtype.is_temporal() or isinstance(column.kind, sa.Numeric)

    def frames(self, query: Query, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Yield the rows as the server sends them."""
        with self._connection.execution_options(stream_results=True).execute(query) as rows:
            yield from frames_of(rows.fetchmany, schema)


_SNAPSHOTS = "SELECT snapshot_isolation_state FROM sys.databases WHERE name = DB_NAME()"

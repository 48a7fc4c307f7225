"""The protocol of a connection to one table, and which driver opens which URL."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import polars as pl
import sqlalchemy as sa

from factory.connectors.tables.databases.columns import Column
from factory.connectors.tables.databases.queries import Query


class Database(Protocol):
    """A connection whose queries all see one state of the database, as far as it can do that."""

    def tables(self, schema: str) -> list[str]:
        """Return the names of tables and views that can be read; in the default schema where none is named."""
        ...

    def columns(self, schema: str, name: str) -> dict[str, Column]:
        """Return a table's columns by their names, in its order; none where there is no such table."""
        ...

    def frames(self, query: Query, schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        """Yield a query's rows in batches of bounded size, its expressions under the schema's names and types."""
        ...

    def is_ordered(self, table: sa.TableClause, column: Column, /) -> bool:
        """Whether the largest value for the database is the largest for a person: it is not with numbers as texts."""
        ...


def opened(url: sa.URL) -> AbstractContextManager[Database]:
    """Return the connection to open; its driver is imported here. Raises what the driver raises."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        from factory.connectors.tables.databases.sqlite import SqliteDatabase

        return SqliteDatabase.opened(url)
    if backend == "postgresql" and (url.get_driver_name() in _LIBPQ or not url.query):
        from factory.connectors.tables.databases.postgresql import PostgresDatabase

        return PostgresDatabase.opened(url)
    from factory.connectors.tables.databases.others import OtherDatabase

    return OtherDatabase.opened(url)


_LIBPQ = ("psycopg", "psycopg2", "psycopg_async")
"""Drivers whose URLs have the options of PostgreSQL's own library, as ADBC does; without options any URL will do."""

"""`DatabaseReader`: one SQL table in batches, each load counted by the database in the transaction that read it.

The URL may come from an environment variable that the line's file names. What a driver says about a failure is shown
without what is secret in the URL.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from factory.connectors.tables.databases.columns import Column
from factory.connectors.tables.databases.counts import Counts, Delivered
from factory.connectors.tables.databases.database import Database, opened
from factory.connectors.tables.databases.faults import driver_errors, unreadable
from factory.connectors.tables.databases.queries import (
    beyond_query,
    conditions_of,
    counts_query,
    newest_query,
    rows_query,
)
from factory.connectors.tables.files import state_of
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.errors import SourceError
from factory.errors.masking import ENVIRONMENT, keep_secret, masked_cause


class DatabaseReader:
    """One SQL table."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._schema, _, self._name = place.table.rpartition(".")

    def schema(self) -> dict[str, pl.DataType]:
        """Return the table's columns; raises SourceError.

        A column of moments comes as text where some of its values are none, such as `infinity` or `0000-00-00`.
        """
        with self._opened() as database:
            return {name: column.dtype for name, column in self._columns(database).items()}

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the columns' rows in the order the database gives them; raises SourceError.

        Before a batch the database counts rows and values under the same conditions, and after the last one the counts
        are compared with what came.
        """
        with self._opened() as database:
            known = self._columns(database)
            conditions = [] if row_number else conditions_of(known, only)  # a row's number counts all rows
            wanted = [known[name] for name in columns]
            counts = Counts.of(database, self._table, wanted, conditions)
            wanted = [column.as_text() if counts.misfits.get(column.name) else column for column in wanted]
            schema = {column.name: column.dtype for column in wanted}
            delivered = Delivered(counted=counts)
            for frame in database.frames(rows_query(self._table, wanted, conditions), schema):
                if row_number:
                    first = delivered.rows + 1
                    numbers = pl.int_range(first, first + len(frame), dtype=pl.Int64, eager=True)
                    frame.insert_column(0, numbers.alias(row_number))
                delivered.add(frame)
                yield frame
            delivered.require_all(self.place.table)

    def newest(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return each value of a site column and its largest cursor before a moment, found by the database.

        The columns are `site` and `newest`; the cursor is null where a site has none before `until`. Without a cursor
        `newest` is the number of rows, without a site column `site` is one null. A column without a zone is on the
        clock of `until`. None where the largest for the database need not be the largest for a person, as in a column
        of texts. Raises SourceError.
        """
        with self._opened() as database:
            known = self._columns(database)
            site, of_cursor = (known[name] if name else None for name in (site_column, cursor))
            if of_cursor is not None and not database.is_ordered(self._table, of_cursor):
                return None
            schema = {
                "site": pl.String() if site is None else site.dtype,
                "newest": pl.Int64() if of_cursor is None else of_cursor.dtype,
            }
            frames = list(database.frames(newest_query(self._table, site, of_cursor, until), schema))
            return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def counts(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return each value of a site column, and how many rows it has before a moment, counted by the database.

        The columns are `site` and `rows`; as `newest` takes them. A row without a cursor counts. Raises SourceError.
        """
        if self._sqlite_file:
            return None
        with self._opened() as database:
            known = self._columns(database)
            site, of_cursor = (known[name] if name else None for name in (site_column, cursor))
            if of_cursor is not None and not database.is_ordered(self._table, of_cursor):
                return None
            schema = {"site": pl.String() if site is None else site.dtype, "rows": pl.Int64()}
            frames = list(database.frames(counts_query(self._table, site, of_cursor, until), schema))
            return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def beyond(self, site_column: str, cursor: str, since: datetime) -> pl.DataFrame | None:
        """Return each value of a site column, its rows at a moment or later, and the latest, counted by the database.

        The columns are `site`, `rows` and `latest`; as `newest` takes them. Raises SourceError.
        """
        with self._opened() as database:
            known = self._columns(database)
            site, of_cursor = known[site_column] if site_column else None, known[cursor]
            query = beyond_query(self._table, site, of_cursor, since)
            if query is None or not database.is_ordered(self._table, of_cursor):
                return None
            kind = pl.String() if site is None else site.dtype
            schema = {"site": kind, "rows": pl.Int64(), "latest": of_cursor.dtype}
            frames = list(database.frames(query, schema))
            return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def state(self, cursor: str) -> str | None:
        """Return the state of an SQLite file; None where the server finds rows by the cursor, and else nothing."""
        if file := self._sqlite_file:
            journals = [path for path in (Path(f"{file}-wal"), Path(f"{file}-journal")) if path.exists()]
            try:
                return state_of([Path(file), *journals])
            except OSError:  # reading it says what is wrong
                return ""
        with self._opened() as database:
            known = self._columns(database)
            return None if not cursor or database.is_ordered(self._table, known[cursor]) else ""

    @property
    def _sqlite_file(self) -> str:
        """The file of an SQLite database, which is read whole as other files are; empty for all others."""
        url = self._url()
        return (url.database or ":memory:") if url.get_backend_name() == "sqlite" else ""

    @property
    def _table(self) -> sa.TableClause:
        return sa.table(self._name, schema=self._schema or None)

    def _columns(self, database: Database) -> dict[str, Column]:
        columns = database.columns(self._schema, self._name)
        if not columns:
            shown = ", ".join(sorted(database.tables(self._schema))[:20]) or "none"
            raise SourceError(f"the database has no table {self.place.table!r}; it has {shown}")
        return columns

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        url = self._url()
        try:
            with opened(url) as database:
                yield database
        except driver_errors() as error:
            raise unreadable(error, url, self.place) from masked_cause(error)

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
            url = sa.make_url(text)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise SourceError(
                f"table {self.place.table}: {self.place.at} holds no SQLAlchemy URL; write dialect://…"
            ) from masked_cause(error)
        return url.set(drivername="postgresql") if url.drivername == "postgres" else url

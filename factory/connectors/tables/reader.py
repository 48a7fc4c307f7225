"""The protocol of a table's reader: batches of bounded size, narrowed to the rows that are wanted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import polars as pl

from factory.connectors.tables.arguments import TableAt

BATCH_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """Which rows are wanted: those with one of the values in a column, and with a moment in `[after, until)`."""

    column: str = ""
    values: Sequence[str] = ()
    moment: str = ""
    """The column with the cursor; a whole number's `after` is one too, and has no `until`."""
    after: Any | None = None
    until: datetime | None = None


class DamagedError(Exception):
    """A file, or a place in it, that cannot be read as what it should be; its reader's caller makes a SourceError."""

    def __init__(self, why: str, remedy: str, line: int | None = None) -> None:
        super().__init__(why)
        self.why, self.remedy, self.line = why, remedy, line


class Reader(Protocol):
    """One table, read in batches of bounded size, in the table's own order, names and types."""

    def schema(self) -> dict[str, pl.DataType]:
        """Return the table's columns; raises SourceError."""
        ...

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the rows in one column or more; `row_number` names one to add, the row's place in the table from 1."""
        ...


@runtime_checkable
class Sparse(Protocol):
    """A table whose rows each name their own columns: a batch may have some that its schema does not name."""

    sparse: bool


@runtime_checkable
class Delivering(Protocol):
    """A table that gives each row until it is told that the row is in the lake, such as the messages of a broker."""

    arrival: str
    """The column that tells when a row came."""

    def acknowledge(self, lines: pl.Series) -> None:
        """Take it that the rows with these values of LINE, one for each row, are in the lake for good."""
        ...


@runtime_checkable
class Discoverable(Protocol):
    """A table that can complete what a line's file says about it."""

    def discovered(self) -> TableAt:
        """Return the table's arguments, and with them how its rows are laid out; raises SourceError."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A table whose reader can tell whether it changed since."""

    def state(self, cursor: str) -> str | None:
        """Return a text that changes when the table does; empty where nobody can tell.

        None for a table of a database that finds rows by that cursor, and so need not be read whole.
        """
        ...


@runtime_checkable
class Asked(Protocol):
    """A table that can be asked for the newest of each site, at much less cost than by reading it."""

    def newest(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return `site` and `newest`: each value of a column, and its largest cursor before `until` or number of rows.

        Names are empty where there is no such column; a moment without a zone is on the clock of `until`. None where
        only the rows themselves can tell. Raises SourceError.
        """
        ...

    def beyond(self, site_column: str, cursor: str, since: datetime) -> pl.DataFrame | None:
        """Return `site`, `rows` and `latest`: each value of a column, and its rows with a cursor at `since` or later.

        A row without a cursor, or with one that can be no moment, does not count. Names and zones are as for `newest`.
        None where only the rows themselves can tell. Raises SourceError.
        """
        ...

    def counts(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return `site` and `rows`: each value of a column, and how many rows it has with a cursor before `until`.

        A row without a cursor, or with one that can be no moment, counts. Names and zones are as for `newest`. None
        where only the rows themselves can tell. Raises SourceError.
        """
        ...

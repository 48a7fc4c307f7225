"""Where raw rows come from: the protocols that sources implement.

In: a table's declaration and an as-of moment. Out: the sites it has rows for, and those rows in batches.

A source whose constructor takes `data_folder` is given the folder that data lies in, as a `Path`: the line's setting
`source.data_folder`, or the environment's. A source may also keep `Inspected` and `Fetched`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

import polars as pl

from factory.connectors.download import Published
from factory.line.line import Table
from factory.line.parsing import read
from factory.line.parsing.moments import within, within_or_unread
from factory.line.site_names import UNKNOWN


class Source(Protocol):
    """Gives a line's raw rows as they were known at a moment; it never types, repairs, merges or drops one.

    Values are as the source has them: of a text file texts, of a database its own types. The contract types them. A
    source may give more rows than it is asked for, never fewer.
    """

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sorted sites that have rows with a cursor before `until`; `table.site_of` makes them of values.

        Of rows that name none that is UNKNOWN, which `named_sites` leaves out. A table without `site_column` has none.
        The caller checks whether a name may be a site.
        """
        ...

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield one site's rows (None: all rows) with `after` <= cursor < `until`, in the declared columns.

        `after` None reads from the start. `until` does not apply to a cursor that is not a time; a table without
        cursor (`""`) is given whole each time. A row whose cursor cannot be read as declared is given each time. Beside
        the columns a source may tell where a row comes from: FILE, LINE, UNPARSED of factory/storage/columns.py. Raises
        SourceError, SchemaMismatch.
        """
        ...


def named_sites(source: Source, table: Table, until: datetime) -> list[str]:
    """Return the sites that a source has rows of before `until`, but for rows that name none."""
    return [site for site in source.sites(table, until) if site != UNKNOWN]


def in_window(rows: pl.DataFrame, table: Table, after: Any | None, until: datetime) -> pl.DataFrame:
    """Return raw rows with `after` <= cursor < `until` and those whose cursor cannot be read: what `read` yields."""
    if not table.cursor or table.cursor not in rows.columns:
        return rows
    cursor = cursor_of(rows, table)
    return rows.filter(cursor.to_frame().select(within_or_unread(cursor, after, until)).to_series())


def newest_of(rows: pl.DataFrame, table: Table) -> dict[str, Any]:
    """Return each site's largest cursor among raw rows, or how many it has where the table has no cursor."""
    values = rows[table.site_column or ""]
    sites = {value: table.site_of(str(value)) for value in values.unique().drop_nulls()}
    by_site = rows.select(values.replace_strict(sites, default=None, return_dtype=pl.String).alias("site"))
    newest = cursor_of(rows, table).alias("newest") if table.cursor else pl.lit(1).alias("newest")
    largest = pl.col("newest").max() if table.cursor else pl.col("newest").sum()
    counted = by_site.with_columns(newest).drop_nulls().group_by("site").agg(largest).sort("site")
    return dict(counted.iter_rows())


def cursor_of(rows: pl.DataFrame, table: Table) -> pl.Series:
    """Return the cursor of raw rows as its declared type, null where it cannot be read."""
    return read(rows[table.cursor], table.cursor, table.columns[table.cursor], table.parse)


@runtime_checkable
class Pooled(Protocol):
    """A source whose sites lie together, and that can be read once for many of them."""

    def read_sites(
        self, table: Table, *, after: Mapping[str, Any | None], until: datetime
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield batches of the sites in `after`, each with its site; a site's rows as `read` gives them."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A source that knows, at much less cost than by reading, whether a site has new rows."""

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return each site's largest cursor before `until`, or its number of rows where the table has no cursor.

        It looks at the source as it is now and answers from no cache.
        """
        ...


@runtime_checkable
class Versioned(Protocol):
    """A source that reads all of a table whatever it is asked for, as of a file, and can tell whether that changed."""

    def version(self, table: Table) -> str | None:
        """Return what is another text whenever the table may be another; None where a part of it can be read alone.

        Empty where that cannot be told at little cost, or a change at this very moment would not show.
        """
        ...


@runtime_checkable
class Counted(Protocol):
    """A source that knows, at much less cost than by reading, how many rows each site has."""

    def counts(self, table: Table, until: datetime) -> dict[str, int] | None:
        """Return how many rows of each site have a cursor before `until`, or one that cannot be read.

        It looks at the source as it is now and answers from no cache. None where it must read the rows to know.
        """
        ...


class Beyond(NamedTuple):
    """Rows that a load does not look at: their cursor is not before its moment."""

    rows: int
    ahead: int
    """How many of them tell a moment that is still to come: a clock was ahead."""
    latest: datetime | date

    def with_(self, other: "Beyond | None") -> "Beyond":
        """Return both as one."""
        if other is None:
            return self
        latest: Any = max(self.latest, other.latest)
        return Beyond(self.rows + other.rows, self.ahead + other.ahead, latest)


@runtime_checkable
class Ahead(Protocol):
    """A source that knows, at much less cost than by reading, which rows a load leaves for later."""

    def beyond(self, table: Table, until: datetime) -> dict[str, Beyond]:
        """Return what each site has with a cursor at or after `until`; a site without such rows is not named."""
        ...


def beyond_of(values: pl.Series, cursor: pl.Series, until: datetime) -> dict[Any, Beyond]:
    """Return what each value has in rows whose cursor is at or after a moment; nothing of a cursor that is no time."""
    if not cursor.dtype.is_temporal():
        return {}
    rows = pl.DataFrame([values.alias("value"), cursor.alias("cursor")])
    at, kind = pl.col("cursor"), cursor.dtype
    later = rows.filter(~within(at, kind, None, until))
    counted = later.group_by("value").agg(pl.len(), (~within(at, kind, None, datetime.now(UTC))).sum(), at.max())
    return {value: Beyond(*counts) for value, *counts in counted.iter_rows()}


@runtime_checkable
class Acknowledged(Protocol):
    """A source that keeps each row until it is told that the row is in the lake, such as the messages of a broker."""

    def acknowledge(self, table: Table, lines: pl.Series) -> None:
        """Take it that the rows with these values of LINE, one for each row, are in the lake for good.

        What it is not told of, it gives again. Called after the rows were committed; raises nothing.
        """
        ...


@runtime_checkable
class Inspected(Protocol):
    """A source that can check, before a run, whether it has what it reads."""

    def lacking(self) -> list[str]:
        """Return a sentence on each thing that is missing and how to get it; an empty list if all is there."""
        ...


@runtime_checkable
class Fetched(Protocol):
    """A source whose files `factory fetch LINE` can download from a public address."""

    def published(self) -> Published:
        """Return the files, their digests, the folder they belong in and the archive that holds them."""
        ...

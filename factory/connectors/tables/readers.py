"""Each kind of table as batches of raw rows: CSV as texts, Parquet, Delta and SQL in their own types.

A reader may leave out rows that a `Narrowing` excludes, to save work; its caller filters the rows all the same.
"""

from collections.abc import Iterator, Sequence

import polars as pl
import polars.selectors as cs

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import BATCH_ROWS, Narrowing, Reader
from factory.errors import SourceError


class FileReader:
    """A CSV, Parquet or Delta table through Polars' streaming engine."""

    def __init__(self, place: Place, at: TableAt) -> None:
        self.place = place
        self.at = at

    def schema(self) -> dict[str, pl.DataType]:
        """Return the table's columns; raises SourceError."""
        try:
            return dict(self._plan().collect_schema())
        except (OSError, pl.exceptions.PolarsError, ValueError) as error:
            raise self._unreadable(error) from error

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the columns' rows in the table's order; raises SourceError."""
        plan = self._plan().select(cs.by_name(*columns))
        if row_number:
            plan = plan.with_row_index(row_number, offset=1).with_columns(pl.col(row_number).cast(pl.Int64))
        if only.column and only.values:
            wanted = pl.Series(list(only.values), dtype=pl.String).implode()
            plan = plan.filter(cs.by_name(only.column).as_expr().cast(pl.String).is_in(wanted))
        try:
            yield from plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)
        except (OSError, pl.exceptions.PolarsError, ValueError) as error:
            raise self._unreadable(error) from error

    def _plan(self) -> pl.LazyFrame:
        if self.place.kind == "parquet":
            return pl.scan_parquet(self.place.at)
        if self.place.kind == "delta":
            return pl.scan_delta(self.place.at)
        return pl.scan_csv(self.place.at, separator=self.at.separator, infer_schema=False)

    def _unreadable(self, error: Exception) -> SourceError:
        why = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        hint = "; save it as UTF-8, such as with `iconv -t utf-8`" if "utf-8" in why.lower() else ""
        return SourceError(f"table {self.at.at}: it cannot be read as {self.place.kind}: {why}{hint}")


def reader_of(place: Place, at: TableAt) -> Reader:
    """Return the reader for a place."""
    if place.kind == "sql":
        from factory.connectors.tables.database import DatabaseReader

        return DatabaseReader(place)
    return FileReader(place, at)

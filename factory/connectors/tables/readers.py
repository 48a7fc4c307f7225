"""Each kind of table as batches of raw rows: CSV as texts, Parquet, Delta and SQL in their own types.

A reader may leave out rows that a `Narrowing` excludes, to save work; its caller filters the rows all the same.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import polars.selectors as cs
from deltalake.exceptions import DeltaError

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_files import CsvFormat
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import BATCH_ROWS, Narrowing, Reader
from factory.connectors.tables.table_files import FilesReader
from factory.errors import SourceError
from factory.errors.masking import masked_cause

_REMEDIES = (
    ("utf-8", "save it as UTF-8, such as with `iconv -t utf-8`"),
    ("permission denied", "let this user read it"),
    ("no such file", "bring it back, or mend the path in the line's file"),
    ("schema", "its columns are not those of the other files: bring them to one schema"),
    ("found more fields", "a line has more fields than the heading: mend it, or its quotes"),
    ("out of specification", "it is damaged or half written: export it again"),
)
"""What Polars' words mean, the first that fits, and what a person does about it."""


class FileReader:
    """A CSV, Parquet or Delta table through Polars' streaming engine."""

    def __init__(self, place: Place, at: TableAt) -> None:
        self.place = place
        self.at = at

    def schema(self) -> dict[str, pl.DataType]:
        """Return the table's columns; raises SourceError."""
        try:
            return dict(self._plan().collect_schema())
        except (OSError, pl.exceptions.PolarsError, ValueError, DeltaError) as error:
            raise self._unreadable(error) from masked_cause(error)

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the columns' rows in the table's order; raises SourceError."""
        try:
            plan = self._plan().select(cs.by_name(*columns))
            if row_number:
                plan = plan.with_row_index(row_number, offset=1).with_columns(pl.col(row_number).cast(pl.Int64))
            if only.column and only.values:
                wanted = pl.Series(list(only.values), dtype=pl.String).implode()
                plan = plan.filter(cs.by_name(only.column).as_expr().cast(pl.String).is_in(wanted))
            yield from plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)
        except (OSError, pl.exceptions.PolarsError, ValueError, DeltaError) as error:
            raise self._unreadable(error) from masked_cause(error)

    def _plan(self) -> pl.LazyFrame:
        if self.place.kind == "parquet":
            return pl.scan_parquet(self.place.at)
        if self.place.kind == "delta":
            return pl.scan_delta(self.place.at)
        return pl.scan_csv(self.place.at, separator=self.at.separator, infer_schema=False)

    def _unreadable(self, error: Exception) -> SourceError:
        """Return what Polars or Delta says as a sentence: table, file at fault, what is wrong, what to do."""
        file, why = self._at_fault(error)
        words = " ".join(why.partition("\n")[0].split())[:300]
        remedy = next(
            (remedy for sign, remedy in _REMEDIES if sign in words.lower()), "export it again from where it is"
        )
        return SourceError(f"table {self.at.at}: {file} cannot be read as {self.place.kind}: {words}; {remedy}")

    def _at_fault(self, error: Exception) -> tuple[str, str]:
        """Return the file that cannot be read, and why: of many, Polars names none."""
        for file in self._files():
            try:
                pl.scan_parquet(file).select(pl.all().hash().sum()).collect()
            except (OSError, pl.exceptions.PolarsError) as fault:
                return file, str(fault) or type(fault).__name__
        return "it", str(error) or type(error).__name__

    def _files(self) -> list[str]:
        """Return the table's Parquet files; none of a CSV file, or of what is not on this machine."""
        if self.place.kind == "csv" or "://" in self.place.at:
            return []
        pattern = Path(self.place.at) if self.place.kind == "parquet" else Path(self.place.at, "**/*.parquet")
        return sorted(map(str, Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))))


def reader_of(place: Place, at: TableAt) -> Reader:
    """Return the reader for a place."""
    if place.kind == "sql":
        from factory.connectors.tables.databases.reader import DatabaseReader

        return DatabaseReader(place)
    if place.kind == "csv":
        return FilesReader(place, at, CsvFormat(at=at))
    return FileReader(place, at)

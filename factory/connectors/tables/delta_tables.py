"""Delta tables, whoever wrote them, as batches in their own types.

Polars reads most of them. Where another writer gave the columns other names in the files (column mapping), Polars
finds none of them and would give nulls: such a table is read by delta-rs. Both leave out what a deletion vector
deletes. What is read is held against the table's log: as many rows, and in each column as many nulls.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import polars as pl
import polars.selectors as cs
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import BATCH_ROWS, Narrowing
from factory.connectors.tables.table_files import narrowed
from factory.errors import SourceError
from factory.errors.masking import masked, masked_cause

_UNREADABLE = (OSError, pl.exceptions.PolarsError, ValueError, DeltaError)
_REMEDIES = (
    ("not yet supported", "let its owner turn that feature off, or export the table as Parquet"),
    ("not supported", "let its owner turn that feature off, or export the table as Parquet"),
    ("unsupported", "let its owner turn that feature off, or export the table as Parquet"),
    ("out of specification", "it is damaged or half written: export it again"),
    ("permission denied", "let this user read it"),
    ("no such file", "was it tidied away? Bring it back, or mend the path in the line's file"),
    ("not found", "was it tidied away? Bring it back, or mend the path in the line's file"),
)


class DeltaReader:
    """One Delta table, as it is when it is read."""

    def __init__(self, place: Place, at: TableAt) -> None:
        self.place, self.at = place, at

    def schema(self) -> dict[str, pl.DataType]:
        """Return the table's columns; raises SourceError."""
        try:
            return dict(pl.scan_delta(self._table()).collect_schema())
        except _UNREADABLE as error:
            raise self._unreadable("it", error) from masked_cause(error)

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the columns' rows; raises SourceError."""
        try:
            table = self._table()
            mapped = table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"
            if not mapped:
                self._require_own_columns(table)
            rows, nulls = 0, Counter[str]()
            for batch in _by_delta(table, columns) if mapped else _by_polars(table, columns):
                nulls.update(dict(zip(batch.columns, batch.null_count().row(0), strict=True)))
                before, rows = rows, rows + len(batch)
                if row_number:
                    numbers = pl.int_range(before + 1, rows + 1, dtype=pl.Int64, eager=True)
                    batch = batch.with_columns(numbers.alias(row_number))  # noqa: PLW2901  the same rows
                yield narrowed(batch, only)
            self._require_accounted(table, rows, nulls)
        except _UNREADABLE as error:
            raise self._unreadable(*self._at_fault(error)) from masked_cause(error)

    def _table(self) -> DeltaTable:
        return DeltaTable(self.place.at)

    def _require_own_columns(self, table: DeltaTable) -> None:
        """Refuse a table one of whose files has a column that the table lacks, and lacks one that the table has."""
        declared = {field.name for field in table.schema().fields}
        partitions = set(table.metadata().partition_columns)
        for file in _local_files(table):
            there = set(pl.read_parquet_schema(file))
            unknown, lacking = sorted(there - declared), sorted(declared - there - partitions)
            if unknown and lacking:
                raise SourceError(
                    f"table {self.at.at}: {file} has a column {unknown[0]!r} that the table does not know, and lacks "
                    f"{lacking[0]!r}: it was renamed by a writer that did not say so in the table's log; write the "
                    "table anew under the new name, or rename the column by its own tool"
                )

    def _require_accounted(self, table: DeltaTable, rows: int, nulls: Mapping[str, int]) -> None:
        """Refuse what was read where it is not what the table's log says."""
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        if not len(files) or files["num_records"].has_nulls():
            return  # its writer kept no counts
        deleted = _deleted(table)
        expected = int(files["num_records"].sum()) - deleted
        if rows != expected:
            raise SourceError(
                f"table {self.at.at}: {rows} rows were read, and its log has {expected}; nothing of it was taken: let "
                "its owner check it, such as with FSCK REPAIR TABLE"
            )
        physical = {
            field.name: field.metadata.get("delta.columnMapping.physicalName", field.name)
            for field in table.schema().fields
        }
        for name, found in nulls.items() if not deleted else ():
            counted = f"null_count.{physical.get(name, name)}"
            if counted in files.columns and not files[counted].has_nulls() and files[counted].sum() != found:
                raise SourceError(
                    f"table {self.at.at}: column {name!r} was read with {found} nulls, and its log has "
                    f"{files[counted].sum()}; nothing of it was taken: was it renamed by a writer that did not say so?"
                )

    def _at_fault(self, error: Exception) -> tuple[str, Exception]:
        """Return the file that cannot be read, and why: of many, Polars names none."""
        try:
            for file in _local_files(self._table()):
                try:
                    pl.scan_parquet(file, glob=False).select(pl.all().hash().sum()).collect()
                except (OSError, pl.exceptions.PolarsError) as fault:
                    return file, fault
        except _UNREADABLE:
            pass
        return "it", error

    def _unreadable(self, file: str, error: Exception) -> SourceError:
        words = masked(" ".join(str(error).partition("\n")[0].split())[:300]) or type(error).__name__
        remedy = next((remedy for sign, remedy in _REMEDIES if sign in words.lower()), "export it again")
        return SourceError(f"table {self.at.at}: {file} cannot be read as delta: {words}; {remedy}")


def _by_polars(table: DeltaTable, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    plan = pl.scan_delta(table).select(cs.by_name(*columns))
    yield from plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)


def _by_delta(table: DeltaTable, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    batches: Any = QueryBuilder().register("source", table).execute(f"SELECT {names} FROM source")  # noqa: S608  quoted
    for batch in batches:
        yield from pl.DataFrame(batch).iter_slices(BATCH_ROWS)


def _deleted(table: DeltaTable) -> int:
    """Return how many rows of the table's files its deletion vectors delete."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return 0
    vectors = pl.DataFrame(table.deletion_vectors())
    kept = pl.col("selection_vector").list
    return int(vectors.select((kept.len() - kept.sum()).sum()).item() or 0) if len(vectors) else 0


def _local_files(table: DeltaTable) -> list[str]:
    """Return the table's files on this machine; none of a table that lies elsewhere."""
    uris = [urlsplit(uri) for uri in table.file_uris()]
    return sorted(unquote(uri.path) if uri.scheme else uri.path for uri in uris if uri.scheme in ("", "file"))

"""Parquet and Arrow files as batches in their own types, each with the row's number in its file, from 1.

What Polars reads of a Parquet file is held against the file's own record: as many rows, and in each column as many
nulls as it says there are. A stream of Arrow must have its end mark.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from factory.connectors.tables.files import File, plain
from factory.connectors.tables.reader import BATCH_ROWS, DamagedError
from factory.storage.columns import LINE

_AGAIN = "it is damaged or half written: export it again"
_STREAM_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class ParquetFormat:
    """How Parquet files are read."""

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return a file's own columns."""
        with plain(file) as path, _told():
            return dict(_plan(path).collect_schema())

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a file's rows, those of the columns that it has, with LINE."""
        with plain(file) as path:
            with _told():
                rows, nulls = _recorded(path)
                schema = _plan(path).collect_schema()
                wanted = [name for name in columns if name in schema] or list(schema)[:1]  # for the number of rows
            seen, seen_nulls = 0, Counter[str]()
            for frame in _numbered(_batches(path, wanted)):
                seen += len(frame)
                seen_nulls.update(dict(zip(frame.columns, frame.null_count().row(0), strict=True)))
                yield frame
        if seen != rows:
            raise DamagedError(f"{seen} rows were read, and it says that it has {rows}", _AGAIN)
        other = [name for name in wanted if seen_nulls[name] != nulls.get(name, seen_nulls[name])]
        if other:
            raise DamagedError(
                f"column {other[0]!r} was read with {seen_nulls[other[0]]} nulls, and it says {nulls[other[0]]}",
                "report it with this file: nothing of it was taken",
            )


def _plan(path: Path) -> pl.LazyFrame:
    """Return a plan to read a file; neither its name nor its folders' say more."""
    return pl.scan_parquet(path, hive_partitioning=False, glob=False)


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    with _told():
        plan = _plan(path).select(cs.by_name(*columns))
        yield from plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)


def _recorded(path: Path) -> tuple[int, dict[str, int]]:
    """Return how many rows a Parquet file says it has, and how many nulls each column that is not nested."""
    from pyarrow import parquet

    record = parquet.read_metadata(path)
    nulls: dict[str, int] = {}
    for place in range(record.num_columns):
        column = record.schema.column(place)
        if column.max_repetition_level or column.max_definition_level > 1 or column.path != column.name:
            continue
        parts = [record.row_group(group).column(place).statistics for group in range(record.num_row_groups)]
        if all(part is not None and part.has_null_count for part in parts):
            nulls[column.name] = sum(part.null_count for part in parts)
    return record.num_rows, nulls


class ArrowFormat:
    """How Arrow's own files and streams are read; Feather is such a file."""

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return a file's own columns."""
        with plain(file) as path, _told(), _arrow(path) as opened:
            return dict(pl.DataFrame(pl.from_arrow(opened.schema.empty_table())).schema)

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a file's rows, those of the columns that it has, with LINE."""
        from pyarrow import dataset

        with plain(file) as path, _told(), _arrow(path) as opened:
            names = opened.schema.names
            wanted = [name for name in columns if name in names] or names[:1]  # for the number of rows
            if not hasattr(opened, "num_record_batches"):
                yield from _numbered(pl.DataFrame(pl.from_arrow(batch.select(wanted))) for batch in opened)
                return
            plan, seen = pl.scan_ipc(path).select(cs.by_name(*wanted)), 0
            for frame in _numbered(plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)):
                seen += len(frame)
                yield frame
            rows = dataset.dataset(str(path), format="ipc").count_rows()  # of the batches' own records, values unread
        if seen != rows:
            raise DamagedError(f"{seen} rows were read, and its batches have {rows}", _AGAIN)


@contextmanager
def _arrow(path: Path) -> Iterator[Any]:
    """Open a file, or a stream, by Arrow; a stream must have its end mark."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        is_file = source.read(6) == b"ARROW1"
        if not is_file and bytes(source.read_at(8, max(source.size() - 8, 0))) != _STREAM_END:
            raise DamagedError("it has no end mark: it was cut short, or is still being written", _AGAIN)
        source.seek(0)
        yield pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


@contextmanager
def _told() -> Iterator[None]:
    """Say what Polars and Arrow say as a DamagedError."""
    try:
        yield
    except (pl.exceptions.PolarsError, ValueError) as error:  # Arrow's own are ValueErrors
        raise DamagedError(str(error).partition("\n")[0][:300], _AGAIN) from error


def _numbered(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    before = 0
    for batch in batches:
        number = pl.int_range(before + 1, before + len(batch) + 1, dtype=pl.Int64, eager=True)
        yield batch.with_columns(number.alias(LINE))
        before += len(batch)

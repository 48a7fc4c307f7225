"""What the readers of services share: failures as a table's, and pages kept until all of them are there."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import polars as pl

from factory.connectors.tables.reader import BATCH_ROWS, Narrowing
from factory.connectors.tables.table_files import narrowed
from factory.errors import EnvironmentRefused, ServiceError, SourceError
from factory.errors.masking import masked, masked_cause


@contextmanager
def as_source(table: str) -> Iterator[None]:
    """Say what a service did not do as a SourceError of a table."""
    try:
        yield
    except (ServiceError, EnvironmentRefused) as error:
        raise SourceError(f"table {masked(table)}: {error}; nothing was written") from masked_cause(error)


def split_query(address: str) -> tuple[str, dict[str, str]]:
    """Return an address without its query, and the query's parameters."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query="", fragment="")), dict(parse_qsl(parts.query, keep_blank_values=True))


class ChangedError(Exception):
    """A table changed while its pages were read: what came is not what it had at any moment."""


class HeldPages:
    """The pages of one reading, on this machine's disk until it is known that they are whole; use it in a `with`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="factory-pages-")
        self.clear()

    def clear(self) -> None:
        """Forget all pages: they are read anew."""
        self._files: list[Path] = []
        self._waiting: list[pl.DataFrame] = []
        self._columns: dict[str, None] = {}
        self.rows = 0

    def __enter__(self) -> "HeldPages":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._folder.cleanup()

    def add(self, page: pl.DataFrame) -> None:
        """Take a page; pages may differ in columns, which are all texts."""
        self.rows += len(page)
        self._columns.update(dict.fromkeys(page.columns))
        self._waiting.append(page)
        if sum(map(len, self._waiting)) >= BATCH_ROWS:
            self._write()

    def batches(self, only: Narrowing, row_number: str) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, each batch with all columns that a page had; wanted rows alone."""
        self._write()
        number = 0
        for file in self._files:
            frame = pl.read_ipc(file, memory_map=False)
            lacking = [pl.lit(None, pl.String).alias(name) for name in self._columns if name not in frame.columns]
            frame = frame.with_columns(lacking)
            if row_number:
                numbers = pl.int_range(number + 1, number + 1 + len(frame), dtype=pl.Int64, eager=True)
                number += len(frame)
                frame = frame.with_columns(numbers.alias(row_number))
            for batch in frame.iter_slices(BATCH_ROWS):
                yield narrowed(batch, only)

    def _write(self) -> None:
        if not self._waiting:
            return
        file = Path(self._folder.name) / f"{len(self._files)}.arrow"
        pl.concat(self._waiting, how="diagonal").write_ipc(file)
        self._files.append(file)
        self._waiting = []


def texts(rows: Sequence[dict[str, str | None]], columns: Sequence[str]) -> pl.DataFrame:
    """Return records of texts as a frame."""
    return pl.DataFrame({name: pl.Series(name, [row.get(name) for row in rows], pl.String) for name in columns})

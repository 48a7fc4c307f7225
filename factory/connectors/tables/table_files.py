"""A table that lies in files, read file by file: each as its own columns and types are, its rows with FILE and LINE.

What a file cannot be read as is said here in one sentence: table, file, line, what is wrong, what to do.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import polars as pl

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.files import UNREADABLE, File, state_of
from factory.connectors.tables.place import Place, files_of
from factory.connectors.tables.reader import BATCH_ROWS, DamagedError, Narrowing
from factory.errors import SourceError
from factory.errors.masking import masked_cause
from factory.storage.columns import FILE, UNPARSED

Part = TypeVar("Part")
Parsed = TypeVar("Parsed")
_PARSERS = 2
"""Parts of a file that are parsed at once."""
_REMEDIES = (
    ("permission denied", "let this user read it"),
    ("no such file", "bring it back, or mend the path in the line's file"),
    ("no space", "make room on this machine's disk"),
    ("end-of-stream", "it was cut short: export it again"),
    ("crc", "it was damaged on its way: export it again"),
    ("not a zip file", "it is no zip, or was cut short: export it again"),
)
"""What reading a file says, the first that fits, and what a person does about it."""


class Format(Protocol):
    """How files of one kind are read; raises DamagedError, and what `UNREADABLE` names."""

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return a file's own columns."""
        ...

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a file's rows, those of the columns that it has, with LINE, and UNPARSED where a record may be so."""
        ...


def ahead(parse: Callable[[Part], Parsed], parts: Iterable[Part]) -> Iterator[Parsed]:
    """Yield the parts of a file parsed, in order: a few are parsed at once, while the next one is looked for."""
    with ThreadPoolExecutor(_PARSERS, thread_name_prefix="parser") as parsers:
        parsing = deque[Future[Parsed]]()
        for part in parts:
            parsing.append(parsers.submit(parse, part))
            if len(parsing) > _PARSERS:
                yield parsing.popleft().result()
        while parsing:
            yield parsing.popleft().result()


class FilesReader:
    """A table in one or many files of a kind.

    Files come in the order of their names. A file may lack columns, have others, or have a column in another type: its
    batches have what it has.
    """

    def __init__(self, place: Place, at: TableAt, format_: Format) -> None:
        self.place, self.at, self.format = place, at, format_

    def schema(self) -> dict[str, pl.DataType]:
        """Return the columns of all files, in the type of the first file that has one; raises SourceError."""
        schema: dict[str, pl.DataType] = {}
        for file in files_of(self.place):
            with self._told(file):
                columns = {**self.format.schema(file), **dict.fromkeys(file.partition, pl.String())}
                schema = {**schema, **{name: kind for name, kind in columns.items() if name not in schema}}
        return schema

    def state(self, cursor: str) -> str:  # noqa: ARG002  files are read whole, whatever the cursor
        """Return a text that changes when a file does, or another file is there; empty where that cannot be told."""
        try:
            return "" if "://" in self.place.at else state_of(file.path for file in files_of(self.place))
        except (OSError, SourceError):  # reading it says what is wrong
            return ""

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield each file's rows in its order, with FILE and LINE; raises SourceError."""
        rows = 0
        for file in files_of(self.place):
            with self._told(file):
                for frame in self.format.frames(file, columns):
                    for batch in frame.iter_slices(BATCH_ROWS):
                        yield narrowed(_numbered(batch, file, row_number, rows), only)
                        rows += len(batch)

    def seen(self, look: Callable[[File, TableAt], TableAt]) -> TableAt:
        """Return the table's arguments as a look at its first file completes them; raises SourceError."""
        file = files_of(self.place)[0]
        with self._told(file):
            return look(file, self.at)

    @contextmanager
    def _told(self, file: File) -> Iterator[None]:
        """Say what is wrong with a file as a SourceError."""
        try:
            yield
        except DamagedError as damage:
            raise self._unreadable(file, damage.why, damage.remedy, damage.line) from None
        except UNREADABLE as error:
            words = " ".join(str(error).split())[:300] or type(error).__name__
            remedy = next((remedy for sign, remedy in _REMEDIES if sign in words.lower()), "export it again")
            raise self._unreadable(file, words, remedy) from masked_cause(error)

    def _unreadable(self, file: File, why: str, remedy: str, line: int | None = None) -> SourceError:
        where = f", line {line}," if line else ""
        return SourceError(f"table {self.at.at}: {file}{where} cannot be read as {self.place.kind}: {why}; {remedy}")


def _numbered(batch: pl.DataFrame, file: File, row_number: str, before: int) -> pl.DataFrame:
    if row_number:
        numbers = pl.int_range(before + 1, before + 1 + len(batch), dtype=pl.Int64, eager=True)
        batch = batch.with_columns(numbers.alias(row_number))
    told = {name: value for name, value in file.partition.items() if name not in batch.columns}
    return batch.with_columns(
        pl.lit(file.name).alias(FILE), *(pl.lit(value, pl.String).alias(name) for name, value in told.items())
    )


def narrowed(batch: pl.DataFrame, only: Narrowing) -> pl.DataFrame:
    """Return the rows with one of the wanted values; those that nobody could read are always wanted."""
    if not only.column or not only.values or batch.schema.get(only.column) != pl.String:
        return batch
    wanted = batch[only.column].is_in(list(only.values))
    if UNPARSED in batch.columns:
        wanted |= batch[UNPARSED].is_not_null()
    return batch.filter(wanted)

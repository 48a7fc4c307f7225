"""JSON files as batches of texts, with the line at which each object begins: a list, or an object a line.

A file may also hold one object, and under a key of it the list. A number is the literal in the file, so that 1e400,
80.0 and an id of 19 digits stay what they are; true and false are so written; a list or an object in a record is JSON
without blanks. A key that a record lacks is a null, as is `null`.

Lines are counted by their line ends, and the objects of a list by the commas between them: as many must be read.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import polars as pl
import polars.selectors as cs

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_text import LONGEST_RECORD, utf8_of
from factory.connectors.tables.files import File, unpacked
from factory.connectors.tables.json_lines import flat_objects, keys_of
from factory.connectors.tables.json_records import (
    Counted,
    around_list,
    following,
    listed,
    listed_within,
    record_of_line,
)
from factory.connectors.tables.json_text import JsonText, Record, text_of_json
from factory.connectors.tables.reader import BATCH_ROWS, DamagedError
from factory.connectors.tables.table_files import ahead
from factory.storage.columns import LINE, UNPARSED

_LINES = re.compile(r"\.(jsonl|ndjson)\b", re.I)
"""The name of a file that has an object a line, even where it is but one."""


@dataclass(frozen=True, kw_only=True)
class JsonFormat:
    """How JSON files are read."""

    at: TableAt

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return the keys of a file's records, in the order in which they come: texts."""
        path = file.path
        seen = path.stat()
        version = (seen.st_mtime_ns, seen.st_size)
        keys = _keys(self.at.encoding, self.at.records, file.at, file.member, file.name, version)
        return dict.fromkeys(keys, pl.String())

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a file's records, those of the keys that it has, with LINE and UNPARSED."""
        keys = list(self.schema(file))
        wanted = [name for name in columns if name in keys]
        counted, delivered = Counted(), 0
        with _opened(file, self.at.encoding, self.at.records) as text:
            for frame in _frames(text, keys, wanted, counted):
                delivered += len(frame)
                yield frame
        if delivered != counted.objects:
            raise DamagedError(
                f"{delivered} objects were read, and {counted.objects} counted",
                "export it again; if that does not help, report it with this file: nothing of it was taken",
            )


def _frames(text: "_Opened", keys: list[str], wanted: list[str], counted: Counted) -> Iterator[pl.DataFrame]:
    if text.kind is not _Kind.LINES:
        records = text.records(counted)
        while part := list(islice(records, BATCH_ROWS)):
            yield _frame(part, wanted)
        return

    def read(block: _Block) -> tuple[pl.DataFrame, int]:
        frame = flat_objects(block.text, keys, wanted, block.first_line)
        frame = _frame(list(_of_lines(block)), wanted) if frame is None else frame
        return frame.select(cs.by_name(*wanted, LINE, UNPARSED)), block.objects()

    for frame, objects in ahead(read, _line_blocks(text)):
        counted.objects += objects
        yield frame


@lru_cache(maxsize=64)
def _keys(encoding: str, within: str, at: str, member: str, name: str, _version: tuple[int, int]) -> tuple[str, ...]:
    """Return the keys of a version of a file: it is read through once for them."""
    keys: dict[str, None] = {}
    with _opened(File(at=at, member=member, name=name), encoding, within) as text:
        if text.kind is not _Kind.LINES:
            for record in text.records(Counted()):
                keys.update(dict.fromkeys(record.fields or ()))
        else:
            for names in ahead(lambda block: _keys_of(*block), ((block, tuple(keys)) for block in _line_blocks(text))):
                keys.update(dict.fromkeys(names))
    if not keys:
        raise DamagedError("it holds no objects", "write a list of objects, or one object a line")
    return tuple(keys)


def _keys_of(block: "_Block", known: Sequence[str]) -> Sequence[str]:
    names = keys_of(block.text, known)
    return [key for record in _of_lines(block) for key in record.fields or ()] if names is None else names


class _Kind(Enum):
    """How the objects of a file follow each other."""

    LIST, WITHIN, OBJECTS, LINES = range(4)


@dataclass(frozen=True)
class _Opened:
    """A file's text: how it begins, and the rest."""

    kind: _Kind
    start: bytes
    rest: Iterator[bytes]
    within: str = ""

    def text(self) -> JsonText:
        """Return the whole text, to be read once."""
        return JsonText(self.start.decode(), (chunk.decode() for chunk in self.rest))

    def records(self, counted: Counted) -> Iterator[Record]:
        """Yield the objects of a list, or that follow each other; how many there are is counted beside."""
        if self.kind is _Kind.WITHIN:
            return listed_within(self.text(), self.within.split("."), counted)
        return (listed if self.kind is _Kind.LIST else following)(self.text(), counted)


class _Block(NamedTuple):
    """Whole lines of a file."""

    text: bytes
    first_line: int
    last: bool

    def objects(self) -> int:
        """Return how many lines are not blank, by the line ends."""
        return sum(map(bool, map(bytes.strip, self.text.split(b"\n"))))


def list_within(file: File, encoding: str) -> str:
    """Return under which keys, as `a.b`, a file's one object holds the list of its records; empty where it does not.

    Raises DamagedError, and what reading a file raises.
    """
    with _opened(file, encoding) as text:
        return around_list(text.text()) if text.kind is _Kind.OBJECTS else ""


@contextmanager
def _opened(file: File, encoding: str, within: str = "") -> Iterator[_Opened]:
    with unpacked(file) as stream:
        chunks = utf8_of(stream, encoding)
        start = next(chunks, b"")
        while b"\n" not in start.lstrip() and len(start) < LONGEST_RECORD and (more := next(chunks, b"")):
            start += more
        first, _, others = start.lstrip().partition(b"\n")
        first = first.rstrip()
        if not first:
            raise DamagedError("it is empty", "export it again")
        lone = not others.strip() and not _LINES.search(file.member or file.at)
        kind = _Kind.OBJECTS if lone or first.endswith((b"{", b"[", b",")) else _Kind.LINES
        kind = _Kind.LIST if first.startswith(b"[") else kind
        yield _Opened(_Kind.WITHIN if within else kind, start, chunks, within)


def _line_blocks(text: _Opened) -> Iterator[_Block]:
    line, rest = 1, text.start
    for chunk in text.rest:
        end = rest.rfind(b"\n") + 1
        if end:
            yield _Block(rest[:end], line, last=False)
            line += rest.count(b"\n", 0, end)
        elif len(rest) > LONGEST_RECORD:
            raise DamagedError("a line of many MiB begins here", "write a list of objects, or one object a line", line)
        rest = rest[end:] + chunk
    yield _Block(rest, line, last=True)


def _frame(records: list[Record], wanted: Sequence[str]) -> pl.DataFrame:
    nothing: dict[str, Any] = {}
    rows = [nothing if record.fields is None else record.fields for record in records]
    columns = {name: pl.Series(name, [text_of_json(row.get(name)) for row in rows], pl.String) for name in wanted}
    unparsed = [record.text if record.fields is None else None for record in records]
    return pl.DataFrame(
        {
            **columns,
            LINE: pl.Series([record.line for record in records], dtype=pl.Int64),
            UNPARSED: pl.Series(unparsed, dtype=pl.String),
        }
    )


def _of_lines(block: _Block) -> Iterator[Record]:
    """Yield the records of lines with one object each; a line that is no object is told as its text."""
    lines = block.text.decode().split("\n")
    for line, text in enumerate(lines, block.first_line):
        if text.strip():
            yield record_of_line(text, line, last=block.last and line == block.first_line + len(lines) - 1)

"""JSON files as batches of texts: a list of objects, or an object a line, with the line at which each begins.

A number is the literal in the file, so that 1e400, 80.0 and an id of 19 digits stay what they are; true and false are
so written; a list or an object in a record is JSON without blanks. A key that a record lacks is a null, as is `null`.

Lines are counted by their line ends, and the objects of a list by the commas between them: as many must be read.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_text import LONGEST_RECORD, utf8_of
from factory.connectors.tables.files import File, unpacked
from factory.connectors.tables.json_lines import flat_objects
from factory.connectors.tables.reader import BATCH_ROWS, DamagedError
from factory.storage.columns import LINE, UNPARSED

_CUT = "it is cut short or damaged: export it again"


class _Record(NamedTuple):
    line: int
    fields: dict[str, Any] | None
    """None where the text is no object."""
    text: str


@dataclass
class _Counted:
    """How many objects a file has, by its line ends or by the commas between them; known once it is read."""

    objects: int = 0


class _Literal(str):
    """A number as it is written."""

    __slots__ = ()


class _TwiceError(ValueError):
    """A key is in an object twice."""


@dataclass(frozen=True, kw_only=True)
class JsonFormat:
    """How JSON files are read."""

    at: TableAt

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return the keys of a file's records, in the order in which they come: texts."""
        path = file.path
        seen = path.stat()
        version = (seen.st_mtime_ns, seen.st_size)
        return dict.fromkeys(_keys(self.at.encoding, file.at, file.member, file.name, version), pl.String())

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a file's records, those of the keys that it has, with LINE and UNPARSED."""
        keys = list(self.schema(file))
        wanted = [name for name in columns if name in keys]
        counted, delivered = _Counted(), 0
        with _opened(file, self.at.encoding) as text:
            for frame in _frames(text, keys, wanted, counted):
                delivered += len(frame)
                yield frame
        if delivered != counted.objects:
            raise DamagedError(
                f"{delivered} objects were read, and {counted.objects} counted",
                "export it again; if that does not help, report it with this file: nothing of it was taken",
            )


def _frames(text: "_Opened", keys: list[str], wanted: list[str], counted: _Counted) -> Iterator[pl.DataFrame]:
    if text.kind is not _Kind.LINES:
        records = _records(text, counted)
        while part := list(islice(records, BATCH_ROWS)):
            yield _frame(part, wanted)
        return
    for block in _line_blocks(text):
        frame = flat_objects(block.text, keys, block.first_line)
        if frame is None:
            frame = _frame(list(_of_lines(block)), wanted)
        counted.objects += block.objects()
        yield frame.select(cs.by_name(*wanted, LINE, UNPARSED))


@lru_cache(maxsize=64)
def _keys(encoding: str, at: str, member: str, name: str, _version: tuple[int, int]) -> tuple[str, ...]:
    """Return the keys of a version of a file: it is read through once for them."""
    keys: dict[str, None] = {}
    with _opened(File(at=at, member=member, name=name), encoding) as text:
        if text.kind is not _Kind.LINES:
            for record in _records(text, _Counted()):
                keys.update(dict.fromkeys(record.fields or ()))
        else:
            for block in _line_blocks(text):
                if flat_objects(block.text, list(keys), 1) is None:  # it has others, or is not flat
                    keys.update(dict.fromkeys(key for record in _of_lines(block) for key in record.fields or ()))
    if not keys:
        raise DamagedError("it holds no objects", "write a list of objects, or one object a line")
    return tuple(keys)


class _Kind(Enum):
    """How the objects of a file follow each other."""

    LIST, OBJECTS, LINES = range(3)


class _Opened(NamedTuple):
    """A file's text: how it begins, and the rest."""

    kind: _Kind
    start: bytes
    rest: Iterator[bytes]


class _Block(NamedTuple):
    """Whole lines of a file."""

    text: bytes
    first_line: int
    last: bool

    def objects(self) -> int:
        """Return how many lines are not blank, by the line ends."""
        blanks = sum(not line.strip() for line in self.text.split(b"\n"))
        return self.text.count(b"\n") + 1 - blanks


@contextmanager
def _opened(file: File, encoding: str) -> Iterator[_Opened]:
    with unpacked(file) as stream:
        chunks = utf8_of(stream, encoding)
        start = next(chunks, b"")
        while b"\n" not in start.lstrip() and len(start) < LONGEST_RECORD and (more := next(chunks, b"")):
            start += more
        first = start.lstrip().partition(b"\n")[0].rstrip()
        if not first:
            raise DamagedError("it is empty", "export it again")
        kind = _Kind.OBJECTS if first.endswith((b"{", b"[", b",")) else _Kind.LINES
        yield _Opened(_Kind.LIST if first.startswith(b"[") else kind, start, chunks)


def _records(text: _Opened, counted: _Counted) -> Iterator[_Record]:
    """Yield the objects of a list, or that follow each other; how many there are is counted beside."""
    start, chunks = text.start.decode(), (chunk.decode() for chunk in text.rest)
    return _of_list(start, chunks, counted) if text.kind is _Kind.LIST else _of_objects(start, chunks, counted)


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


def _frame(records: list[_Record], wanted: Sequence[str]) -> pl.DataFrame:
    nothing: dict[str, Any] = {}
    rows = [nothing if record.fields is None else record.fields for record in records]
    columns = {name: pl.Series(name, [_text(row.get(name)) for row in rows], pl.String) for name in wanted}
    unparsed = [record.text if record.fields is None else None for record in records]
    return pl.DataFrame(
        {
            **columns,
            LINE: pl.Series([record.line for record in records], dtype=pl.Int64),
            UNPARSED: pl.Series(unparsed, dtype=pl.String),
        }
    )


def _text(value: Any) -> str | None:
    """Return a value of a record as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _compact(value)


def _compact(value: Any) -> str:
    """Return a value as JSON without blanks, its numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(key)}:{_compact(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return value if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _TwiceError("a key is in an object twice")
    return fields


_DECODER = json.JSONDecoder(
    parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal, object_pairs_hook=_object, strict=False
)


def _of_lines(block: _Block) -> Iterator[_Record]:
    """Yield the records of lines with one object each; a line that is no object is told as its text."""
    lines = block.text.decode().split("\n")
    for line, text in enumerate(lines, block.first_line):
        if text.strip():
            yield _of_line(text, line, last=block.last and line == block.first_line + len(lines) - 1)


def _of_line(text: str, line: int, *, last: bool) -> _Record:
    try:
        value = _DECODER.decode(text.strip("\ufeff \t\r"))
    except json.JSONDecodeError as error:
        if last:
            raise DamagedError(
                f"the file ends in the middle of this record: {error.msg}", "export it again", line
            ) from None
        value = None
    except (_TwiceError, RecursionError):
        value = None
    return _Record(line, value if isinstance(value, dict) else None, text.strip("\r"))


def _of_list(start: str, chunks: Iterator[str], counted: _Counted) -> Iterator[_Record]:
    """Yield the objects of a list; what is in it and no object is told as its text."""
    text, read = _Sliding(start, chunks), 0
    text.begin()
    while not text.at("]") or read:
        yield text.value()
        read += 1
        if text.at("]"):
            break
        text.skip(",")
    text.skip("]")
    commas = text.end()
    counted.objects = commas + 1 if read else 0


def _of_objects(start: str, chunks: Iterator[str], counted: _Counted) -> Iterator[_Record]:
    """Yield objects that follow each other, each over many lines."""
    text, read = _Sliding(start, chunks), 0
    while not text.done():
        record = text.value()
        read += 1
        lists = [name for name, value in (record.fields or {}).items() if isinstance(value, list)]
        if read == 1 and text.done() and lists:
            raise DamagedError(
                f"it is one object, with a list in {lists[0]!r}",
                f"write that list into a file of its own, such as with `jq .{lists[0]}`",
            )
        yield record
    counted.objects = read


class _Sliding:
    """A text of which only the part that is being read is held. Raises DamagedError."""

    def __init__(self, start: str, chunks: Iterator[str]) -> None:
        self._text, self._chunks, self._place = start, chunks, 0
        self._line, self._told = 1, 0
        self._counted_from, self._commas = 0, 0

    def begin(self) -> None:
        """Pass over the sign that begins a list; what comes is counted."""
        self.skip("[")
        self._counted_from = self._place

    def end(self) -> int:
        """Refuse what follows the list; return how many commas stood between its values."""
        self._count(self._place - 1)
        self._skip_blanks()
        if self._place < len(self._text):
            raise DamagedError("something follows the list", "write one list of objects", self.line())
        return self._commas

    def skip(self, sign: str) -> None:
        """Pass over blanks and a sign."""
        if not self.at(sign):
            raise DamagedError(
                f"{sign!r} should stand here", "it is cut short or damaged: export it again", self.line()
            )
        self._place += 1

    def at(self, sign: str) -> bool:
        """Whether a sign comes next, after blanks."""
        self._skip_blanks()
        return self._text.startswith(sign, self._place)

    def done(self) -> bool:
        """Whether nothing but blanks is left."""
        self._skip_blanks()
        return self._place == len(self._text)

    def line(self) -> int:
        """Return the line of the file that is being read."""
        self._line += self._text.count("\n", self._told, self._place)
        self._told = self._place
        return self._line

    def value(self) -> _Record:
        """Return the value that comes."""
        self._skip_blanks()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if len(self._text) - self._place > LONGEST_RECORD or not self._more():
                    line = self.line() + self._text.count("\n", self._place, error.pos)
                    raise DamagedError(error.msg, _CUT, line) from None
                continue
            except (_TwiceError, RecursionError) as error:
                raise DamagedError(f"{error} in what begins here", "mend it", self.line()) from None
            if end == len(self._text) and self._more():  # a number may go on
                continue
            record = _Record(self.line(), value if isinstance(value, dict) else None, self._text[self._place : end])
            self._place = end
            return record

    def _skip_blanks(self) -> None:
        while True:
            while self._text[self._place : self._place + 1] in _BLANKS and self._place < len(self._text):
                self._place += 1
            if self._place < len(self._text) or not self._more():
                return

    def _count(self, end: int) -> None:
        self._commas += commas_of(self._text[self._counted_from : end])
        self._counted_from = end

    def _more(self) -> bool:
        chunk = next(self._chunks, "")
        if not chunk:
            return False
        self.line()
        self._count(self._place)
        self._text = self._text[self._place :] + chunk
        self._place = self._told = self._counted_from = 0
        return True


_BLANKS = (" ", "\t", "\r", "\n", "\ufeff")


def commas_of(text: str) -> int:
    """Return how many commas stand outside of every object, list and string of a text that ends in none of them."""
    plain = text.replace("\\\\", "").replace('\\"', "").encode()
    signs = np.frombuffer(plain, np.uint8)
    outside = np.cumsum(signs == ord('"')) % 2 == 0
    opened = np.isin(signs, [ord("{"), ord("[")]) & outside
    closed = np.isin(signs, [ord("}"), ord("]")]) & outside
    depth = np.cumsum(opened.astype(np.int32) - closed)
    return int(np.count_nonzero((signs == ord(",")) & outside & (depth == 0)))

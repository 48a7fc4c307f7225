"""A CSV file's bytes in, blocks of whole records in UTF-8 out, each with the line of the file at which it begins.

Refused, with the line: what is not in the encoding that the table's place says, NUL bytes, a quote mark that is not
closed, a heading that is none.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

import numpy as np

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_records import Marks, Records, escapes_of, records_of
from factory.connectors.tables.reader import DamagedError

CHUNK_BYTES = 2 << 20
_LOOKED_AT = 20
"""So many records below a heading tell whether each ends in a separator."""
LONGEST_RECORD = 16 << 20
"""A record of more bytes is taken for a quote mark that nobody closed."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some whole records of a file."""

    text: bytes
    records: Records
    first_line: int
    """The line of the file at which the text begins, from 1."""
    unfinished: bool = False
    """Whether it ends the file, and without a line end."""

    def line(self, record: int) -> int:
        """Return the line of the file at which a record begins."""
        return self.first_line + int(self.records.lines[record])

    def record(self, record: int) -> bytes:
        """Return a record as it is written, without its line end."""
        return self.text[int(self.records.starts[record]) : int(self.records.ends[record])]


class CsvText:
    """A CSV file's text: its heading, and the records after it. Raises DamagedError."""

    def __init__(self, stream: IO[bytes], at: TableAt) -> None:
        self._chunks = utf8_of(stream, at.encoding)
        self._rest, self._first_line = next(self._chunks, b""), 1
        if self._rest.endswith(b"\r"):  # of `\r\n`, perhaps
            self._rest += next(self._chunks, b"")
        if self._rest.endswith(b"\r"):  # of `\r\n`, perhaps
            self._rest += next(self._chunks, b"")
        self._footer = at.footer
        if not self._rest.strip():
            raise DamagedError("it is empty: it has not even a heading", "export it again")
        self.marks = Marks(
            separator=at.separator.encode(),
            quote=at.quote.encode(),
            escape=at.escape.encode(),
            comment=at.comment.encode(),
            line_end=b"\r" if b"\r" in self._rest and b"\n" not in self._rest else b"\n",
        )
        self._skip_titles(at.skip_lines)
        names = self._read_heading()
        self.heading = unique_names([*names, ""] if self._ends_in_separators(len(names)) else names)
        self.marks = replace(self.marks, blanks=len(self.heading) == 1)

    def blocks(self) -> Iterator[Block]:
        """Yield the records after the heading, in order; once."""
        for chunk in self._chunks:
            block = self._block(self._rest, last=False)
            if len(block.records):
                yield block
            self._advance(block)
            self._rest += chunk
        block = self._block(self._rest, last=True)
        if len(block.records):
            yield block

    def _block(self, text: bytes, *, last: bool) -> Block:
        records = records_of(text, self.marks, last=last)
        if records.open_quote is not None and (last or len(text) - records.end > LONGEST_RECORD):
            line = self._first_line + text.count(self.marks.line_end, 0, records.open_quote)
            raise DamagedError(
                "a quote mark opens a field here that no other closes",
                "mend it, or say `quote: ''` in the source's arguments if the file quotes nothing",
                line,
            )
        if len(text) - records.end > LONGEST_RECORD:
            raise DamagedError(
                f"a record of more than {LONGEST_RECORD >> 20} MiB begins here",
                "is it a CSV file, in the encoding that the source's arguments say?",
                self._first_line + text.count(self.marks.line_end, 0, records.end),
            )
        if self._footer:
            shorter = _without_last(records, self._footer)
            if last:
                self._require_footer(text, records, len(shorter.starts))
            records = shorter
        unfinished = last and not self._footer and not text.endswith(self.marks.line_end)
        return Block(text=text, records=records, first_line=self._first_line, unfinished=unfinished)

    def _require_footer(self, text: bytes, records: Records, first: int) -> None:
        """Refuse to leave out as a footer what looks like a record."""
        for start, end, line in zip(*(part[first:].tolist() for part in records[:3]), strict=True):
            fields = fields_of(text[start:end], self.marks)
            if len(fields) == len(self.heading) > 2 and all(fields):
                raise DamagedError(
                    "this record would be left out as a footer, and has a value in every column",
                    f"mend `footer: {self._footer}` in the source's arguments",
                    self._first_line + line,
                )

    def _advance(self, block: Block) -> None:
        self._first_line += block.records.passed
        self._rest = block.text[block.records.end :]

    def _skip_titles(self, lines: int) -> None:
        for _ in range(lines):
            while (place := self._rest.find(self.marks.line_end)) < 0:
                if not (chunk := next(self._chunks, b"")):
                    raise DamagedError(
                        f"it has fewer lines than the {lines} to skip", "mend `skip_lines` in the source's arguments"
                    )
                self._rest += chunk
            self._rest, self._first_line = self._rest[place + 1 :], self._first_line + 1

    def _read_heading(self) -> list[str]:
        while not len((records := records_of(self._rest, self.marks, last=False)).starts):
            chunk = next(self._chunks, b"")
            if not chunk:
                records = self._block(self._rest, last=True).records
                break
            self._rest += chunk
        if not len(records.starts):
            raise DamagedError("it has no heading", "export it again, or mend `skip_lines` in the source's arguments")
        first, rest = int(records.starts[0]), int(records.ends[0])
        line = self._first_line + int(records.lines[0])
        if records.broken[0]:
            raise DamagedError("the heading's quote marks or line ends do not fit", "mend it, or export it again", line)
        names = fields_of(self._rest[first:rest], self.marks)
        while rest < len(self._rest) and self._rest[rest : rest + 1] in (b"\r", b"\n"):
            rest += 1
            if self._rest[rest - 1 : rest] == self.marks.line_end:
                break
        self._first_line += self._rest.count(self.marks.line_end, 0, rest)
        self._rest = self._rest[rest:]
        return names

    def _ends_in_separators(self, width: int) -> bool:
        """Whether the first records all end in a separator that the heading lacks: a column of nothing."""
        while len((records := records_of(self._rest, self.marks, last=False)).starts) <= _LOOKED_AT + self._footer:
            chunk = next(self._chunks, b"") if len(self._rest) <= LONGEST_RECORD else b""
            if not chunk:
                records = records_of(self._rest, self.marks, last=True)
                break
            self._rest += chunk
        spans = list(zip(records.starts.tolist(), records.ends.tolist(), strict=True))
        some = spans[: max(len(spans) - self._footer, 0)][:_LOOKED_AT]
        separator = self.marks.separator
        if not some or not all(self._rest[start:end].endswith(separator) for start, end in some):
            return False
        fields = [fields_of(self._rest[start:end], self.marks) for start, end in some]
        return all(len(one) == width + 1 and not one[-1] for one in fields)


def fields_of(record: bytes, marks: Marks) -> list[str]:
    """Return the fields of one whole record."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))
    text = io.StringIO(escaped(record, marks).decode(), newline="")
    separator, escape = marks.separator.decode(), marks.escape.decode() or None
    if not marks.quote:
        return next(csv.reader(text, delimiter=separator, escapechar=escape, quoting=csv.QUOTE_NONE), [])
    return next(csv.reader(text, delimiter=separator, escapechar=escape, quotechar=marks.quote.decode()), [])


def escaped(text: bytes, marks: Marks) -> bytes:
    """Return a text in which an escape before a sign that divides nothing, as in a path, is escaped itself."""
    if not marks.escape or marks.escape not in text:
        return text
    signs, escapes = np.frombuffer(text, np.uint8), escapes_of(text, marks.escape)
    behind = np.append(signs, 0)[escapes + 1]
    divides = [*marks.separator, *marks.quote, *marks.escape, *b"\r\n"]
    return np.insert(signs, escapes[~np.isin(behind, divides)], marks.escape[0]).tobytes()


def unique_names(names: list[str]) -> list[str]:
    """Return the names of a heading, none twice: `kg`, `kg_2`; a column without one is called by its place."""
    taken, unique = set(names), list[str]()
    for place, name in enumerate(names, 1):
        wanted = name or f"column_{place}"
        number = 1
        while wanted in unique or (wanted != name and wanted in taken):
            number += 1
            wanted = f"{name or f'column_{place}'}_{number}"
        unique.append(wanted)
    return unique


def utf8_of(stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a text as UTF-8, without a byte order mark, in chunks of bounded size. Raises DamagedError."""
    decoder = _decoder(encoding)
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    line, first = 1, True
    while True:
        raw = stream.read(CHUNK_BYTES)
        try:
            if is_utf8 and raw.isascii() and not decoder.getstate()[0]:
                chunk = raw
            else:
                chunk = decoder.decode(raw, final=not raw).encode()
        except UnicodeDecodeError as error:
            raise _wrong_encoding(error, encoding, line) from None
        if first and chunk:
            chunk, first = chunk.removeprefix(codecs.BOM_UTF8), False
        if (place := chunk.find(b"\0")) >= 0:
            raise DamagedError(
                "it has a NUL byte",
                "export it again; if it is UTF-16, say `encoding: utf-16` in the source's arguments",
                line + chunk.count(b"\n", 0, place),
            )
        line += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
        if chunk:
            yield chunk
        if not raw:
            return


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        return codecs.getincrementaldecoder(encoding)("strict")
    except LookupError:
        raise DamagedError(
            f"there is no encoding {encoding!r}", "say one that Python knows, such as utf-8, utf-16, cp1252 or latin-1"
        ) from None


def _wrong_encoding(error: UnicodeDecodeError, encoding: str, line: int) -> DamagedError:
    before = error.object[: error.start]
    wrong = error.object[error.start : error.start + 1]
    other = "cp1252" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else "utf-8"
    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        other = "utf-16"
    return DamagedError(
        f"byte 0x{wrong.hex()} is no {encoding}",
        f"say how it is written, such as `encoding: {other}`, in the source's arguments, or export it again",
        line + before.count(b"\n"),
    )


def _without_last(records: Records, footer: int) -> Records:
    """Return all but the last records, which the block ends before."""
    kept = max(len(records.starts) - footer, 0)
    if kept == len(records.starts):
        return records
    end, passed = int(records.starts[kept]), int(records.lines[kept])
    starts, ends, lines, breaks, broken, _, _, open_quote = records
    return Records(starts[:kept], ends[:kept], lines[:kept], breaks[:kept], broken[:kept], end, passed, open_quote)

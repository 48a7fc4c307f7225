"""How a text file is written, as its bytes show it: encoding, separator, quote mark, what stands above and below.

What is found goes into the line's file as arguments of the source, where a person may mend it.
"""

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import replace

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_text import CHUNK_BYTES, utf8_of
from factory.connectors.tables.files import File, unpacked
from factory.connectors.tables.json_files import list_within
from factory.connectors.tables.spreadsheets import first_rows

_SEPARATORS = ",;\t|"
_HEAD_SIGNS, _HEAD_RECORDS = 1 << 18, 200
_TAIL_SIGNS = 1 << 16
_MOST_TITLES, _MOST_FOOTERS = 30, 10
_SUM = re.compile(r"^\W*(sum|total|grand total|summe|gesamt|totals?|count|anzahl)\b", re.I)
_AROUND = re.compile(r"""(?:^|[,;\t|])(["'])(?=[^\n]*?\1(?:[,;\t|]|\r?$))""", re.M)
_ESCAPED = re.compile(r'\\"(?=[^",;\t|\r\n])')
_DOUBLED = re.compile(r'(?<=[^,;\t|\r\n"])""(?=[^,;\t|\r\n"])')
_SAID = re.compile(r"^sep=(.)\r?\n")
"""What Excel takes for the separator, in a line of its own above the heading."""


def sheet_of(file: File, at: TableAt) -> TableAt:
    """Return a table's arguments with where its sheet begins. Raises DamagedError, and what reading a file raises."""
    records = first_rows(file, _HEAD_RECORDS)
    width = max((len(fields) for _, fields in records), default=0)
    return replace(at, skip_lines=next(iter(records[_heading(records, width) :]), (0, []))[0])


def layout_of(file: File, at: TableAt) -> TableAt:
    """Return a table's arguments with how its JSON is laid out. Raises DamagedError, and what reading a file raises."""
    at = replace(at, encoding=_encoding(file))
    return replace(at, records=list_within(file, at.encoding))


def dialect_of(file: File, at: TableAt) -> TableAt:
    """Return a table's arguments with what its file shows. Raises DamagedError, and what reading a file raises."""
    at = replace(at, encoding=_encoding(file))
    head, tail = _ends(file, at.encoding)
    quote = _quote(head)
    at = replace(at, escape="\\" if quote == '"' and _ESCAPED.search(head) and not _DOUBLED.search(head) else "")
    said = _SAID.match(head)
    separator = said[1] if said and said[1].isascii() else _separator(head, quote, at.escape)
    at = replace(at, quote=quote, separator=separator)
    records = _records(head, at)
    width = _width(records)
    above = _heading(records, width)
    heading = next(iter(records[above:]), (0, []))
    comments = [fields for _, fields in records[above + 1 :] if len(fields) != width and fields[0].startswith("#")]
    return replace(
        at,
        skip_lines=heading[0],
        comment="#" if comments else "",
        footer=_footer(tail, width, at) if width > 1 else 0,
    )


def _encoding(file: File) -> str:
    with unpacked(file) as stream:
        first = stream.read(1 << 12)
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for name, zeros, signs in (("utf-16-le", first[1::2], first[::2]), ("utf-16-be", first[::2], first[1::2])):
        if len(zeros) > 1 and zeros.count(0) > 0.5 * len(zeros) and not signs.count(0):
            return name
    return next((name for name in ("utf-8", "cp1252") if _decodes(file, name)), "latin-1")


def _decodes(file: File, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with unpacked(file) as stream:
        try:
            while chunk := stream.read(CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _ends(file: File, encoding: str) -> tuple[str, str]:
    """Return the first lines of a text and its last ones."""
    head, tail = b"", b""
    with unpacked(file) as stream:
        for chunk in utf8_of(stream, encoding):
            head += chunk[: max(_HEAD_SIGNS - len(head), 0)]
            tail = (tail + chunk)[-_TAIL_SIGNS:]
    return head.decode(errors="ignore"), tail.decode(errors="ignore")


def _quote(head: str) -> str:
    """Return the mark around fields: an apostrophe where fields begin and end with it, and none with the other."""
    around = Counter(quoted[1] for quoted in _AROUND.finditer(head))
    return "'" if around["'"] > 3 and not around['"'] else '"'


def _separator(head: str, quote: str, escape: str) -> str:
    """Return the sign by which the most records are divided into as many fields, at least two."""

    def fit(separator: str) -> tuple[float, int]:
        records = _records(head, TableAt(at="", separator=separator, quote=quote, escape=escape))
        widths = Counter(len(fields) for _, fields in records)
        width = _width(records)
        return (widths[width] / len(records), width) if width > 1 else (0.0, 0)

    return max(_SEPARATORS, key=fit)


def _records(head: str, at: TableAt) -> list[tuple[int, list[str]]]:
    """Return the first records, each with how many lines stand above it; blank lines are none."""
    whole = head if len(head.encode()) < _HEAD_SIGNS else head[: head.rfind("\n") + 1]
    reader = csv.reader(
        io.StringIO(whole, newline=""), delimiter=at.separator, quotechar=at.quote, escapechar=at.escape or None
    )
    records, above = list[tuple[int, list[str]]](), 0
    for fields in reader:
        if any(field.strip() for field in fields) or len(fields) > 1:
            records.append((above, fields))
        above = reader.line_num
        if len(records) == _HEAD_RECORDS:
            break
    return records


def _width(records: list[tuple[int, list[str]]]) -> int:
    """Return the number of fields that most records have, the larger where two are as many."""
    widths = Counter(len(fields) for _, fields in records)
    return max(widths, key=lambda width: (widths[width], width), default=0)


def _heading(records: list[tuple[int, list[str]]], width: int) -> int:
    """Return which record is the heading: the first of full width that is not mostly empty.

    Where all of full width end in a field of nothing it may lack that.
    """
    if width > 2 and not any(fields[-1].strip() for _, fields in records if len(fields) == width):
        above = [place for place, (_, fields) in enumerate(records[:_MOST_TITLES]) if len(fields) == width - 1]
        if above and all(field.strip() for field in records[above[0]][1]):
            return above[0]
    for place, (_, fields) in enumerate(records[:_MOST_TITLES]):
        named = sum(bool(field.strip()) for field in fields)
        if len(fields) == width and (named > 1 or width == 1) and 2 * named >= width:
            return place
    return 0


def _footer(tail: str, width: int, at: TableAt) -> int:
    """Return how many records at the end are remarks or sums; a last line that does not end may be cut short."""
    if not tail.endswith(("\n", "\r")):
        return 0
    lines = io.StringIO(tail.partition("\n")[2] if len(tail.encode()) >= _TAIL_SIGNS else tail, newline="")
    reader = csv.reader(lines, delimiter=at.separator, quotechar=at.quote, escapechar=at.escape or None)
    records = [fields for fields in reader if any(fields)]
    for footer, fields in enumerate(reversed(records[1:])):
        first = next((field for field in fields if field.strip()), "")
        empty = sum(not field.strip() for field in fields)
        if len(fields) == width and not (_SUM.match(first) and 2 * empty >= width):
            return footer if footer <= _MOST_FOOTERS else 0
    return 0

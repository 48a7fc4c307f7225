"""CSV files as batches of texts, exactly as written, with the line of the file at which each record begins.

Arrow's parser reads the fields: a quote mark opens a field only at its start, so `12" pipe` is what it says. What it
delivers must be as many records as were counted by line ends and quote marks (csv_records.py). An empty field is a
null, `""` an empty text. A record that does not split into the heading's columns has only nulls, and its whole text in
`_unparsed`.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.csv_records import Marks
from factory.connectors.tables.csv_text import Block, CsvText, escaped, fields_of
from factory.connectors.tables.files import File, unpacked
from factory.connectors.tables.reader import DamagedError
from factory.connectors.tables.table_files import ahead
from factory.storage.columns import LINE, UNPARSED

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

_FEW = 2
"""In a table of so few columns a line of text may well have as many separators as a record."""


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    """How CSV files are read; raises DamagedError, and what reading a file raises."""

    at: TableAt

    def schema(self, file: File) -> dict[str, pl.DataType]:
        """Return the columns of a file: texts."""
        with unpacked(file) as stream:
            return dict.fromkeys(CsvText(stream, self.at).heading, pl.String())

    def frames(self, file: File, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield a file's records: those of the columns that it has, LINE and UNPARSED."""
        with unpacked(file) as stream:
            text = CsvText(stream, self.at)
            wanted = [text.heading.index(name) for name in columns if name in text.heading]
            yield from ahead(lambda block: parsed(block, text.heading, wanted, text.marks), text.blocks())


def parsed(block: Block, heading: Sequence[str], wanted: Sequence[int], marks: Marks) -> pl.DataFrame:
    """Return the records of a block: the wanted columns, by their places in the heading, with LINE and UNPARSED.

    Raises DamagedError where the parser delivers another number of records than was counted, or the file is cut short.
    """
    width, broken = len(heading), _broken(block, len(heading), marks)
    try:
        text = _text_of(block, ~broken, marks)
        text = escaped(bytes(text), marks) if marks.escape else text
        table, ragged = _fields(text, width, wanted, marks)
    except ValueError as error:  # Arrow's own are of this kind
        raise DamagedError(f"Arrow cannot read what begins here: {error}", "export it again", block.line(0)) from error
    kept = np.flatnonzero(~broken)
    if table.num_rows + len(ragged) != len(kept):
        raise DamagedError(
            f"{table.num_rows + len(ragged)} records were read from here on, and {len(kept)} counted",
            "export it again; if that does not help, report it with this file: nothing of it was taken",
            block.line(0),
        )
    last = len(block.records.starts) - 1
    if block.unfinished and last in kept[ragged] and len(fields_of(block.record(last), marks)) < width:
        raise DamagedError(
            "the file ends in the middle of this record",
            "export it again; if these are remarks below the table, say `footer: 1` in the source's arguments",
            block.line(last),
        )
    lines = block.records.lines + block.first_line
    frame = pl.DataFrame(pl.from_arrow(table)).select(str(place) for place in wanted)
    frame.columns = [heading[place] for place in wanted]
    read = lines[np.delete(kept, ragged)] if len(kept) < len(lines) or ragged else lines
    frame = frame.with_columns(pl.Series(LINE, read, pl.Int64), pl.lit(None, pl.String).alias(UNPARSED))
    if len(read) == len(lines):
        return frame
    unread = np.union1d(np.flatnonzero(broken), kept[ragged])
    texts = {int(lines[place]): block.record(int(place)).decode() for place in unread}
    texts = {line: text for line, text in texts.items() if text.strip()}  # a line of blanks is no record
    if not texts:
        return frame
    rows = pl.DataFrame({LINE: [*texts], UNPARSED: [*texts.values()]}, schema={LINE: pl.Int64, UNPARSED: pl.String})
    return pl.concat([frame, rows], how="diagonal").sort(LINE)


def _broken(block: Block, width: int, marks: Marks) -> "npt.NDArray[np.bool_]":
    """Return which records are not to be parsed: those that are broken, and those that may have swallowed others."""
    broken = block.records.broken.copy()
    for place in np.flatnonzero(block.records.breaks):
        broken[place] |= _looks_like_many(block.record(int(place)), width, marks)
    return broken


def _fields(text: bytes | memoryview, width: int, wanted: Sequence[int], marks: Marks) -> tuple["pa.Table", list[int]]:
    """Return the wanted columns of records by their places, and which records have not as many fields as the width."""
    import pyarrow as pa
    from pyarrow import csv

    columns = [str(place) for place in wanted or [0]]
    if not text:
        return pa.table({name: pa.array([], pa.large_string()) for name in columns}), []
    ragged: list[int] = []

    def pass_over(row: Any) -> str:
        ragged.append(row.number - 1)
        return "skip"

    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(
            column_names=[str(place) for place in range(width)], use_threads=False, block_size=len(text) + 1
        ),
        parse_options=csv.ParseOptions(
            delimiter=marks.separator.decode(),
            quote_char=marks.quote.decode() or False,
            escape_char=marks.escape.decode() or False,
            newlines_in_values=bool(marks.quote),
            ignore_empty_lines=not marks.blanks,
            invalid_row_handler=pass_over,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.large_string()),
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,  # it was encoded by this process
        ),
    )
    return table, ragged


def _text_of(block: Block, kept: "npt.NDArray[np.bool_]", marks: Marks) -> bytes | memoryview:
    """Return the records to parse, the last with its line end: without one Arrow takes an empty field for a text."""
    starts, ends = block.records.starts, block.records.ends
    if not kept.any():
        return b""
    first = int(starts[np.argmax(kept)])
    marked = block.text.startswith(codecs.BOM_UTF8, first)  # Arrow would take it away
    last = block.text.find(marks.line_end, int(ends[-1]))
    if not marks.comment and kept.all() and not marked and last >= 0:
        return memoryview(block.text)[first : last + 1]
    spans = zip(starts[kept].tolist(), ends[kept].tolist(), strict=True)
    text = b"\n".join(block.text[start:end] for start, end in spans)
    return (codecs.BOM_UTF8 if marked else b"") + text + b"\n"


def _looks_like_many(record: bytes, width: int, marks: Marks) -> bool:
    """Whether each line of a record would be a record by itself: a stray quote mark has swallowed the others."""
    lines = record.split(marks.line_end)
    return width > _FEW and all(line.count(marks.separator) == width - 1 for line in lines)

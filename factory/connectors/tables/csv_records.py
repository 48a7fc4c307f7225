"""Where the records of a CSV text begin and end, found by line ends and quote marks alone: NumPy over blocks of bytes.

It knows nothing of values, and shares no code with the parser that reads them: what it counts is what the parser must
deliver. A quote mark opens a field only where a field begins; anywhere else it is a sign like any other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_LF, _CR = 10, 13
_Offsets = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]
_Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The signs that divide a text, as bytes; `quote`, `escape`, `comment` are empty where there are none."""

    separator: bytes
    quote: bytes = b'"'
    escape: bytes = b""
    """What a sign stands behind that divides nothing."""
    line_end: bytes = b"\n"
    """`\\r` for a file of a classic Mac; `\\r\\n` ends with `\\n`."""
    comment: bytes = b""
    """What a line begins with that is no record."""
    blanks: bool = False
    """Whether a blank line is a record: a missing value, in a table of one column."""


class Records(NamedTuple):
    """The whole records of a block, without blank lines and comments."""

    starts: _Offsets
    ends: _Offsets
    """Where each record's text ends, before its line end."""
    lines: _Offsets
    """How many line ends of the block lie before each record."""
    breaks: _Offsets
    """How many line ends lie within each record."""
    broken: _Flags
    """Records that nobody reads for certain: text after a closing quote, or a stray line end in an unquoted field."""
    end: int
    """Where the first record begins that is not whole; the block's length where all are."""
    passed: int
    """How many line ends lie before that place."""
    open_quote: int | None
    """Where a quote mark stands that is not closed in the block."""


class _Quoting(NamedTuple):
    """What the quote marks of a block say."""

    is_end: _Flags
    """Whether each line end ends a record."""
    broken: list[int]
    """Starts of records with text after a closing quote."""
    open_quote: int | None


def records_of(block: bytes, marks: Marks, *, last: bool) -> Records:
    """Return the records of a block that begins where a record does; the last block need not end in a line end."""
    block = _without_escaped(block, marks)
    signs = np.frombuffer(block, np.uint8)
    line_ends = np.flatnonzero(signs == marks.line_end[0])
    quoting = _quoting(block, signs, line_ends, marks)
    ends = line_ends[quoting.is_end]
    end = int(ends[-1]) + 1 if len(ends) else 0
    if last and quoting.open_quote is None and end < len(block):
        ends, end = np.append(ends, len(block)), len(block)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if marks.line_end[0] == _LF:
        ends = ends - ((ends > starts) & (signs[ends - 1] == _CR))
    broken = np.isin(starts, quoting.broken) if quoting.broken else np.zeros(len(starts), bool)
    for record in _with_stray_ends(block, signs, starts, ends, marks):
        broken[record] |= walked(block, int(starts[record]), marks).broken
    kept = _are_records(block, starts, ends, marks)
    if marks.blanks and not last:  # blank lines at the end of a file are no records, and it may end here
        known = int(np.flatnonzero(kept)[-1]) + 1 if kept.any() else 0
        end = int(starts[known]) if known < len(starts) else end
    if quoting.is_end.all():
        lines, breaks = np.flatnonzero(kept), np.zeros(np.count_nonzero(kept), np.int64)
        starts, ends, broken = starts[kept], ends[kept], broken[kept]
    else:
        starts, ends, broken = starts[kept], ends[kept], broken[kept]
        lines = np.searchsorted(line_ends, starts)
        breaks = np.searchsorted(line_ends, ends) - lines
    passed = int(np.searchsorted(line_ends, end))
    return Records(starts, ends, lines, breaks, broken, end, passed, quoting.open_quote)


def escapes_of(text: bytes, escape: bytes) -> _Offsets:
    """Return where the escapes of a text stand; one that is escaped itself is none."""
    places: _Offsets = np.flatnonzero(np.frombuffer(text, np.uint8) == escape[0])
    begins = np.diff(places, prepend=-2) != 1
    run = np.maximum.accumulate(np.where(begins, places, 0))
    escapes: _Offsets = places[(places - run) % 2 == 0]
    return escapes


def _without_escaped(block: bytes, marks: Marks) -> bytes:
    """Return a block with zeros, which no text has, for each escape and the sign behind it."""
    if not marks.escape or marks.escape not in block:
        return block
    signs, escapes = np.frombuffer(block, np.uint8).copy(), escapes_of(block, marks.escape)
    signs[escapes] = 0
    signs[np.minimum(escapes + 1, len(signs) - 1)] = 0
    return signs.tobytes()


def _are_records(block: bytes, starts: _Offsets, ends: _Offsets, marks: Marks) -> _Flags:
    kept = ends > starts
    if marks.blanks:
        kept[: np.flatnonzero(kept)[-1] if kept.any() else 0] = True
    if marks.comment:
        kept &= np.fromiter((not block.startswith(marks.comment, start) for start in starts), bool, len(starts))
    return kept


def _quoting(block: bytes, signs: _Bytes, line_ends: _Offsets, marks: Marks) -> _Quoting:
    if not marks.quote or marks.quote not in block:
        return _Quoting(np.ones(len(line_ends), bool), [], None)
    inside = None if marks.comment else _inside_quotes(block, signs, marks)
    if inside is None:
        return _line_by_line(block, signs, np.flatnonzero(signs == marks.quote[0]), line_ends, marks)
    is_end = inside[line_ends >> 6] >> (line_ends & 63).astype(np.uint64) & np.uint64(1) == 0
    is_open = bool(inside[-1] >> np.uint64((len(block) - 1) & 63) & np.uint64(1))
    return _Quoting(is_end, [], block.rfind(marks.quote) if is_open else None)


def _inside_quotes(block: bytes, signs: _Bytes, marks: Marks) -> _Words | None:
    """Return a bit for each sign, whether it is within quotes; None where a mark stands where none may open or close.

    A sign is within quotes where an odd number of marks stands up to it.
    """
    quotes = words_of(signs == marks.quote[0])
    ends = words_of((signs == marks.separator[0]) | (signs == marks.line_end[0])) | quotes
    inside = parity_of(quotes)
    before = ends << np.uint64(1)
    before[1:] |= ends[:-1] >> np.uint64(63)
    before[0] |= np.uint64(1)
    if b"\r" in block:
        ends |= words_of(signs == _CR)
    after = ends >> np.uint64(1)
    after[:-1] |= ends[1:] << np.uint64(63)
    after[-1] |= np.uint64(1) << np.uint64((len(signs) - 1) & 63)  # what follows the block may be anything
    strays = quotes & ((inside & ~before) | (~inside & ~after))
    return None if strays.any() else inside


def parity_of(bits: _Words) -> _Words:
    """Return a bit for each bit, whether an odd number of them is set up to it: a word at a time."""
    odd = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(shift)
    carried = np.bitwise_xor.accumulate(odd >> np.uint64(63))
    odd[1:] ^= np.uint64(0) - carried[:-1]
    return odd


def words_of(flags: _Flags) -> _Words:
    """Return flags as words of 64 bits, the first flag the lowest bit."""
    packed = np.packbits(flags, bitorder="little")
    return np.pad(packed, (0, -len(packed) % 8)).view("<u8")


def _fits(signs: _Bytes, quotes: _Offsets, opens: _Flags, marks: Marks) -> _Flags:
    """Return whether each quote mark stands where one that opens, or one that closes, may stand."""
    may_be = np.zeros(256, bool)
    may_be[[marks.separator[0], marks.quote[0], marks.line_end[0]]] = True
    before = may_be[signs[quotes - 1]] | (quotes == 0)
    may_be[_CR] = True
    after = may_be[signs[np.minimum(quotes + 1, len(signs) - 1)]]  # the block's last sign may be anything
    return np.where(opens, before, after)


def _line_by_line(block: bytes, signs: _Bytes, quotes: _Offsets, line_ends: _Offsets, marks: Marks) -> _Quoting:
    """A line whose quote marks fit by themselves is a record; from any other the record is followed field by field."""
    line_starts = np.concatenate([[0], line_ends + 1])
    line_of = np.searchsorted(line_ends, quotes)
    opens = (np.arange(len(quotes)) - np.searchsorted(quotes, line_starts)[line_of]) % 2 == 0
    unsure = np.bincount(line_of, minlength=len(line_starts)) % 2 == 1
    unsure[line_of[~_fits(signs, quotes, opens, marks)]] = True
    is_end, broken, after = np.ones(len(line_ends), bool), list[int](), 0
    for line in np.flatnonzero(unsure):
        start = int(line_starts[line])
        if start < after or (marks.comment and block.startswith(marks.comment, start)):
            continue
        record = walked(block, start, marks)
        if record.broken:
            broken.append(start)
        is_end[line : np.searchsorted(line_ends, record.end)] = False
        after = record.end + 1
        if record.open_quote is not None:
            return _Quoting(is_end, broken, record.open_quote)
    return _Quoting(is_end, broken, None)


def _with_stray_ends(block: bytes, signs: _Bytes, starts: _Offsets, ends: _Offsets, marks: Marks) -> list[int]:
    """Return the records that hold a line end of a kind that does not end the file's lines."""
    other = _CR if marks.line_end[0] == _LF else _LF
    if other not in block or not len(starts):
        return []
    strays = np.flatnonzero(signs == other)
    record = np.searchsorted(starts, strays, "right") - 1
    inside = strays < ends[record]
    if other == _CR:
        inside &= signs[np.minimum(strays + 1, len(signs) - 1)] != _LF
    return [int(place) for place in np.unique(record[inside])]


class Walked(NamedTuple):
    """One record, followed to its end."""

    end: int
    """Where its line end stands, or the text ends."""
    broken: bool
    open_quote: int | None = None


def walked(text: bytes, start: int, marks: Marks) -> Walked:
    """Follow a record field by field from its start."""
    stray = b"\r" if marks.line_end == b"\n" else b"\n"
    place, broken, line_end = start, False, -1
    while True:
        quoted = bool(marks.quote) and text.startswith(marks.quote, place)
        if quoted:
            closing = _closing(text, place + 1, marks.quote)
            if closing < 0:
                return Walked(len(text), broken, place)
            place = closing + 1
        if line_end < place:
            line_end = text.find(marks.line_end, place)
            line_end = len(text) if line_end < 0 else line_end
        separator = text.find(marks.separator, place, line_end)
        rest = text[place : line_end if separator < 0 else separator]
        if separator < 0 and marks.line_end == b"\n":
            rest = rest.removesuffix(b"\r")
        broken |= stray in rest or (quoted and bool(rest))
        if separator < 0:
            return Walked(line_end, broken)
        place = separator + 1


def _closing(text: bytes, place: int, quote: bytes) -> int:
    """Return where the quote mark stands that closes a field; -1 where none does. A doubled one does not."""
    while (place := text.find(quote, place)) >= 0 and text.startswith(quote, place + 1):
        place += 2
    return place

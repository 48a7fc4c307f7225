"""Lines of JSON that hold flat objects, as programs write them, read at once by NumPy: each value as it is written.

Outside of strings such a text has a colon and a comma or line end by turns: between them stand the keys and values.
Texts refer to the bytes of the file, none of which is copied. A value is a string or else one of JSON's literals, and
nothing else stands in a line; what does not fit so is left to the reader that takes one line after the other.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.connectors.tables.csv_records import escapes_of, parity_of, words_of
from factory.storage.columns import LINE, UNPARSED

_LITERAL = r"^(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|NaN|-?Infinity)$"
"""What a value may be that is no string and not null."""
_NULL = int.from_bytes(b"null", "little")
_INLINE = 12
"""A text of at most so many bytes stands in Arrow's view of it, another is referred to."""
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""A mask for the first 0 to 8 bytes of a word."""
_PREFIX = _FIRST_BYTES[[0, 1, 2, 3, *[4] * 10]]
_AFTER_PREFIX = _FIRST_BYTES[[*[0] * 4, *range(9), 0]]
"""Masks for the first four bytes of a text, and for those after them, by its length up to one more than `_INLINE`."""
_IS_DIGIT = np.zeros(256, bool)
_IS_DIGIT[list(b"0123456789")] = True
_MOST_KEYS = 500
"""Lines of more keys than that in all, of which not each has all, are read one by one."""
_DECODER = json.JSONDecoder(strict=False)

_Places = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]
_Words = npt.NDArray[np.uint64]
_Which = slice | _Places
"""Some of the pairs, in order."""


class _Pairs(NamedTuple):
    """The keys and values of a text's lines, each by the places at which it starts and ends; keys in their quotes."""

    text: bytes
    """The text, and some bytes more, so that a word can be taken from each place."""
    words: _Words
    """The eight bytes from each place on."""
    lines: int
    line: _Places
    """The line of each pair, from 0."""
    key_starts: _Places
    key_ends: _Places
    starts: _Places
    ends: _Places
    """Of values; of a string without its quotes."""
    is_string: _Flags
    is_escaped: _Flags | None
    """Which values have a backslash; None where none has."""


def flat_objects(text: bytes, keys: Sequence[str], wanted: Sequence[str], first_line: int) -> pl.DataFrame | None:
    """Return whole lines as records of some keys, with LINE and UNPARSED; None where they are to be read one by one.

    That is so where they have other keys than these too.
    """
    pairs = _pairs_of(text)
    by_key = None if pairs is None else _by_key(pairs)
    if pairs is None or by_key is None or not by_key.keys() <= set(keys):
        return None
    columns: list[pl.Series] = []
    for key, which in by_key.items():
        if key in wanted or not pairs.is_string[which].all():  # literals are looked at, wanted or not
            texts = _texts(pairs, which)
            if texts is None:
                return None
            columns.append(texts.alias(key))
    number = pl.int_range(first_line, first_line + pairs.lines, dtype=pl.Int64, eager=True)
    frame = pl.DataFrame([*(texts for texts in columns if texts.name in wanted), number.alias(LINE)])
    lacking = [key for key in wanted if key not in by_key]
    return frame.with_columns(pl.lit(None, pl.String).alias(key) for key in (*lacking, UNPARSED))


def keys_of(text: bytes, known: Sequence[str]) -> list[str] | None:
    """Return the keys of whole lines in the order in which they come; None where they are to be read one by one.

    Where all are `known`, values are not looked at: those lines have nothing new to say.
    """
    pairs = _pairs_of(text)
    by_key = None if pairs is None else _by_key(pairs)
    if by_key is None or (not by_key.keys() <= set(known) and flat_objects(text, list(by_key), [], 1) is None):
        return None
    return list(by_key)


def _pairs_of(text: bytes) -> _Pairs | None:
    """Return the pairs of lines with one flat object each; None where they are not so."""
    text = (text if text.endswith(b"\n") else text + b"\n") + bytes(16)
    signs, length = np.frombuffer(text, np.uint8), len(text) - 16
    is_quote = signs == ord('"')
    escapes = escapes_of(text, b"\\") if b"\\" in text else None
    if escapes is not None:
        is_quote[escapes + 1] = False
    colons, ends = _divided(signs, words_of(is_quote))
    is_last = signs[ends] == ord("\n")
    if not len(ends) or not is_last[-1] or np.count_nonzero(is_last) != text.count(b"\n"):
        return None  # no pairs by turns, or a line end stands in a string
    is_first = np.concatenate([[True], is_last[:-1]])
    key_starts = np.concatenate([[0], ends[:-1] + 1])
    ends[is_last] -= 1
    ends[is_last] -= signs[ends[is_last]] == ord("\r")
    if (signs[key_starts[is_first]] != ord("{")).any() or (signs[ends[is_last]] != ord("}")).any():
        return None
    key_starts, key_ends = _without_blanks(signs, key_starts + is_first, colons)
    starts, ends = _without_blanks(signs, colons + 1, ends)
    is_string = (signs[starts] == ord('"')) & (signs[ends - 1] == ord('"')) & (ends - starts > 1)
    if (ends <= starts).any() or np.count_nonzero(is_quote) != 2 * (len(starts) + np.count_nonzero(is_string)):
        return None  # two strings stand in one place, or something beside a string
    return _Pairs(
        text=text,
        words=np.ndarray((length + 8,), np.uint64, text, strides=(1,)),
        lines=int(np.count_nonzero(is_last)),
        line=np.cumsum(is_first) - 1,
        key_starts=key_starts,
        key_ends=key_ends,
        starts=starts + is_string,
        ends=ends - is_string,
        is_string=is_string,
        is_escaped=None if escapes is None else _with_some(starts, escapes),
    )


def _divided(signs: npt.NDArray[np.uint8], quotes: _Words) -> tuple[_Places, _Places]:
    """Return the colons outside of strings, and the comma or line end after each; none where they are not by turns."""
    divides = words_of(signs == ord(":")) | words_of(signs == ord(",")) | words_of(signs == ord("\n"))
    places = np.flatnonzero(_flags(divides & ~parity_of(quotes)))
    colons, ends = places[0::2], places[1::2]
    by_turns = len(colons) == len(ends) and (signs[colons] == ord(":")).all() and (signs[ends] != ord(":")).all()
    return (colons, ends) if by_turns else (places[:0], places[:0])


def _flags(words: _Words) -> _Flags:
    return np.unpackbits(words.view(np.uint8), bitorder="little").view(bool)


def _with_some(starts: _Places, places: _Places) -> _Flags:
    """Return which of the spans that begin at some places, one after the other, have one of other places in them."""
    flags = np.zeros(len(starts), bool)
    flags[np.maximum(np.searchsorted(starts, places, "right") - 1, 0)] = True
    return flags


def _without_blanks(signs: npt.NDArray[np.uint8], starts: _Places, ends: _Places) -> tuple[_Places, _Places]:
    """Return the spans without the blank that may stand at either end; more are found to fit nothing."""
    return starts + (signs[starts] == ord(" ")), ends - (signs[ends - 1] == ord(" "))


def _by_key(pairs: _Pairs) -> dict[str, _Which] | None:
    """Return the pairs of each key, in the order of the keys; None where a line has one twice, or one is written oddly.

    Mostly all lines have the same keys in the same order.
    """
    number = len(pairs.line) // pairs.lines
    by_line = pairs.line[: number * pairs.lines].reshape(pairs.lines, number)
    if by_line.size == len(pairs.line) and (by_line == np.arange(pairs.lines)[:, None]).all():
        groups = {_name(pairs, place): slice(place, None, number) for place in range(number)}
        if len(groups) == number and all(_is_key(pairs, which).all() for which in groups.values()):
            return None if None in groups else {name: which for name, which in groups.items() if name is not None}
    by_key: dict[str, _Which] = {}
    rest: _Places = np.arange(len(pairs.line))
    while len(rest):
        name, same = _name(pairs, int(rest[0])), _is_key(pairs, rest)
        which = rest[same]
        if name is None or len(by_key) == _MOST_KEYS or (np.diff(pairs.line[which]) == 0).any():
            return None
        by_key[name], rest = which, rest[~same]
    return by_key


def _name(pairs: _Pairs, pair: int) -> str | None:
    """Return a pair's key; None where it is no string, or one with escapes."""
    key = pairs.text[pairs.key_starts[pair] : pairs.key_ends[pair]]
    return key[1:-1].decode() if len(key) > 1 and key[:1] == key[-1:] == b'"' and b"\\" not in key else None


def _is_key(pairs: _Pairs, which: _Which) -> _Flags:
    """Return which of some pairs have the key of the first of them."""
    starts, ends = pairs.key_starts[which], pairs.key_ends[which]
    length = int(ends[0] - starts[0])
    same: _Flags = ends - starts == length
    for place in range(0, length, 8):
        words = pairs.words[starts + place] & _FIRST_BYTES[min(length - place, 8)]
        same &= words == words[0]
    return same


def _texts(pairs: _Pairs, which: _Which) -> pl.Series | None:
    """Return the values of some pairs as texts, a line each; None where one is none of JSON's."""
    import pyarrow as pa

    starts, ends, is_string = pairs.starts[which], pairs.ends[which], pairs.is_string[which]
    lengths = ends - starts
    first = pairs.words[starts]
    is_null = ~is_string & (lengths == len("null")) & (first & _FIRST_BYTES[4] == _NULL)
    views = np.zeros((pairs.lines, 2), np.uint64)
    valid = np.zeros(pairs.lines, bool)
    there = pairs.line[which] if len(starts) < pairs.lines else slice(None)
    within = np.minimum(lengths, _INLINE + 1)
    views[there, 0] = lengths.view(np.uint64) | (first & _PREFIX[within]) << np.uint64(32)
    referred = np.where(within > _INLINE, starts << 32, 0).view(np.uint64)
    views[there, 1] = pairs.words[starts + 4] & _AFTER_PREFIX[within] | referred
    valid[there] = ~is_null
    buffers = [np.packbits(valid, bitorder="little"), views, pairs.text]
    array = pa.Array.from_buffers(pa.string_view(), pairs.lines, [pa.py_buffer(one) for one in buffers])
    texts = pl.Series(pl.from_arrow(array))
    if not is_string.all():
        some = np.flatnonzero(~(is_string | is_null))
        literals = texts if len(some) == len(texts) else texts.gather(pairs.line[which][some])
        are_known = _are_whole_numbers(pairs.text, starts[some], literals)
        if not (are_known or literals.str.contains(_LITERAL).all()):
            return None
    escaped = None if pairs.is_escaped is None else pairs.is_escaped[which]
    return texts if escaped is None or not escaped.any() else _unescaped(pairs, which, texts, escaped)


def _are_whole_numbers(text: bytes, starts: _Places, literals: pl.Series) -> bool:
    """Whether literals are whole numbers of JSON: a cast finds those fast, but takes a plus and zeros before them."""
    if literals.cast(pl.Int64, strict=False).has_nulls():
        return False
    signs = np.frombuffer(text, np.uint8)
    begins = starts + (signs[starts] == ord("-"))
    has_zero = (signs[begins] == ord("0")) & _IS_DIGIT[signs[begins + 1]]
    return bool(_IS_DIGIT[signs[begins]].all() and not has_zero.any())


def _unescaped(pairs: _Pairs, which: _Which, texts: pl.Series, escaped: _Flags) -> pl.Series | None:
    """Return a column with the escapes in some of its strings resolved; None where one is none of JSON's."""
    spans = zip(pairs.starts[which][escaped].tolist(), pairs.ends[which][escaped].tolist(), strict=True)
    strings = b",".join(pairs.text[start - 1 : end + 1] for start, end in spans)
    try:
        values = pl.Series(_DECODER.decode(f"[{strings.decode()}]"), dtype=pl.String)
    except ValueError:  # no escape, or half of a sign
        return None
    return texts.scatter(pairs.line[which][escaped], values)

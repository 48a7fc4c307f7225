"""Lines of JSON read by Polars, at its speed, with each number as it is written: numbers are put in quote marks first.

For lines that hold flat objects, as programs write them. Each value is accounted for: every colon outside of strings
follows one of the keys, and as many values are delivered. Whatever does not fit is left to the reader that takes one
line after the other.
"""

import json
from collections.abc import Sequence

import numpy as np
import polars as pl

from factory.storage.columns import LINE, UNPARSED

_OF_NUMBERS = np.zeros(256, bool)
_OF_NUMBERS[list(b"0123456789+-.eE")] = True
_BEGINS = np.zeros(256, bool)
_BEGINS[list(b"0123456789-")] = True


def flat_objects(text: bytes, keys: Sequence[str], first_line: int) -> pl.DataFrame | None:
    """Return whole lines as records of the keys, with LINE and UNPARSED; None where they are to be read one by one."""
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    if not keys or b"\n\n" in text or b"\\\\" in text or text.startswith(b"\n"):
        return None
    signs = np.frombuffer(text, np.uint8)
    outside = _outside_strings(text, signs)
    braces, brackets = (int(np.count_nonzero((signs == ord(sign)) & outside)) for sign in "{[")
    if braces != lines or brackets:
        return None
    colons, nulls = (int(np.count_nonzero((signs == ord(sign)) & outside)) for sign in ":n")
    if sum(_times(json.dumps(key, ensure_ascii=False).encode() + b":", text) for key in keys) != colons:
        return None  # another key, or blanks before a colon
    try:
        rows = pl.read_ndjson(_numbers_quoted(signs, outside), schema=dict.fromkeys(keys, pl.String))
    except pl.exceptions.PolarsError:
        return None
    known = sum(len(rows) - number for number in rows.null_count().row(0))
    if len(rows) != lines or known + nulls != colons:
        return None
    number = pl.int_range(first_line, first_line + lines, dtype=pl.Int64, eager=True)
    return rows.with_columns(number.alias(LINE), pl.lit(None, pl.String).alias(UNPARSED))


def _times(key: bytes, text: bytes) -> int:
    """Return how often a key is in a text, and not the end of a longer one, which has a quote mark in it."""
    return text.count(key) - text.count(b"\\" + key)


def _outside_strings(text: bytes, signs: np.ndarray) -> np.ndarray:
    """Return which signs stand outside of strings; no backslash is one that is escaped itself."""
    quotes = signs == ord('"')
    if b"\\" in text:
        quotes[1:] &= signs[:-1] != ord("\\")
    outside: np.ndarray = np.bitwise_xor.accumulate(quotes.view(np.uint8)) == 0
    return outside


def _numbers_quoted(signs: np.ndarray, outside: np.ndarray) -> bytes:
    within = np.zeros(len(signs) + 2, bool)
    within[1:-1] = _OF_NUMBERS[signs] & outside
    begins = np.flatnonzero(within[1:-1] & ~within[:-2])
    ends = np.flatnonzero(within[1:-1] & ~within[2:]) + 1
    of_number = _BEGINS[signs[begins]]  # the `e` of true and false is none
    places = np.stack([begins[of_number], ends[of_number]], axis=1).ravel()
    return np.insert(signs, places, np.uint8(ord('"'))).tobytes()

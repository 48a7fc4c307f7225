"""Misfits: what of a raw row cannot be taken as declared, one bit a reason, before any expectation is judged.

Reasons are the declared columns, whose value is not of its type, and those about the row: its record does not fit the
heading (RECORD), it names no site (UNNAMED), its site has another spelling (SPELLING), its cursor is not given
(UNDATED), it came with other columns and the line's file sends it to quarantine for that (CHANGED).
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import polars as pl

from factory.line.expectation import Expectation
from factory.storage.columns import SCHEMA, UNPARSED

BITS = 62
"""Bits of a mask column: what an Int64 holds without its sign."""
RECORD, SPELLING, UNDATED, CHANGED, UNNAMED = "_record", "_spelling", "_undated", "_changed", "_unnamed"
_ROW_REASONS = (RECORD, SPELLING, UNDATED, CHANGED, UNNAMED)


def mask_names(columns: Sequence[str]) -> list[str]:
    """Return the mask columns of a table with these declared columns."""
    return [f"_misfit_{start // BITS}" for start in range(0, len(columns) + len(_ROW_REASONS), BITS)]


def masks(columns: Sequence[str], misfits: Mapping[str, pl.Expr]) -> list[pl.Expr]:
    """Return the mask columns of misfits, each reason a Boolean that is never null; others do not occur."""
    bits: dict[str, list[pl.Expr]] = {name: [pl.lit(0, pl.Int64)] for name in mask_names(columns)}
    for reason, misfit in misfits.items():
        mask, bit = bit_of(columns, reason)
        bits[mask].append(pl.when(misfit).then(pl.lit(1 << bit, pl.Int64)).otherwise(pl.lit(0, pl.Int64)))
    return [reduce(add, some).alias(name) for name, some in bits.items()]


def bit_of(columns: Sequence[str], reason: str) -> tuple[str, int]:
    """Return the mask column of a reason, and its bit there."""
    place = [*_ROW_REASONS, *columns].index(reason)
    return f"_misfit_{place // BITS}", place % BITS


def expectations(
    columns: Mapping[str, str], site_column: str | None, cursor: str, *, is_spelled_once: bool = True
) -> dict[str, Expectation]:
    """Return, by reason, the expectation that a misfit breaks."""
    of_type = "expect_column_values_to_be_of_type"
    reasons = {
        RECORD: _expectation(
            "expect_column_values_to_be_null", "record: to have the fields of the heading", column=UNPARSED
        ),
        CHANGED: _expectation(
            "expect_column_values_to_be_null", "record: to come with the declared columns", column=SCHEMA
        ),
    }
    if site_column:
        reasons[UNNAMED] = _expectation(
            "expect_column_values_to_not_be_null", f"{site_column}: to name a site", column=site_column
        )
    if site_column and is_spelled_once:
        reasons[SPELLING] = _expectation(
            "expect_column_values_to_be_in_set",
            f"{site_column}: one spelling of each site",
            column=site_column,
            value_set=["the spelling that its site has had first; `site_names` names others"],
        )
    if cursor:
        reasons[UNDATED] = _expectation("expect_column_values_to_not_be_null", f"{cursor}: to be given", column=cursor)
    types = {
        name: _expectation(of_type, f"{name}: values to be of type {kind}", column=name, type_=kind)
        for name, kind in columns.items()
    }
    return {**reasons, **types}


def _expectation(kind: str, name: str, **kwargs: object) -> Expectation:
    return Expectation(type=kind, kwargs=kwargs, meta={"name": name})

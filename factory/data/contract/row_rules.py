"""Expectations for which a row can be blamed, as Polars expressions from the GPU engine's "fine" column.

Great Expectations' rules, which its pandas engine shows in the tests: nulls are not judged, NaN is null, a missing
value compares with nothing, and uniqueness blames every copy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, Literal

import polars as pl

from factory.data.contract.kwargs import (
    BOUNDS,
    Types,
    check_names,
    closed_bounds_of,
    column_of,
    columns_of,
    mostly_of,
    values_of,
)
from factory.line.expectation import Expectation

Presence = Literal["nulls", "all rows", "every", "any"]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The rows an expectation judges: all, or those where every or any of the columns has a value.

    `nulls` means all rows, too, for an expectation about the nulls themselves: no row counts as missing then.
    """

    needs: Presence
    columns: tuple[str, ...]

    def rows(self, types: Types) -> pl.Expr | None:
        """Return which rows these are, never null; None for all."""
        if self.needs in ("nulls", "all rows"):
            return None
        return reduce(and_ if self.needs == "every" else or_, (present(column, types) for column in self.columns))


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """One compiled row-level expectation."""

    expectation: Expectation
    name: str
    columns: tuple[str, ...]
    domain: Domain
    broken: pl.Expr | None
    """Whether a row breaks the rule, never null; None for uniqueness, which needs a group_by, and for misfits."""
    mostly: float
    misfit: str = ""
    """Of a rule about what is declared, the reason why a row breaks it (factory/data/contract/misfits.py)."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a row-level expectation means: the rows it judges, and what must hold there (None: that they are unique)."""

    domain: Domain
    holds: pl.Expr | None


def present(column: str, types: Types) -> pl.Expr:
    """Return whether a row has a value in the column; NaN is not one."""
    known = pl.col(column).is_not_null()
    return known & pl.col(column).is_not_nan() if types[column].is_float() else known


def _of_column(holds: Callable[[dict[str, Any], pl.DataType], Callable[[pl.Expr], pl.Expr]]) -> "Reader":
    def read(kwargs: dict[str, Any], types: Types) -> Meaning:
        column = column_of(kwargs, types)
        rule = holds(kwargs, types[column])
        return Meaning(domain=Domain(needs="every", columns=(column,)), holds=rule(pl.col(column)))

    return read


def _presence(*, wanted: bool) -> "Reader":
    def read(kwargs: dict[str, Any], types: Types) -> Meaning:
        column = column_of(kwargs, types)
        known = present(column, types)
        return Meaning(domain=Domain(needs="nulls", columns=(column,)), holds=known if wanted else ~known)

    return read


def _between(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    if dtype == pl.Boolean:
        raise TypeError("a Boolean column has no range; use a value set")
    return closed_bounds_of(kwargs, dtype).hold


def _in_set(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    values = pl.Series(values_of(kwargs, dtype), dtype=dtype)
    return lambda value: value.is_in(values.implode())


def _not_in_set(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    inside = _in_set(kwargs, dtype)
    return lambda value: ~inside(value)


def _require_text(dtype: pl.DataType) -> None:
    if dtype != pl.String:
        raise TypeError(f"needs a String column, this one is {dtype}")


def _matches(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    _require_text(dtype)
    regex = kwargs["regex"]
    try:
        pl.Series([""]).str.contains(regex)
    except pl.exceptions.ComputeError as error:
        why = next((line for line in str(error).splitlines() if line.startswith("error:")), str(error))
        raise ValueError(f"regex {regex!r} is not one of Rust's flavour, which judges the rows: {why}") from error
    return lambda value: value.str.contains(regex)


def _matches_not(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    inside = _matches(kwargs, dtype)
    return lambda value: ~inside(value)


def _length_between(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    _require_text(dtype)
    bounds = closed_bounds_of(kwargs, None)
    return lambda value: bounds.hold(value.str.len_chars())


def _length_equal(kwargs: dict[str, Any], dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    _require_text(dtype)
    return lambda value: value.str.len_chars() == kwargs["value"]


def _ignored(kwargs: dict[str, Any], choices: dict[str, Presence]) -> Presence:
    chosen = kwargs.get("ignore_row_if") or next(iter(choices))
    if chosen not in choices:
        raise ValueError(f"ignore_row_if must be one of {', '.join(choices)}, not {chosen!r}")
    return choices[chosen]


PAIR: dict[str, Presence] = {
    "both_values_are_missing": "any",
    "either_value_is_missing": "every",
    "neither": "all rows",
}
COMPOUND: dict[str, Presence] = {"all_values_are_missing": "any", "any_value_is_missing": "every", "never": "all rows"}


def _pair(kwargs: dict[str, Any], types: Types, holds: pl.Expr) -> Meaning:
    pair = (column_of(kwargs, types, "column_A"), column_of(kwargs, types, "column_B"))
    both = present(pair[0], types) & present(pair[1], types)  # a missing value is neither equal nor greater
    return Meaning(domain=Domain(needs=_ignored(kwargs, PAIR), columns=pair), holds=both & holds)


def _pair_greater(kwargs: dict[str, Any], types: Types) -> Meaning:
    a, b = pl.col(kwargs["column_A"]), pl.col(kwargs["column_B"])
    return _pair(kwargs, types, a >= b if kwargs.get("or_equal") else a > b)


def _pair_equal(kwargs: dict[str, Any], types: Types) -> Meaning:
    return _pair(kwargs, types, pl.col(kwargs["column_A"]) == pl.col(kwargs["column_B"]))


def _unique(kwargs: dict[str, Any], types: Types) -> Meaning:
    return Meaning(domain=Domain(needs="every", columns=(column_of(kwargs, types),)), holds=None)


def _compound_unique(kwargs: dict[str, Any], types: Types) -> Meaning:
    domain = Domain(needs=_ignored(kwargs, COMPOUND), columns=columns_of(kwargs, types))
    return Meaning(domain=domain, holds=None)


Reader = Callable[[dict[str, Any], Types], Meaning]
Spec = tuple[Reader, tuple[str, ...], tuple[str, ...]]
"""How to read it, the kwargs it must have, the kwargs it may have."""

ROW_SPECS: dict[str, Spec] = {
    "expect_column_values_to_not_be_null": (_presence(wanted=True), ("column",), ()),
    "expect_column_values_to_be_null": (_presence(wanted=False), ("column",), ()),
    "expect_column_values_to_be_between": (_of_column(_between), ("column",), BOUNDS),
    "expect_column_values_to_be_in_set": (_of_column(_in_set), ("column", "value_set"), ()),
    "expect_column_values_to_not_be_in_set": (_of_column(_not_in_set), ("column", "value_set"), ()),
    "expect_column_values_to_match_regex": (_of_column(_matches), ("column", "regex"), ()),
    "expect_column_values_to_not_match_regex": (_of_column(_matches_not), ("column", "regex"), ()),
    "expect_column_value_lengths_to_be_between": (_of_column(_length_between), ("column",), BOUNDS),
    "expect_column_value_lengths_to_equal": (_of_column(_length_equal), ("column", "value"), ()),
    "expect_column_values_to_be_unique": (_unique, ("column",), ()),
    "expect_compound_columns_to_be_unique": (_compound_unique, ("column_list",), ("ignore_row_if",)),
    "expect_column_pair_values_to_be_equal": (_pair_equal, ("column_A", "column_B"), ("ignore_row_if",)),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        _pair_greater,
        ("column_A", "column_B"),
        ("or_equal", "ignore_row_if"),
    ),
}


def row_rule(expectation: Expectation, name: str, types: Types) -> RowRule:
    """Compile one row-level expectation; raises ValueError, TypeError or a Polars error with the reason."""
    read, required, optional = ROW_SPECS[expectation.type]
    check_names(expectation, required, (*optional, "mostly"))
    meaning = read(dict(expectation.kwargs), types)
    rule = RowRule(
        expectation=expectation,
        name=name,
        columns=meaning.domain.columns,
        domain=meaning.domain,
        broken=None if meaning.holds is None else _broken(meaning.domain.rows(types), meaning.holds),
        mostly=mostly_of(expectation.kwargs),
    )
    if rule.broken is not None:
        pl.DataFrame(schema=dict(types)).lazy().select(rule.broken).collect()  # Polars itself judges the types
    return rule


def _broken(judged: pl.Expr | None, holds: pl.Expr) -> pl.Expr:
    fails = ~holds.fill_null(value=False)
    return fails if judged is None else judged & fails

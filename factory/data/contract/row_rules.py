"""Expectations for which a row can be blamed, as Polars expressions from the GPU engine's "fine" column.

Great Expectations' rules, which its pandas engine shows in the tests: nulls are not judged, NaN is null, a missing
value compares with nothing, and uniqueness blames every copy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add, and_, or_
from typing import Any, Literal

import polars as pl

from factory.data.contract.kwargs import (
    BOUNDS,
    Types,
    check_names,
    closed_bounds_of,
    column_of,
    columns_of,
    like_regex,
    moment,
    mostly_of,
    pairs_of,
    texts_of,
    values_of,
)
from factory.data.contract.row_condition import CONDITION, RowCondition, row_condition_of
from factory.line.expectation import Expectation

Holds = Callable[[pl.Expr], pl.Expr]
"""A column's values in, whether each keeps the rule out."""
Presence = Literal["nulls", "all rows", "every", "any"]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The rows an expectation judges: all, or those where every or any of the columns has a value.

    `nulls` means all rows, too, for an expectation about the nulls themselves: no row counts as missing then.
    """

    needs: Presence
    columns: tuple[str, ...]
    condition: RowCondition | None = None
    """Which rows the expectation is about at all; no other counts, not even as missing."""

    def rows(self, types: Types) -> pl.Expr | None:
        """Return which rows these are, never null; None for all."""
        tests = [] if self.condition is None else [self.condition.holds]
        if self.needs not in ("nulls", "all rows"):
            there = (present(column, types) for column in self.columns)
            tests.append(reduce(and_ if self.needs == "every" else or_, there))
        return reduce(and_, tests) if tests else None


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

    @property
    def looked_at(self) -> frozenset[str]:
        """The columns without which the rule cannot be judged."""
        condition = self.domain.condition
        return frozenset({*self.columns, *(condition.columns if condition else ())})


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a row-level expectation means: the rows it judges, and what must hold there (None: that they are unique)."""

    domain: Domain
    holds: pl.Expr | None


def present(column: str, types: Types) -> pl.Expr:
    """Return whether a row has a value in the column; NaN is not one."""
    known = pl.col(column).is_not_null()
    return known & pl.col(column).is_not_nan() if types[column].is_float() else known


def _of_column(holds: Callable[[dict[str, Any], pl.DataType], Holds]) -> "Reader":
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


def _between(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    if dtype == pl.Boolean:
        raise TypeError("a Boolean column has no range; use a value set")
    return closed_bounds_of(kwargs, dtype).hold


def _in_set(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    values = pl.Series(values_of(kwargs, dtype), dtype=dtype)
    return lambda value: value.is_in(values.implode())


def _require_text(dtype: pl.DataType) -> None:
    if dtype != pl.String:
        raise TypeError(f"needs a String column, this one is {dtype}")


MATCH_ON = {"any": or_, "all": and_}


def _matches(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    _require_text(dtype)
    return _regex(kwargs["regex"])


def _regex(regex: Any) -> Holds:
    if not isinstance(regex, str):
        raise TypeError(f"a regex must be text, not {regex!r}")
    try:
        pl.Series([""]).str.contains(regex)
    except pl.exceptions.ComputeError as error:
        why = next((line for line in str(error).splitlines() if line.startswith("error:")), str(error))
        raise ValueError(f"regex {regex!r} is not one of Rust's flavour, which judges the rows: {why}") from error
    return lambda value: value.str.contains(regex)


def _matches_list(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    _require_text(dtype)
    return _matching([_regex(regex) for regex in texts_of(kwargs, "regex_list")], kwargs)


def _like(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    _require_text(dtype)
    return _regex(like_regex(kwargs["like_pattern"], _escape(kwargs)))


def _like_list(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    _require_text(dtype)
    escape = _escape(kwargs)
    patterns = texts_of(kwargs, "like_pattern_list")
    return _matching([_regex(like_regex(pattern, escape)) for pattern in patterns], kwargs)


def _escape(kwargs: dict[str, Any]) -> str | None:
    escape = kwargs.get("escape")
    if escape is not None and not (isinstance(escape, str) and len(escape) == 1):
        raise ValueError(f"escape must be one character, not {escape!r}")
    return escape


def _matching(patterns: list[Holds], kwargs: dict[str, Any]) -> Holds:
    match_on = kwargs.get("match_on", "any")
    if match_on not in MATCH_ON:
        raise ValueError(f"match_on must be one of {', '.join(MATCH_ON)}, not {match_on!r}")
    return lambda value: reduce(MATCH_ON[match_on], (matches(value) for matches in patterns))


def _not(read: Callable[[dict[str, Any], pl.DataType], Holds]) -> Callable[[dict[str, Any], pl.DataType], Holds]:
    """Return the opposite of an expectation on one column's values."""

    def opposite(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
        holds = read(kwargs, dtype)
        return lambda value: ~holds(value)

    return opposite


def _length_between(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
    _require_text(dtype)
    bounds = closed_bounds_of(kwargs, None)
    return lambda value: bounds.hold(value.str.len_chars())


def _length_equal(kwargs: dict[str, Any], dtype: pl.DataType) -> Holds:
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


def _pair_in_set(kwargs: dict[str, Any], types: Types) -> Meaning:
    pair = (column_of(kwargs, types, "column_A"), column_of(kwargs, types, "column_B"))
    allowed = [_equals(pair[0], first, types) & _equals(pair[1], second, types) for first, second in pairs_of(kwargs)]
    holds = reduce(or_, allowed, pl.lit(value=False))
    return Meaning(domain=Domain(needs=_ignored(kwargs, PAIR), columns=pair), holds=holds)


def _equals(column: str, value: Any, types: Types) -> pl.Expr:
    """Return whether a column has a value, or with None whether it has none; never null."""
    if value is None:
        return ~present(column, types)
    wanted = pl.Series([moment(value, types[column])], dtype=types[column])
    return present(column, types) & pl.col(column).is_in(wanted.implode()).fill_null(value=False)


def _sum_equal(kwargs: dict[str, Any], types: Types) -> Meaning:
    columns = columns_of(kwargs, types)
    if texts := [name for name in columns if not types[name].is_numeric()]:
        raise TypeError(f"needs numeric columns, {texts[0]} is {types[texts[0]]}")
    total = reduce(add, (pl.col(name) for name in columns))
    return Meaning(domain=_of_all(kwargs, columns), holds=total == kwargs["sum_total"])


def _all_equal(kwargs: dict[str, Any], types: Types) -> Meaning:
    first, *others = columns_of(kwargs, types)
    same = reduce(and_, (_same(first, other, types) for other in others))
    return Meaning(domain=_of_all(kwargs, (first, *others)), holds=same)


def _all_different(kwargs: dict[str, Any], types: Types) -> Meaning:
    columns = columns_of(kwargs, types)
    repeated = reduce(or_, (_same(one, other, types) for one, other in combinations(columns, 2)))
    return Meaning(domain=_of_all(kwargs, columns), holds=~repeated)


def _same(one: str, other: str, types: Types) -> pl.Expr:
    """Return whether two columns have one value, or both have none; never null."""
    there, too = present(one, types), present(other, types)
    return (there & too & (pl.col(one) == pl.col(other))).fill_null(value=False) | ~(there | too)


def _of_all(kwargs: dict[str, Any], columns: tuple[str, ...]) -> Domain:
    return Domain(needs=_ignored(kwargs, COMPOUND), columns=columns)


def _unique(kwargs: dict[str, Any], types: Types) -> Meaning:
    return Meaning(domain=Domain(needs="every", columns=(column_of(kwargs, types),)), holds=None)


def _compound_unique(kwargs: dict[str, Any], types: Types) -> Meaning:
    return Meaning(domain=_of_all(kwargs, columns_of(kwargs, types)), holds=None)


Reader = Callable[[dict[str, Any], Types], Meaning]
Spec = tuple[Reader, tuple[str, ...], tuple[str, ...]]
"""How to read it, the kwargs it must have, the kwargs it may have."""

ROW_SPECS: dict[str, Spec] = {
    "expect_column_values_to_not_be_null": (_presence(wanted=True), ("column",), ()),
    "expect_column_values_to_be_null": (_presence(wanted=False), ("column",), ()),
    "expect_column_values_to_be_between": (_of_column(_between), ("column",), BOUNDS),
    "expect_column_values_to_be_in_set": (_of_column(_in_set), ("column", "value_set"), ()),
    "expect_column_values_to_not_be_in_set": (_of_column(_not(_in_set)), ("column", "value_set"), ()),
    "expect_column_values_to_match_regex": (_of_column(_matches), ("column", "regex"), ()),
    "expect_column_values_to_not_match_regex": (_of_column(_not(_matches)), ("column", "regex"), ()),
    "expect_column_values_to_match_regex_list": (_of_column(_matches_list), ("column", "regex_list"), ("match_on",)),
    "expect_column_values_to_not_match_regex_list": (_of_column(_not(_matches_list)), ("column", "regex_list"), ()),
    "expect_column_values_to_match_like_pattern": (_of_column(_like), ("column", "like_pattern"), ("escape",)),
    "expect_column_values_to_not_match_like_pattern": (
        _of_column(_not(_like)),
        ("column", "like_pattern"),
        ("escape",),
    ),
    "expect_column_values_to_match_like_pattern_list": (
        _of_column(_like_list),
        ("column", "like_pattern_list"),
        ("match_on", "escape"),
    ),
    "expect_column_values_to_not_match_like_pattern_list": (
        _of_column(_not(_like_list)),
        ("column", "like_pattern_list"),
        ("escape",),
    ),
    "expect_column_value_lengths_to_be_between": (_of_column(_length_between), ("column",), BOUNDS),
    "expect_column_value_lengths_to_equal": (_of_column(_length_equal), ("column", "value"), ()),
    "expect_column_values_to_be_unique": (_unique, ("column",), ()),
    "expect_compound_columns_to_be_unique": (_compound_unique, ("column_list",), ("ignore_row_if",)),
    "expect_select_column_values_to_be_unique_within_record": (_all_different, ("column_list",), ("ignore_row_if",)),
    "expect_multicolumn_values_to_be_unique": (_all_different, ("column_list",), ("ignore_row_if",)),
    "expect_multicolumn_values_to_be_equal": (_all_equal, ("column_list",), ("ignore_row_if",)),
    "expect_multicolumn_sum_to_equal": (_sum_equal, ("column_list", "sum_total"), ("ignore_row_if",)),
    "expect_column_pair_values_to_be_in_set": (
        _pair_in_set,
        ("column_A", "column_B", "value_pairs_set"),
        ("ignore_row_if",),
    ),
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
    check_names(expectation, required, (*optional, "mostly", *CONDITION))
    meaning = read(dict(expectation.kwargs), types)
    domain = replace(meaning.domain, condition=row_condition_of(expectation.kwargs, types))
    rule = RowRule(
        expectation=expectation,
        name=name,
        columns=domain.columns,
        domain=domain,
        broken=None if meaning.holds is None else _broken(domain.rows(types), meaning.holds),
        mostly=mostly_of(expectation.kwargs),
    )
    if rule.broken is not None:
        pl.DataFrame(schema=dict(types)).lazy().select(rule.broken).collect()  # Polars itself judges the types
    return rule


def _broken(judged: pl.Expr | None, holds: pl.Expr) -> pl.Expr:
    fails = ~holds.fill_null(value=False)
    return fails if judged is None else judged & fails

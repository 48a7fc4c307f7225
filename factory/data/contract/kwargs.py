"""Which kwargs each expectation type takes, and the reading of those that several types share.

Every function here raises ValueError or TypeError with the reason; the compiler adds the place and the expectation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from functools import reduce
from operator import and_
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from factory.line.expectation import Expectation

Types = Mapping[str, pl.DataType]
BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A range, open on a side that is None; `strict` sides exclude the bound itself."""

    lower: Any = None
    upper: Any = None
    strict_lower: bool = False
    strict_upper: bool = False

    def hold(self, value: pl.Expr) -> pl.Expr:
        """Return whether each value lies in the range; unknown stays unknown."""
        conditions: list[pl.Expr] = []
        if self.lower is not None:
            conditions.append(value > self.lower if self.strict_lower else value >= self.lower)
        if self.upper is not None:
            conditions.append(value < self.upper if self.strict_upper else value <= self.upper)
        return reduce(and_, conditions)

    def admit(self, value: Any) -> bool:
        """Whether one measured value lies in the range; an unknown one (None, NaN) never does."""
        if value is None or value != value:  # noqa: PLR0124  # NaN is what differs from itself, in any numeric type
            return False
        above = self.lower is None or (value > self.lower if self.strict_lower else value >= self.lower)
        below = self.upper is None or (value < self.upper if self.strict_upper else value <= self.upper)
        return bool(above and below)


IGNORED = (
    "allow_cross_type_comparisons",
    "auto",
    "batch_id",
    "catch_exceptions",
    "exclude_unexpected_values",
    "include_config",
    "include_unexpected_rows",
    "output_strftime_format",
    "partial_unexpected_count",
    "profiler_config",
    "result_format",
    "return_unexpected_index_query",
    "table",
    "unexpected_index_column_names",
)
"""Kwargs that say how Great Expectations is to run or to report, and nothing about rows."""
PARSE_DATES = "parse_strings_as_datetimes"


def judged_kwargs(kwargs: Mapping[str, Any], types: Types) -> dict[str, Any]:
    """Return the kwargs that say something about rows; raises ValueError for dates that are to be read from text."""
    if kwargs.get(PARSE_DATES):
        named = [types.get(str(kwargs.get(key))) for key in ("column", "column_A", "column_B")]
        if text := [dtype for dtype in named if dtype is not None and not dtype.is_temporal()]:
            raise ValueError(
                f"{PARSE_DATES} is not done here, and the column is {text[0]}; declare it as Datetime or Date in the "
                "line's file, and it is judged as one"
            )
    unsaid = {*IGNORED, PARSE_DATES}
    return {name: value for name, value in kwargs.items() if value is not None and name not in unsaid}


def check_names(expectation: Expectation, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    """Refuse kwargs that are missing, or that the compiler would otherwise ignore silently."""
    if missing := [name for name in required if expectation.kwargs.get(name) is None]:
        raise ValueError(f"lacks {', '.join(missing)}")
    if unknown := sorted(set(expectation.kwargs) - {*required, *optional}):
        raise ValueError(f"does not take {', '.join(unknown)} here; it takes {', '.join((*required, *optional))}")


def column_of(kwargs: Mapping[str, Any], types: Types, name: str = "column") -> str:
    """Return the column a kwarg names; it must be one of the table's."""
    column = kwargs[name]
    if column not in types:
        near = get_close_matches(str(column), types, 1, cutoff=0.75)
        hint = f"did you mean {near[0]!r}?" if near else f"the table has {', '.join(types)}"
        raise ValueError(f"unknown column {column!r}; {hint}")
    return str(column)


def columns_of(kwargs: Mapping[str, Any], types: Types) -> tuple[str, ...]:
    """Return the columns of `column_list`: two or more, all of the table."""
    listed = kwargs["column_list"]
    if not isinstance(listed, list | tuple) or len(listed) < 2:
        raise TypeError(f"column_list must list two columns or more, not {listed!r}")
    if len({*map(str, listed)}) < len(listed):
        raise ValueError(f"column_list names a column twice: {listed!r}")
    return tuple(column_of({"column": column}, types) for column in listed)


def bounds_of(kwargs: Mapping[str, Any], dtype: pl.DataType | None) -> Bounds:
    """Return the range; a temporal column's bounds may be written as ISO text."""
    lower, upper = (moment(kwargs.get(name), dtype) for name in ("min_value", "max_value"))
    for name in ("strict_min", "strict_max"):
        if not isinstance(kwargs.get(name, False), bool):
            raise TypeError(f"{name} must be true or false, not {kwargs[name]!r}")
    if lower is not None and upper is not None and lower > upper:
        raise ValueError(f"min_value {lower} is greater than max_value {upper}")
    return Bounds(
        lower=lower,
        upper=upper,
        strict_lower=kwargs.get("strict_min", False),
        strict_upper=kwargs.get("strict_max", False),
    )


def closed_bounds_of(kwargs: Mapping[str, Any], dtype: pl.DataType | None) -> Bounds:
    """Return the range, which must have at least one side."""
    bounds = bounds_of(kwargs, dtype)
    if bounds.lower is None and bounds.upper is None:
        raise ValueError("needs min_value or max_value")
    return bounds


def pairs_of(kwargs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Return `value_pairs_set`: pairs of values, in which None stands for a missing one."""
    listed = kwargs["value_pairs_set"]
    if not isinstance(listed, list | tuple) or not all(isinstance(pair, list | tuple) for pair in listed):
        raise TypeError(f"value_pairs_set must be a list of pairs, not {listed!r}")
    if odd := [pair for pair in listed if len(pair) != 2]:
        raise ValueError(f"value_pairs_set must have pairs, {odd[0]!r} is none")
    return [(first, second) for first, second in listed]


def texts_of(kwargs: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of texts, one at least."""
    listed = kwargs[name]
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(text, str) for text in listed):
        raise TypeError(f"{name} must be a list of texts, not {listed!r}")
    return list(listed)


def mostly_of(kwargs: Mapping[str, Any]) -> float:
    """Return the share of rows that must meet the expectation for the suite to succeed."""
    mostly = kwargs.get("mostly", 1.0)
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 <= mostly <= 1:
        raise ValueError(f"mostly must be a number from 0 to 1, not {mostly!r}")
    return float(mostly)


def values_of(kwargs: Mapping[str, Any], dtype: pl.DataType) -> list[Any]:
    """Return the value set without nulls: an expectation on values never speaks about those."""
    listed = kwargs["value_set"]
    if not isinstance(listed, list | tuple | set | frozenset):
        raise TypeError(f"value_set must be a list, not {listed!r}")
    return [moment(value, dtype) for value in listed if value is not None]


def moment(value: Any, dtype: pl.DataType | None) -> Any:
    """Return ISO text as a date or moment where the column is temporal, and anything else unchanged.

    A moment without a zone is one of the column's zone.
    """
    if isinstance(value, str) and isinstance(dtype, pl.Date):
        return date.fromisoformat(value)
    if not isinstance(dtype, pl.Datetime):
        return value
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime) and value.tzinfo is None and dtype.time_zone:
        return value.replace(tzinfo=ZoneInfo(dtype.time_zone))
    return value


def like_regex(pattern: str, escape: str | None = None) -> str:
    """Return SQL's LIKE as a regex over the whole value: % is any text, _ one character, case counts."""
    if not isinstance(pattern, str):
        raise TypeError(f"a like pattern must be text, not {pattern!r}")
    wild = {"%": ".*", "_": "."}
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(pl.escape_regex(next(characters, character)))
        else:
            parts.append(wild.get(character) or pl.escape_regex(character))
    return f"(?s)^{''.join(parts)}$"

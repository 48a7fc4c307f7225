"""A `row_condition` as suites have it in, a Polars expression over the table's columns out.

The text is read by a parser of its own (condition_parser.py) and never run. A condition that Great Expectations 1.x
wrote as a mapping is read, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

import polars as pl

from factory.data.contract.condition_columns import COMPARE, Columns
from factory.data.contract.condition_parser import Parser
from factory.data.contract.kwargs import Types

CONDITION = ("row_condition", "condition_parser")
"""The kwargs that every expectation on values takes."""

_SQL_PARSERS = ("great_expectations__experimental__", "great_expectations", "spark")
PARSERS = ("pandas", "polars", *_SQL_PARSERS)
"""The languages a condition may be written in; of pandas a missing value is different from every other, and in all
others it is unknown."""


@dataclass(frozen=True, kw_only=True)
class RowCondition:
    """Which rows an expectation is about; the others it does not speak of."""

    text: str
    holds: pl.Expr
    """Never null."""
    columns: tuple[str, ...]
    """The columns it looks at."""


def row_condition_of(kwargs: Mapping[str, Any], types: Types) -> RowCondition | None:
    """Return the condition of an expectation's kwargs, None where it has none.

    Raises ValueError or TypeError that says what of the condition cannot be understood.
    """
    condition, parser = (kwargs.get(name) for name in CONDITION)
    if condition is None or condition == "":
        return None
    try:
        known = Columns(types, two_valued=parser in ("pandas", None))
        holds = _of_mapping(condition, known) if isinstance(condition, Mapping) else _of_text(condition, parser, known)
        holds = holds.fill_null(value=False)
        pl.DataFrame(schema=dict(types)).lazy().select(holds).collect()  # Polars itself judges the types
    except (ValueError, TypeError, RecursionError, pl.exceptions.PolarsError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"row_condition {condition!r} cannot be judged: {why}") from error
    return RowCondition(text=str(condition), holds=holds, columns=tuple(known.used))


def _of_text(condition: object, parser: object, columns: Columns) -> pl.Expr:
    if not isinstance(condition, str):
        raise TypeError(f"it must be text, not {condition!r}")
    if parser not in PARSERS:
        raise ValueError(f"condition_parser must be one of {', '.join(PARSERS)}, not {parser!r}")
    return Parser(condition, columns, sql=parser in _SQL_PARSERS).condition()


def _of_mapping(condition: Mapping[str, Any], columns: Columns) -> pl.Expr:
    """Return a condition that Great Expectations 1.x wrote as a mapping; missing values are those of pandas."""
    kind = condition.get("type")
    if kind in ("and", "or"):
        parts = [_of_mapping(part, columns) for part in condition.get("conditions") or ()]
        if not parts:
            raise ValueError(f"an {kind!r} without conditions")
        return reduce(and_ if kind == "and" else or_, parts)
    if kind == "pass_through":
        return _of_text(condition.get("pass_through_filter"), "pandas", columns)
    named = condition.get("column")
    column = columns.named(named.get("name") if isinstance(named, Mapping) else named)
    if kind == "nullity":
        return column.missing() if condition.get("is_null") else ~column.missing()
    if kind != "comparison":
        raise ValueError(f"there is no type {kind!r} of conditions; there are comparison, nullity, and, or")
    operator, parameter = str(condition.get("operator")), condition.get("parameter")
    if operator in ("IN", "NOT_IN"):
        return columns.among(column, parameter, wanted=operator == "IN")
    if operator not in COMPARE:
        raise ValueError(f"there is no operator {operator!r}")
    return columns.compared(column, operator, parameter)

"""Expectations for which no row can be blamed: one figure per site, or the table's schema.

A figure is one Polars aggregate; nulls and NaN are no values. Schema expectations look at the delivered columns only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from factory.data.contract.kwargs import BOUNDS, Bounds, Types, bounds_of, check_names, column_of
from factory.line.expectation import Expectation
from factory.storage.columns import is_type, type_name, type_named

Schema = Mapping[str, pl.DataType]


@dataclass(frozen=True, kw_only=True)
class MeasureRule:
    """One compiled expectation on a figure of the whole table."""

    expectation: Expectation
    name: str
    figure: pl.Expr
    bounds: Bounds


@dataclass(frozen=True, kw_only=True)
class SchemaFinding:
    """The result of an expectation about the schema."""

    success: bool
    observed: Any
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class SchemaRule:
    """One compiled expectation on the delivered columns."""

    expectation: Expectation
    name: str
    judge: Callable[[Schema], SchemaFinding]


def _values(column: str, types: Types) -> pl.Expr:
    return pl.col(column).fill_nan(None) if types[column].is_float() else pl.col(column)


def _distinct(values: pl.Expr) -> pl.Expr:
    return values.n_unique().cast(pl.Int64) - (values.null_count() > 0).cast(pl.Int64)


def _distinct_share(values: pl.Expr) -> pl.Expr:
    known = values.count()
    return pl.when(known > 0).then(_distinct(values) / known).otherwise(0.0)


ORDERED: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "expect_column_min_to_be_between": pl.Expr.min,
    "expect_column_max_to_be_between": pl.Expr.max,
}
NUMERIC: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "expect_column_mean_to_be_between": pl.Expr.mean,
    "expect_column_median_to_be_between": pl.Expr.median,
    "expect_column_sum_to_be_between": pl.Expr.sum,
    "expect_column_stdev_to_be_between": pl.Expr.std,
}
COUNTED: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "expect_column_unique_value_count_to_be_between": _distinct,
    "expect_column_proportion_of_unique_values_to_be_between": _distinct_share,
}
MEASURES = {**ORDERED, **NUMERIC, **COUNTED}
ROW_COUNT = "expect_table_row_count_to_be_between"
ROW_COUNT_EQUAL = "expect_table_row_count_to_equal"
MEASURE_TYPES = frozenset({*MEASURES, ROW_COUNT, ROW_COUNT_EQUAL})


def measure_rule(expectation: Expectation, name: str, types: Types) -> MeasureRule:
    """Compile one expectation on a figure; raises ValueError or TypeError with the reason."""
    figure, bounds = _count_of_rows(expectation) or _figure(expectation, types)
    return MeasureRule(expectation=expectation, name=name, figure=figure, bounds=bounds)


def _count_of_rows(expectation: Expectation) -> tuple[pl.Expr, Bounds] | None:
    if expectation.type == ROW_COUNT:
        check_names(expectation, (), BOUNDS)
        return pl.len(), bounds_of(expectation.kwargs, None)
    if expectation.type == ROW_COUNT_EQUAL:
        check_names(expectation, ("value",), ())
        value = expectation.kwargs["value"]
        return pl.len(), Bounds(lower=value, upper=value)
    return None


def _figure(expectation: Expectation, types: Types) -> tuple[pl.Expr, Bounds]:
    check_names(expectation, ("column",), BOUNDS)
    column = column_of(expectation.kwargs, types)
    dtype = types[column]
    if expectation.type in NUMERIC and not dtype.is_numeric():
        raise TypeError(f"needs a numeric column, {column!r} is {dtype}")
    figure = MEASURES[expectation.type](_values(column, types))
    bounds = bounds_of(expectation.kwargs, dtype if expectation.type in ORDERED else None)
    if expectation.type in ORDERED:
        limits = [bound for bound in (bounds.lower, bounds.upper) if bound is not None]
        pl.DataFrame(schema=dict(types)).lazy().select(*(pl.col(column) >= limit for limit in limits[:1])).collect()
    return figure, bounds


def _columns_match(kwargs: Mapping[str, Any], schema: Schema) -> SchemaFinding:
    wanted = set(kwargs["column_set"])
    extra, missing = sorted(set(schema) - wanted), sorted(wanted - set(schema))
    differing = {"unexpected": extra, "missing": missing}
    mismatched = {kind: names for kind, names in differing.items() if names}
    return SchemaFinding(
        success=not missing and not (extra and kwargs.get("exact_match", True)),
        observed=sorted(schema),
        details={"mismatched": mismatched} if mismatched else None,
    )


def _column_count(kwargs: Mapping[str, Any], schema: Schema) -> SchemaFinding:
    return SchemaFinding(success=len(schema) == kwargs["value"], observed=len(schema))


def _column_exists(kwargs: Mapping[str, Any], schema: Schema) -> SchemaFinding:
    return SchemaFinding(success=kwargs["column"] in schema, observed=None)


def _of_type(kwargs: Mapping[str, Any], schema: Schema) -> SchemaFinding:
    dtype = schema.get(kwargs["column"])
    if dtype is None:
        return SchemaFinding(success=False, observed=None)
    return SchemaFinding(success=is_type(dtype, kwargs["type_"]), observed=type_name(dtype))


SchemaSpec = tuple[Callable[[Mapping[str, Any], Schema], SchemaFinding], tuple[str, ...], tuple[str, ...]]
SCHEMA_SPECS: dict[str, SchemaSpec] = {
    "expect_table_columns_to_match_set": (_columns_match, ("column_set",), ("exact_match",)),
    "expect_table_column_count_to_equal": (_column_count, ("value",), ()),
    "expect_column_to_exist": (_column_exists, ("column",), ()),
    "expect_column_values_to_be_of_type": (_of_type, ("column", "type_"), ()),
}


def schema_rule(expectation: Expectation, name: str) -> SchemaRule:
    """Compile one expectation on the schema; raises ValueError or TypeError with the reason."""
    judge, required, optional = SCHEMA_SPECS[expectation.type]
    check_names(expectation, required, optional)
    kwargs = dict(expectation.kwargs)
    if "type_" in kwargs:
        type_named(kwargs["type_"])
    if not isinstance(kwargs.get("column_set", []), list | tuple | set):
        raise TypeError(f"column_set must be a list, not {kwargs['column_set']!r}")
    return SchemaRule(expectation=expectation, name=name, judge=lambda schema: judge(kwargs, schema))

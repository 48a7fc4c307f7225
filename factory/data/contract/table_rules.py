"""Expectations for which no row can be blamed: one figure per site, or the table's schema.

A figure is one Polars aggregate; nulls and NaN are no values. Schema expectations look at the delivered columns only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import zip_longest
from typing import Any

import polars as pl

from factory.data.contract.kwargs import BOUNDS, Bounds, Types, bounds_of, check_names, column_of, values_of
from factory.data.contract.result import EXAMPLES
from factory.data.contract.row_condition import CONDITION, RowCondition, row_condition_of
from factory.data.contract.type_names import is_named, require_type_name
from factory.line.expectation import Expectation
from factory.storage.columns import type_name

Schema = Mapping[str, pl.DataType]


@dataclass(frozen=True, kw_only=True)
class MeasureRule:
    """One compiled expectation on a figure of the whole table."""

    expectation: Expectation
    name: str
    figure: pl.Expr
    judge: Callable[[Any], "Finding"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of an expectation about the whole table or its schema."""

    success: bool
    observed: Any
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class SchemaRule:
    """One compiled expectation on the delivered columns."""

    expectation: Expectation
    name: str
    judge: Callable[[Schema], Finding]


def _values(column: str, types: Types, condition: RowCondition | None) -> pl.Expr:
    values = pl.col(column).fill_nan(None) if types[column].is_float() else pl.col(column)
    return values if condition is None else values.filter(condition.holds)


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
KNOWN_SHARE = "expect_column_proportion_of_non_null_values_to_be_between"
QUANTILES = "expect_column_quantile_values_to_be_between"
MOST_COMMON = "expect_column_most_common_value_to_be_in_set"
DISTINCT = {
    "expect_column_distinct_values_to_be_in_set": ("unexpected",),
    "expect_column_distinct_values_to_contain_set": ("missing",),
    "expect_column_distinct_values_to_equal_set": ("unexpected", "missing"),
}
"""What each refuses: values that are not in the set, values of the set that are not in the column."""
MEASURE_TYPES = frozenset({*MEASURES, ROW_COUNT, ROW_COUNT_EQUAL, KNOWN_SHARE, QUANTILES, MOST_COMMON, *DISTINCT})
Measure = tuple[pl.Expr, Callable[[Any], Finding]]
"""A site's figure, and what it says."""


def measure_rule(expectation: Expectation, name: str, types: Types) -> MeasureRule:
    """Compile one expectation on a figure; raises ValueError or TypeError with the reason."""
    condition = row_condition_of(expectation.kwargs, types)
    figure, judge = _count_of_rows(expectation, condition) or _of_column(expectation, types, condition)
    return MeasureRule(expectation=expectation, name=name, figure=figure, judge=judge)


def _count_of_rows(expectation: Expectation, condition: RowCondition | None) -> Measure | None:
    rows = pl.len() if condition is None else condition.holds.sum()
    if expectation.type == ROW_COUNT:
        check_names(expectation, (), (*BOUNDS, *CONDITION))
        return rows, _within(bounds_of(expectation.kwargs, None))
    if expectation.type == ROW_COUNT_EQUAL:
        check_names(expectation, ("value",), CONDITION)
        value = expectation.kwargs["value"]
        return rows, _within(Bounds(lower=value, upper=value))
    return None


def _within(bounds: Bounds) -> Callable[[Any], Finding]:
    return lambda figure: Finding(success=bounds.admit(figure), observed=figure)


def _of_column(expectation: Expectation, types: Types, condition: RowCondition | None) -> Measure:
    required, optional = _MEASURE_KWARGS.get(expectation.type, (("column",), BOUNDS))
    check_names(expectation, required, (*optional, *CONDITION))
    column = column_of(expectation.kwargs, types)
    dtype, values = types[column], _values(column, types, condition)
    if expectation.type in (*NUMERIC, QUANTILES) and not dtype.is_numeric():
        raise TypeError(f"needs a numeric column, {column!r} is {dtype}")
    if expectation.type in DISTINCT:
        return _distinct_values(expectation, values.drop_nulls(), dtype)
    if expectation.type == MOST_COMMON:
        return _most_common(expectation, values.drop_nulls(), dtype)
    if expectation.type == QUANTILES:
        return _quantiles(expectation, values)
    if expectation.type == KNOWN_SHARE:
        return _known_share(values), _within(bounds_of(expectation.kwargs, None))
    if expectation.type in ORDERED:
        bounds = bounds_of(expectation.kwargs, dtype)
        limits = [bound for bound in (bounds.lower, bounds.upper) if bound is not None]
        pl.DataFrame(schema=dict(types)).lazy().select(*(pl.col(column) >= limit for limit in limits[:1])).collect()
        return MEASURES[expectation.type](values), _within(bounds)
    return MEASURES[expectation.type](values), _within(bounds_of(expectation.kwargs, None))


def _known_share(values: pl.Expr) -> pl.Expr:
    return pl.when(values.len() > 0).then(values.count() / values.len()).otherwise(0.0)


def _distinct_values(expectation: Expectation, values: pl.Expr, dtype: pl.DataType) -> Measure:
    wanted = list(dict.fromkeys(values_of(expectation.kwargs, dtype)))
    if not wanted:
        raise ValueError("value_set must have a value")
    refused, inside = DISTINCT[expectation.type], pl.Series(wanted, dtype=dtype).implode()

    def judge(distinct: list[Any]) -> Finding:
        differing = {
            "unexpected": [value for value in distinct if value not in wanted],
            "missing": [value for value in wanted if value not in distinct],
        }
        mismatched = {kind: differing[kind] for kind in refused if differing[kind]}
        words = {"unexpected": "", "missing": "no "}
        told = "; ".join(f"{words[kind]}{', '.join(map(repr, some[:EXAMPLES]))}" for kind, some in mismatched.items())
        return Finding(success=not mismatched, observed=told or None, details={"mismatched": mismatched})

    unexpected = values.filter(~values.is_in(inside)).unique().sort().head(EXAMPLES)
    there = values.filter(values.is_in(inside)).unique()
    parts = {"unexpected": unexpected, "missing": there}
    return reduce(pl.Expr.append, (parts[kind] for kind in refused)), judge


def _most_common(expectation: Expectation, values: pl.Expr, dtype: pl.DataType) -> Measure:
    wanted, ties_okay = values_of(expectation.kwargs, dtype), expectation.kwargs.get("ties_okay")

    def judge(commonest: list[Any]) -> Finding:
        known = [value for value in commonest if value in wanted]
        success = bool(known) if ties_okay else len(commonest) == len(known) == 1
        return Finding(success=success, observed=sorted(commonest)[:EXAMPLES])

    return values.mode(), judge


INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantiles(expectation: Expectation, values: pl.Expr) -> Measure:
    ranges = expectation.kwargs["quantile_ranges"]
    named = ranges if isinstance(ranges, Mapping) else {}
    shares, limits = named.get("quantiles"), named.get("value_ranges")
    if not shares or not limits or len(shares) != len(limits) or any(len(pair) != 2 for pair in limits):
        raise ValueError("quantile_ranges must have `quantiles` and as many `value_ranges`, each of two bounds")
    interpolation = expectation.kwargs.get("allow_relative_error") or "nearest"
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"allow_relative_error must be one of {', '.join(INTERPOLATIONS)}, not {interpolation!r}")

    def judge(found: list[Any]) -> Finding:
        kept = [_in_range(value, *pair) for value, pair in zip(found, limits, strict=True)]
        observed = {"quantiles": shares, "values": found}
        return Finding(success=all(kept), observed=observed, details={"success_details": kept})

    figures = [_quantile(values.drop_nulls(), share, interpolation).cast(pl.Float64) for share in shares]
    return pl.concat_list(figures), judge


def _quantile(values: pl.Expr, share: float, interpolation: Any) -> pl.Expr:
    """Return a quantile; the nearest value is that of NumPy, which rounds a place half-way to the even one."""
    if interpolation != "nearest":
        return values.quantile(share, interpolation)
    place = (share * (values.len().cast(pl.Int64) - 1)).round(0).cast(pl.Int64)
    return values.sort().get(place, null_on_oob=True)


def _in_range(value: float | None, lower: float | None, upper: float | None) -> bool:
    """Whether a quantile lies in a range, or as close to a bound as Great Expectations takes for equal."""
    if value is None:
        return False
    close = any(bound is not None and abs(value - bound) <= 1e-8 + 1e-4 * abs(bound) for bound in (lower, upper))
    return close or ((lower is None or lower <= value) and (upper is None or value <= upper))


_MEASURE_KWARGS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(DISTINCT, (("column", "value_set"), ())),
    MOST_COMMON: (("column", "value_set"), ("ties_okay",)),
    QUANTILES: (("column", "quantile_ranges"), ("allow_relative_error",)),
}


def _columns_match(kwargs: Mapping[str, Any], schema: Schema) -> Finding:
    wanted = set(kwargs["column_set"])
    extra, missing = sorted(set(schema) - wanted), sorted(wanted - set(schema))
    differing = {"unexpected": extra, "missing": missing}
    mismatched = {kind: names for kind, names in differing.items() if names}
    return Finding(
        success=not missing and not (extra and kwargs.get("exact_match", True)),
        observed=sorted(schema),
        details={"mismatched": mismatched} if mismatched else None,
    )


def _columns_in_order(kwargs: Mapping[str, Any], schema: Schema) -> Finding:
    wanted, delivered = list(kwargs["column_list"]), list(schema)
    mismatched = [
        {"Expected Column Position": place, "Expected": expected, "Found": found}
        for place, (expected, found) in enumerate(zip_longest(wanted, delivered))
        if expected != found
    ]
    details = {"mismatched": mismatched} if mismatched else None
    return Finding(success=not mismatched, observed=delivered, details=details)


def _column_count(kwargs: Mapping[str, Any], schema: Schema) -> Finding:
    return Finding(success=len(schema) == kwargs["value"], observed=len(schema))


def _column_count_between(kwargs: Mapping[str, Any], schema: Schema) -> Finding:
    return Finding(success=bounds_of(kwargs, None).admit(len(schema)), observed=len(schema))


def _column_exists(kwargs: Mapping[str, Any], schema: Schema) -> Finding:
    column, place = kwargs["column"], kwargs.get("column_index")
    return Finding(success=column in (list(schema)[place : place + 1] if place else schema), observed=None)


def _of_type(kwargs: Mapping[str, Any], schema: Schema) -> Finding:
    dtype = schema.get(kwargs["column"])
    if dtype is None:
        return Finding(success=False, observed=None)
    wanted = [kwargs["type_"]] if "type_" in kwargs else kwargs["type_list"]
    return Finding(success=any(is_named(dtype, name) for name in wanted), observed=type_name(dtype))


SchemaSpec = tuple[Callable[[Mapping[str, Any], Schema], Finding], tuple[str, ...], tuple[str, ...]]
SCHEMA_SPECS: dict[str, SchemaSpec] = {
    "expect_table_columns_to_match_set": (_columns_match, ("column_set",), ("exact_match",)),
    "expect_table_columns_to_match_ordered_list": (_columns_in_order, ("column_list",), ()),
    "expect_table_column_count_to_equal": (_column_count, ("value",), ()),
    "expect_table_column_count_to_be_between": (_column_count_between, (), ("min_value", "max_value")),
    "expect_column_to_exist": (_column_exists, ("column",), ("column_index",)),
    "expect_column_type_to_be": (_of_type, ("column", "type_"), ()),
    "expect_column_values_to_be_of_type": (_of_type, ("column", "type_"), ("mostly",)),
    "expect_column_values_to_be_in_type_list": (_of_type, ("column", "type_list"), ("mostly",)),
}


def schema_rule(expectation: Expectation, name: str, types: Types) -> SchemaRule:
    """Compile one expectation on the schema; raises ValueError or TypeError with the reason."""
    judge, required, optional = SCHEMA_SPECS[expectation.type]
    check_names(expectation, required, optional)
    kwargs = dict(expectation.kwargs)
    for listed in ("column_set", "column_list", "type_list"):
        if not isinstance(kwargs.get(listed, []), list | tuple | set):
            raise TypeError(f"{listed} must be a list, not {kwargs[listed]!r}")
    if judge is _of_type:
        column_of(kwargs, types)
        for type_ in [kwargs["type_"]] if "type_" in kwargs else kwargs["type_list"]:
            require_type_name(type_)
    bounds_of(kwargs, None)
    return SchemaRule(expectation=expectation, name=name, judge=lambda schema: judge(kwargs, schema))

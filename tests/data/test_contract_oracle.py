"""The Great Expectations pandas engine is the oracle: same suite, same data, same success, same counts.

Not compared: expectations on types, whose names are the engine's own; on LIKE patterns, which that engine does not have
(SQLite is their oracle); and bounds on the smallest and largest moment, where that engine raises TypeError.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.compute.engine import FrameEngine
from factory.data.contract.compiler import NOT_DONE, SUPPORTED, compile_contract
from factory.data.contract.result import CheckResult
from factory.data.contract.row_rules import ROW_SPECS
from factory.data.contract.table_rules import MEASURE_TYPES
from factory.line.expectation import Expectation

pytestmark = pytest.mark.filterwarnings("ignore")  # the oracle's own

COLUMNS = {"n": "Int64", "m": "Int64", "x": "Float64", "y": "Float64", "s": "String", "t": "Datetime"}
NAN = math.nan
DAY = [datetime(2013, 1, day) for day in range(1, 9)]
ROWS: dict[str, list[Any]] = {
    "n": [1, 2, 2, None, 5, 9, None, 3],
    "m": [1, 3, None, None, 4, 9, 2, 3],
    "x": [0.5, NAN, None, 2.0, 2.0, -1.0, 3.5, 4.0],
    "y": [0.5, NAN, 1.0, 3.0, None, -1.0, 3.5, 0.0],
    "s": ["JFK", "LGA", None, "", "jfk", "Zürich", "JFK", "EWR"],
    "t": [DAY[0], DAY[1], None, DAY[1], DAY[4], DAY[5], DAY[6], DAY[7]],
}


def expect(type_: str, **kwargs: Any) -> Expectation:
    return Expectation(type=f"expect_{type_}", kwargs=kwargs)


def between(type_: str, column: str, lower: Any, upper: Any, **more: Any) -> Expectation:
    return expect(type_, column=column, min_value=lower, max_value=upper, **more)


NOT_COMPARED = {
    "expect_multicolumn_values_to_be_unique",  # 0.18's name of select_column_values_to_be_unique_within_record
    "expect_column_type_to_be",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    *(kind for kind in SUPPORTED if "like_pattern" in kind),
}
CONDITIONS: list[Any] = [
    's == "JFK"',
    's != "JFK"',
    "n > 2 and not x <= 2",
    "n > 2 & (m < 4 | s.isnull())",
    "1 < n <= 5",
    "n in [1, 2, 5]",
    "n not in [2]",
    "~s.isin(['JFK', 'LGA'])",
    "x.notnull() and s == s",
    "n == m or n != m",
    "n >= -1 and x < 3.5e0",
    't > "2013-01-02" or t.isnull()',
    {"type": "comparison", "column": {"name": "n"}, "operator": "!=", "parameter": 2},
    {"type": "comparison", "column": {"name": "s"}, "operator": "IN", "parameter": ["JFK", "EWR"]},
    {"type": "comparison", "column": {"name": "n"}, "operator": "NOT_IN", "parameter": [2, 5]},
    {"type": "nullity", "column": {"name": "s"}, "is_null": False},
    {
        "type": "or",
        "conditions": [
            {"type": "nullity", "column": {"name": "x"}, "is_null": True},
            {
                "type": "and",
                "conditions": [
                    {"type": "comparison", "column": {"name": "n"}, "operator": ">=", "parameter": 2},
                    {"type": "comparison", "column": {"name": "n"}, "operator": "<", "parameter": 5},
                ],
            },
        ],
    },
    {"type": "pass_through", "pass_through_filter": "n > 2"},
]
OF_LISTS = [
    expect("column_values_to_match_regex_list", column="s", regex_list=["^J", "Z"]),
    expect("column_values_to_not_match_regex_list", column="s", regex_list=["^J", "Z"]),
    expect("column_values_to_match_regex_list", column="s", regex_list=["^[A-Z]", "K$"], match_on="all"),
    *(
        expect(what, column_list=columns, ignore_row_if=ignored)
        for what in (
            "select_column_values_to_be_unique_within_record",
            "multicolumn_values_to_be_equal",
        )
        for columns in (["n", "m"], ["x", "y"], ["n", "m", "x"])
        for ignored in ("all_values_are_missing", "any_value_is_missing", "never")
    ),
    *(
        expect("multicolumn_sum_to_equal", column_list=["n", "m"], sum_total=total, ignore_row_if=ignored)
        for total in (5, 6.0)
        for ignored in ("all_values_are_missing", "any_value_is_missing", "never")
    ),
    *(
        expect(
            "column_pair_values_to_be_in_set",
            column_A="n",
            column_B="s",
            value_pairs_set=[[1, "JFK"], [2, None], [None, "EWR"], [5, "jfk"]],
            ignore_row_if=ignored,
        )
        for ignored in ("both_values_are_missing", "either_value_is_missing", "neither")
    ),
]
SUITE = [
    *OF_LISTS,
    *(
        expect(kind, row_condition=condition, condition_parser="pandas", **kwargs)
        for condition in CONDITIONS
        for kind, kwargs in (
            ("column_values_to_be_between", {"column": "n", "min_value": 3}),
            ("column_values_to_not_be_null", {"column": "x"}),
            ("column_mean_to_be_between", {"column": "n", "max_value": 4}),
            ("column_values_to_be_unique", {"column": "n"}),
        )
    ),
    *(
        expect(f"column_distinct_values_to_{what}", column=column, value_set=values)
        for what in ("be_in_set", "contain_set", "equal_set")
        for column, values in (
            ("n", [1, 2, 3, 5, 9]),
            ("n", [1, 2]),
            ("n", [1, 2, 3, 5, 9, 10]),
            ("s", ["JFK", "LGA", "", "jfk", "Zürich", "EWR"]),
            ("x", [2.0]),
        )
    ),
    *(
        expect("column_most_common_value_to_be_in_set", column=column, value_set=values, ties_okay=ties)
        for column, values in (("n", [2]), ("n", [3]), ("s", ["JFK", "LGA"]), ("y", [1.0, 3.0]))
        for ties in (True, False)
    ),
    *(
        expect(
            "column_quantile_values_to_be_between",
            column=column,
            quantile_ranges={"quantiles": [0.1, 0.5, 0.9], "value_ranges": ranges},
            **more,
        )
        for column in ("n", "x")
        for ranges in ([[None, 2], [2, 3], [4, None]], [[3, None], [None, None], [None, None]])
        for more in ({}, {"allow_relative_error": "linear"}, {"allow_relative_error": "lower"})
    ),
    between("column_proportion_of_non_null_values_to_be_between", "n", 0.7, 0.8),
    between("column_proportion_of_non_null_values_to_be_between", "x", 0.8, None),
    expect("table_row_count_to_equal", value=6, row_condition="n.notnull()", condition_parser="pandas"),
    expect("table_row_count_to_be_between", min_value=7, row_condition="n > 1", condition_parser="pandas"),
    expect("table_column_count_to_be_between", min_value=6, max_value=6),
    expect("table_column_count_to_be_between", max_value=5),
    expect("table_columns_to_match_ordered_list", column_list=list(COLUMNS)),
    expect("table_columns_to_match_ordered_list", column_list=list(reversed(COLUMNS))),
    expect("column_to_exist", column="m", column_index=1),
    expect("column_to_exist", column="m", column_index=2),
    *(expect("column_values_to_not_be_null", column=column) for column in COLUMNS),
    *(expect("column_values_to_be_null", column=column, mostly=mostly) for column, mostly in (("n", 1), ("x", 0.25))),
    between("column_values_to_be_between", "n", 2, 5),
    between("column_values_to_be_between", "n", 2, 5, strict_min=True),
    between("column_values_to_be_between", "n", 2, 5, strict_max=True),
    between("column_values_to_be_between", "n", 1, None),
    between("column_values_to_be_between", "x", None, 2.0, mostly=0.66),
    between("column_values_to_be_between", "x", None, 2.0, mostly=0.67),
    between("column_values_to_be_between", "x", -1, 4, strict_min=True, strict_max=True),
    between("column_values_to_be_between", "t", "2013-01-02T00:00:00", "2013-01-06T00:00:00"),
    expect("column_values_to_be_in_set", column="s", value_set=["JFK", "LGA", None]),
    expect("column_values_to_be_in_set", column="n", value_set=[1, 2, 3]),
    expect("column_values_to_be_in_set", column="n", value_set=[], mostly=0.5),
    expect("column_values_to_not_be_in_set", column="s", value_set=["JFK"]),
    expect("column_values_to_not_be_in_set", column="x", value_set=[2.0], mostly=0.5),
    expect("column_values_to_match_regex", column="s", regex="^[A-Z]{3}$"),
    expect("column_values_to_match_regex", column="s", regex="K"),
    expect("column_values_to_not_match_regex", column="s", regex="(?i)jfk", mostly=0.5),
    between("column_value_lengths_to_be_between", "s", 1, 3),
    between("column_value_lengths_to_be_between", "s", 3, None, strict_min=True),
    expect("column_value_lengths_to_equal", column="s", value=3),
    expect("column_value_lengths_to_equal", column="s", value=6),
    expect("column_values_to_be_unique", column="n"),
    expect("column_values_to_be_unique", column="x"),
    expect("column_values_to_be_unique", column="s", mostly=0.5),
    expect("compound_columns_to_be_unique", column_list=["n", "m"]),
    expect("compound_columns_to_be_unique", column_list=["x", "s"]),
    *(
        expect("compound_columns_to_be_unique", column_list=["n", "x"], ignore_row_if=ignored)
        for ignored in ("all_values_are_missing", "any_value_is_missing", "never")
    ),
    *(
        expect(f"column_pair_values_{what}", column_A=a, column_B=b, ignore_row_if=ignored)
        for what in ("to_be_equal", "a_to_be_greater_than_b")
        for a, b in (("n", "m"), ("x", "y"), ("n", "x"))
        for ignored in ("both_values_are_missing", "either_value_is_missing", "neither")
    ),
    expect("column_pair_values_a_to_be_greater_than_b", column_A="y", column_B="x", or_equal=True, mostly=0.5),
    expect("table_row_count_to_be_between", min_value=8, max_value=9),
    expect("table_row_count_to_be_between", min_value=8, strict_min=True),
    expect("table_row_count_to_equal", value=8),
    expect("table_row_count_to_equal", value=7),
    expect("table_columns_to_match_set", column_set=["n", "m"]),
    expect("table_columns_to_match_set", column_set=["n", "m"], exact_match=False),
    expect("table_columns_to_match_set", column_set=["n", "zz"], exact_match=False),
    expect("table_column_count_to_equal", value=6),
    expect("table_column_count_to_equal", value=5),
    expect("column_to_exist", column="n"),
    expect("column_to_exist", column="zz"),
    *(
        between(f"column_{figure}_to_be_between", column, lower, upper)
        for figure in ("mean", "median", "min", "max", "sum", "stdev", "unique_value_count")
        for column, lower, upper in (("n", 1, 4), ("x", 0, 12), ("y", 100, None))
    ),
    between("column_max_to_be_between", "n", 9, 9),
    between("column_max_to_be_between", "n", 9, None, strict_min=True),
    between("column_proportion_of_unique_values_to_be_between", "n", 0.8, 0.9),
    between("column_proportion_of_unique_values_to_be_between", "x", 0.9, 1),
]


def ours(rows: Mapping[str, list[Any]], suite: Sequence[Expectation]) -> list[CheckResult]:
    """Judge the rows by the compiled contract; the declared columns' own expectations are left out."""
    contract = compile_contract(suite, columns=COLUMNS, place="line.yaml")
    frame = pl.DataFrame(rows, schema=contract.types)
    delivered = frame.schema
    marked = FrameEngine("cpu").collect(contract.mark(frame.with_columns(site=pl.lit("A")).lazy()))
    measured = contract.measure(marked.lazy()).collect()
    result = contract.results(measured, marked.filter(contract.broken), delivered)["A"]
    return list(result.checks[len(result.checks) - len(suite) :])


def theirs(rows: Mapping[str, list[Any]], suite: Sequence[Expectation]) -> list[Any]:
    """Validate the rows by the Great Expectations pandas engine."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    config = DataContextConfig(
        analytics_enabled=False,
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars={"globally": False},
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    definition = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    batch = definition.get_batch({"dataframe": pd.DataFrame({name: in_pandas(name, rows[name]) for name in COLUMNS})})
    suite_of_theirs = gx.ExpectationSuite(name="suite")
    for place, wanted in enumerate(suite):  # `meta` keeps equal ones apart
        config_of_one = ExpectationConfiguration(type=wanted.type, kwargs=dict(wanted.kwargs), meta={"place": place})
        suite_of_theirs.add_expectation(config_of_one.to_domain_obj())
    found = batch.validate(suite_of_theirs, result_format="SUMMARY").results
    results = sorted(found, key=lambda result: result.expectation_config.meta["place"])
    for wanted, result in zip(suite, results, strict=True):
        assert not result.exception_info.get("raised_exception"), (wanted, result.exception_info)
    return results


def in_pandas(name: str, values: list[Any]) -> pd.Series:
    """Return a column as pandas holds it: a missing integer is NaN, a missing text is None."""
    dtype = {"String": "object", "Datetime": "datetime64[ns]"}.get(COLUMNS[name], "float64")
    return pd.Series(values, dtype=dtype)


def assert_same(check: CheckResult, found: Any) -> None:
    result, wanted = found.result, (check.expectation, found.result)
    assert check.success == found.success, wanted
    if check.unexpected_count is None:
        if "distinct_values" in check.expectation.type:
            assert {kind: len(some) for kind, some in (check.details or {})["mismatched"].items()} == {
                kind: result[f"{kind}_count"] for kind in ("unexpected", "missing") if result.get(f"{kind}_count")
            }, wanted
            return
        if "quantile" in check.expectation.type:
            observed = [math.nan if value is None else value for value in check.observed["values"]]
            assert observed == pytest.approx(result["observed_value"]["values"], nan_ok=True), wanted
            return
        if check.observed is not None and "observed_value" in result:
            assert check.observed == pytest.approx(result["observed_value"]), wanted
        return
    assert check.unexpected_count == result["unexpected_count"], wanted
    assert check.element_count == result["element_count"], wanted
    assert check.missing_count == result.get("missing_count"), wanted
    assert check.unexpected_percent == pytest.approx(result["unexpected_percent"]), wanted
    assert len(check.examples) == len(result["partial_unexpected_list"]), wanted


def test_every_expectation_of_great_expectations_is_judged_or_refused_with_a_reason() -> None:
    import great_expectations.expectations.core  # noqa: F401  which registers them
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    names = set(list_registered_expectation_implementations())
    assert len(names) > 50
    assert names - set(SUPPORTED) - set(NOT_DONE) == set()
    assert set(SUPPORTED) & set(NOT_DONE) == set()


def test_the_oracle_is_asked_about_every_supported_expectation() -> None:
    assert {wanted.type for wanted in SUITE} == set(SUPPORTED) - NOT_COMPARED


def test_a_broad_suite_is_judged_as_the_pandas_engine_judges_it() -> None:
    for check, found in zip(ours(ROWS, SUITE), theirs(ROWS, SUITE), strict=True):
        assert_same(check, found)


def test_a_table_without_any_value_is_judged_as_the_pandas_engine_judges_it() -> None:
    rows = {name: [None, None] for name in COLUMNS}
    for check, found in zip(ours(rows, SUITE), theirs(rows, SUITE), strict=True):
        assert_same(check, found)


ROW = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-1, 6),
        "m": st.none() | st.integers(-1, 6),
        "x": st.none() | st.just(NAN) | st.integers(-2, 5).map(float),
        "y": st.none() | st.just(NAN) | st.integers(-2, 5).map(float),
        "s": st.none() | st.sampled_from(["JFK", "LGA", "", "jfk", "é"]),
        "t": st.none() | st.sampled_from(DAY),
    }
)
ROW_LEVEL = [wanted for wanted in SUITE if wanted.type in ROW_SPECS]
OF_FIGURES = [wanted for wanted in SUITE if wanted.type in MEASURE_TYPES]


def but_for_mostly(wanted: Expectation) -> str:
    """What an expectation asks, however many rows may break it."""
    return f"{wanted.type} {sorted((name, value) for name, value in wanted.kwargs.items() if name != 'mostly')}"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(ROW, min_size=1, max_size=12), mostly=st.sampled_from([0.0, 0.5, 0.75, 1.0]), data=st.data())
def test_any_rows_are_judged_as_the_pandas_engine_judges_them(
    rows: list[dict[str, Any]], mostly: float, data: st.DataObject
) -> None:
    # Great Expectations drops the second of two that are equal but for `mostly`, which all get the same of here.
    chosen = data.draw(st.lists(st.sampled_from(ROW_LEVEL), min_size=6, max_size=10, unique_by=but_for_mostly))
    suite = [Expectation(type=wanted.type, kwargs={**wanted.kwargs, "mostly": mostly}) for wanted in chosen]
    suite += data.draw(st.lists(st.sampled_from(OF_FIGURES), min_size=2, max_size=5, unique_by=but_for_mostly))
    table = {name: [row[name] for row in rows] for name in COLUMNS}
    for check, found in zip(ours(table, suite), theirs(table, suite), strict=True):
        assert_same(check, found)

"""What the compiler refuses, how rules are named, and what the schema is told."""

import sqlite3
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.data.contract.compiler import SUPPORTED, compile_contract
from factory.data.contract.contract import Contract
from factory.data.contract.kwargs import IGNORED, like_regex
from factory.data.contract.result import ContractResult
from factory.errors import LineError, SchemaMismatch, UnsupportedExpectation
from factory.line.expectation import Expectation
from factory.storage.columns import schema_mismatches

COLUMNS = {"id": "Int64", "origin": "String", "weight": "Float64", "at": "Datetime"}


def expect(kind: str, meta: dict[str, Any] | None = None, **kwargs: Any) -> Expectation:
    return Expectation(type=f"expect_{kind}", kwargs=kwargs, meta=meta or {})


def compiled(*suite: Expectation) -> Contract:
    return compile_contract(suite, columns=COLUMNS, place="lines/parcels/defs.yaml:12")


def rows(*values: tuple[Any, ...], site: str = "A") -> pl.DataFrame:
    frame = pl.DataFrame(list(values), schema=compiled().types, orient="row")
    return frame.with_columns(site=pl.lit(site))


def judged(contract: Contract, frame: pl.DataFrame) -> tuple[dict[str, ContractResult], pl.DataFrame]:
    marked = contract.mark(frame.lazy()).collect()
    broken = marked.filter(contract.broken)
    results = contract.results(contract.measure(marked.lazy()).collect(), broken, frame.drop("site").schema)
    return results, contract.name_rules(broken)


def test_an_unsupported_expectation_names_the_place_itself_and_all_supported_ones() -> None:
    with pytest.raises(UnsupportedExpectation) as refused:
        compiled(expect("column_kl_divergence_to_be_less_than", column="weight"))
    said = str(refused.value)
    assert said.startswith("lines/parcels/defs.yaml:12: ")
    assert (
        "expect_column_kl_divergence_to_be_less_than on weight: it is not supported: it compares distributions" in said
    )
    assert ", ".join(sorted(SUPPORTED)) in said


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (expect("column_values_to_be_null", column="wait"), "unknown column 'wait'; the table has id, origin"),
        (expect("column_mean_to_be_between", column="wait", min_value=1), "unknown column 'wait'"),
        (expect("column_mean_to_be_between", column="origin", min_value=1), "needs a numeric column"),
        (expect("column_values_to_be_between", column="id", min_value=3, max_value=2), "min_value 3 is greater"),
        (expect("column_values_to_be_between", column="id"), "needs min_value or max_value"),
        (
            expect("column_values_to_be_between", column="id", min_value=1, row_condition="id > 0"),
            "condition_parser must be one of pandas",
        ),
        (expect("column_values_to_be_between", column="origin", min_value=1), "compare"),
        (expect("column_values_to_be_between", column="at", min_value="soon"), "Invalid isoformat"),
        (expect("column_values_to_be_between", column="id", min_value=1, strict_min="yes"), "strict_min must be"),
        (expect("column_max_to_be_between", column="origin", max_value=3), "compare"),
        (expect("column_values_to_be_in_set", column="id"), "lacks value_set"),
        (expect("column_values_to_be_in_set", column="id", value_set=["a"]), "expect_column_values_to_be_in_set on id"),
        (expect("column_values_to_be_in_set", column="id", value_set=3), "value_set must be a list"),
        (expect("column_values_to_match_regex", column="origin", regex="a(?=b)"), "look-around"),
        (expect("column_values_to_match_regex", column="origin", regex="a("), "unclosed group"),
        (expect("column_values_to_match_regex", column="id", regex="a"), "needs a String column"),
        (expect("column_values_to_not_be_null", column="id", mostly=1.5), "mostly must be a number from 0 to 1"),
        (expect("compound_columns_to_be_unique", column_list=["id"]), "two columns or more"),
        (expect("column_distinct_values_to_be_in_set", column="id", value_set=[]), "value_set must have a value"),
        (expect("compound_columns_to_be_unique", column_list=["id", "id"]), "column_list names a column twice"),
        (
            expect("column_pair_values_to_be_equal", column_A="id", column_B="weight", ignore_row_if="never"),
            "ignore_row_if must be one of both_values_are_missing",
        ),
        (
            expect("column_values_to_be_of_type", column="id", type_="int46"),
            "'int46' is no type's name of Polars, pandas, Spark or SQL; did you mean 'int4'",
        ),
        (expect("table_columns_to_match_set", column_set="id"), "column_set must be a list"),
        (expect("column_to_exist", meta={"name": "a;b"}, column="id"), "has a ';'"),
    ],
)
def test_kwargs_that_cannot_be_judged_are_refused_with_the_place_and_the_reason(
    wrong: Expectation, reason: str
) -> None:
    with pytest.raises(LineError) as refused:
        compiled(wrong)
    assert str(refused.value).startswith("lines/parcels/defs.yaml:12: ")
    assert reason in str(refused.value)


def test_a_declared_type_that_is_none_is_refused() -> None:
    with pytest.raises(LineError, match=r"p\.yaml: columns: 'Integer' is not a Polars type"):
        compile_contract([], columns={"id": "Integer"}, place="p.yaml")


def test_a_broken_row_names_every_rule_it_broke_and_mostly_forgives_the_suite_alone() -> None:
    contract = compiled(
        expect("column_values_to_be_in_set", column="origin", value_set=["JFK"], mostly=0.5),
        expect("column_values_to_be_between", meta={"name": "weight in kg"}, column="weight", min_value=0, mostly=0.5),
    )
    results, broken = judged(contract, rows((1, "JFK", 1.0, None), (2, "JFK", 2.0, None), (3, "XXX", -1.0, None)))
    assert broken.select("id", "rule").rows() == [(3, "origin: values to be in set; weight in kg")]
    assert results["A"].success
    assert results["A"].share == pytest.approx(2 / 3)


def test_rules_of_one_name_are_told_apart() -> None:
    low, high = (
        expect("column_values_to_be_between", column="id", **bound) for bound in ({"min_value": 2}, {"max_value": 0})
    )
    _, broken = judged(compiled(low, high), rows((1, None, None, None)))
    assert broken["rule"].to_list() == ["id: values to be between; id: values to be between (2)"]


def test_more_rules_than_one_mask_holds_are_all_judged() -> None:
    suite = [expect("column_values_to_not_be_in_set", column="id", value_set=[value]) for value in range(150)]
    results, broken = judged(compiled(*suite), rows(*((value, None, None, None) for value in range(151))))
    assert broken.height == broken["rule"].n_unique() == 150
    assert [check.examples for check in results["A"].checks[-150:]] == [(value,) for value in range(150)]


@pytest.mark.parametrize(
    ("parser", "condition", "judged_ids"),
    [
        ("pandas", "origin != 'JFK'", [2, 3]),  # for pandas a missing value differs from every other
        ("spark", "origin <> 'JFK'", [2]),  # in SQL it is unknown
        ("great_expectations__experimental__", 'col("origin")=="JFK"', [1]),
        ("great_expectations__experimental__", 'col("origin").notNull()', [1, 2]),
        ("spark", "origin IS NULL OR id BETWEEN 1 AND 1", [1, 3]),
        ("spark", "origin LIKE 'J%' AND NOT weight > 5", [1]),
        ("polars", 'pl.col("origin").is_in(["JFK", "LGA"]) & ~(pl.col("id") == 1)', [2]),
        ("pandas", "`at` >= '2013-01-02' and at.between('2013-01-01', '2013-01-02')", [2]),
    ],
)
def test_a_row_condition_says_which_rows_a_rule_is_about(parser: str, condition: str, judged_ids: list[int]) -> None:
    never = expect("column_values_to_be_null", column="id", row_condition=condition, condition_parser=parser)
    day = datetime(2013, 1, 1), datetime(2013, 1, 2)
    frame = rows((1, "JFK", 1.0, day[0]), (2, "LGA", 2.0, day[1]), (3, None, None, None))
    results, broken = judged(compiled(never), frame)
    assert broken["id"].to_list() == judged_ids
    assert results["A"].checks[-1].element_count == len(judged_ids)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("__import__('os').system('ls') == 0", "the function '__import__' is not understood"),
        ("id + 1 > 2", "'+' at character 4 is not understood"),
        ("orign == 'JFK'", "unknown column 'orign'; did you mean 'origin'?"),
        ("origin == 3", "3 is compared with origin, which is String"),
        ("origin.str.len() > 2", "'.str' is not understood"),
        ("origin", "origin alone is no condition"),
        ("id == None", "write id.isnull()"),
        ("id >", "it ends where a column or a constant must follow"),
        ("(id > 1", "')' is missing at the end"),
        ("id > 1 id", "'id' is not understood after '1'"),
        ("(" * 400 + "id > 1" + ")" * 400, "nested too deeply"),
        ("not " * 400 + "id > 1", "nested too deeply"),
        ("'a", "at character 1 is not understood"),
        ({"type": "comparison", "column": {"name": "id"}, "operator": "~", "parameter": 1}, "no operator '~'"),
        ({"type": "xor", "conditions": [], "column": {"name": "id"}}, "no type 'xor' of conditions"),
    ],
)
def test_a_condition_that_is_not_understood_is_refused_with_the_reason(condition: Any, reason: str) -> None:
    wrong = expect("column_values_to_be_null", column="id", row_condition=condition, condition_parser="pandas")
    with pytest.raises(LineError) as refused:
        compiled(wrong)
    assert str(refused.value).startswith("lines/parcels/defs.yaml:12: expect_column_values_to_be_null on id: row_cond")
    assert reason in str(refused.value)


@given(st.text(alphabet="id orign=<>!&|~()[]'\"`,.-0123 ", max_size=40))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        compiled(expect("column_values_to_be_null", column="id", row_condition=text, condition_parser="spark"))
    except LineError as refused:
        assert "cannot be judged" in str(refused)  # noqa: PT017  either is right, nothing else is


@given(
    value=st.text(alphabet="ab%_.é\n", max_size=6),
    pattern=st.text(alphabet="ab%_.é\n", max_size=6),
)
def test_a_like_pattern_means_what_it_means_to_a_database(value: str, pattern: str) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA case_sensitive_like = ON")
    (wanted,) = database.execute("SELECT ? LIKE ?", (value, pattern)).fetchone()
    assert pl.Series([value]).str.contains(like_regex(pattern)).item() == bool(wanted)
    (escaped,) = database.execute("SELECT ? LIKE ? ESCAPE 'b'", (value, pattern.rstrip("b"))).fetchone()
    assert pl.Series([value]).str.contains(like_regex(pattern.rstrip("b"), "b")).item() == bool(escaped)
    database.close()


@pytest.mark.parametrize(
    ("column", "named", "of_it"),
    [
        ("id", ["int64", "Int64", "INTEGER", "BIGINT", "LongType", "int(11) unsigned"], True),
        ("id", ["float64", "StringType", "object", "Int32", "VARCHAR(20)"], False),
        ("origin", ["str", "object", "StringType", "VARCHAR(20)", "TEXT", "string[python]", "character varying"], True),
        ("weight", ["float64", "DOUBLE_PRECISION", "DoubleType", "DECIMAL(10, 2)", "NUMERIC"], True),
        ("at", ["datetime64[ns]", "TIMESTAMP WITH TIME ZONE", "TimestampType", "Datetime", "datetime"], True),
        ("at", ["date", "Date", "TIME"], False),
    ],
)
def test_a_type_has_the_names_of_pandas_spark_and_sql(column: str, named: list[str], of_it: bool) -> None:
    suite = [expect("column_values_to_be_of_type", column=column, type_=name) for name in named]
    suite.append(expect("column_values_to_be_in_type_list", column=column, type_list=named))
    checks = judged(compiled(*suite), rows((1, "a", 1.0, None)))[0]["A"].checks[-len(suite) :]
    assert {check.success for check in checks} == {of_it}


def test_kwargs_that_say_how_to_run_are_passed_over() -> None:
    ignored = dict.fromkeys(IGNORED, "whatever")
    plain, adorned = (
        compiled(expect("column_values_to_be_between", column="id", min_value=2, **more))
        for more in ({}, {**ignored, "max_value": None, "parse_strings_as_datetimes": False, "mostly": None})
    )
    assert plain.expectations == adorned.expectations
    with pytest.raises(LineError, match="declare it as Datetime or Date"):
        compiled(expect("column_values_to_be_between", column="origin", min_value="2", parse_strings_as_datetimes=True))


def test_many_columns_may_be_unique() -> None:
    columns = {f"c{number}": "Int64" for number in range(40)}
    suite = [expect("column_values_to_be_unique", column=column) for column in columns]
    contract = compile_contract(suite, columns=columns, place="here")
    frame = pl.DataFrame({column: [1, 1, 2] for column in columns}).with_columns(site=pl.lit("A"))
    assert contract.mark(frame.lazy()).filter(contract.broken).collect().height == 2


def test_each_site_is_judged_by_its_own_rows() -> None:
    contract = compiled(
        expect("column_values_to_be_unique", column="id"), expect("column_max_to_be_between", column="id", max_value=5)
    )
    frame = pl.concat([rows((1, None, None, None), (7, None, None, None)), rows((1, None, None, None), site="B")])
    results, broken = judged(contract, frame)
    assert broken.is_empty()
    assert {site: result.failures for site, result in results.items()} == {
        "A": ("id: max to be between: found 7",),
        "B": (),
    }


def test_the_smallest_and_largest_moment_have_bounds_too() -> None:
    early = expect("column_min_to_be_between", column="at", min_value="2013-01-01", max_value="2013-01-01")
    late = expect("column_max_to_be_between", column="at", max_value="2013-01-08", strict_max=True)
    days = [(place, None, None, datetime(2013, 1, day)) for place, day in enumerate((1, 4, 8))]
    assert [check.success for check in judged(compiled(early, late), rows(*days))[0]["A"].checks[-2:]] == [True, False]


def test_the_declared_columns_are_part_of_the_result() -> None:
    checks = judged(compiled(), rows((1, None, None, None)).with_columns(extra=1))[0]["A"].checks
    assert [(check.name, check.success) for check in checks[:4]] == [
        ("columns to match set", False),
        ("record: to have the fields of the heading", True),
        ("record: to come with the declared columns", True),
        ("id: values to be of type Int64", True),
    ]
    assert checks[0].details == {"mismatched": {"unexpected": ["extra"]}}


def test_rows_without_a_judged_column_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="column 'weight' is missing"):
        compiled().mark(rows((1, None, None, None)).drop("weight").lazy())


def test_mismatches_are_sentences() -> None:
    found = pl.Schema(
        {"x": pl.Int64, "id": pl.String, "origin": pl.String, "at": pl.Datetime("us", "UTC"), "_row": pl.Int64}
    )
    assert schema_mismatches(found, COLUMNS) == [
        "unknown column 'x'",
        "column 'weight' is missing",
        "column 'id' is String, the contract says Int64",
        "column 'at' is Datetime[us, UTC], the contract says Datetime",
    ]
    assert schema_mismatches({"at": pl.Datetime("us", "UTC")}, {"at": "Datetime[us, UTC]"}) == []

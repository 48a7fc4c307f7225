"""Suites as people have them: of Great Expectations 0.18 and of 1.x, with all that those write beside type."""

import json
from pathlib import Path
from typing import Any

import pytest

from factory.errors import LineError
from factory.line.suite import PASSED_OVER, SuiteFile, missing_parameters, with_parameters

BETWEEN = "expect_column_values_to_be_between"
OF_0_18: dict[str, Any] = {
    "data_asset_type": None,
    "evaluation_parameters": {"low": 1},
    "expectation_suite_name": "orders",
    "expectations": [
        {
            "expectation_context": {"description": None},
            "expectation_type": BETWEEN,
            "ge_cloud_id": "5f0c",
            "kwargs": {"column": "qty", "min_value": {"$PARAMETER": "low"}, "max_value": None},
            "meta": {"owner": "shop"},
        }
    ],
    "ge_cloud_id": None,
    "meta": {"great_expectations_version": "0.18.22"},
}
OF_1: dict[str, Any] = {
    "name": "orders",
    "id": "9d",
    "expectations": [
        {
            "type": BETWEEN,
            "id": "5f0c",
            "description": "quantity",
            "severity": "warning",
            "kwargs": {"column": "qty", "min_value": 1e-5, "max_value": {"$PARAMETER": "high", "$PARAMETER.high": 9}},
            "meta": {"owner": "shop"},
            "notes": ["only worth a look"],
            "rendered_content": [{"name": "atomic.prescriptive.summary", "value": {}}],
            "windows": None,
        }
    ],
    "suite_parameters": {"low": 2},
    "meta": {},
    "notes": None,
}


def suite(folder: Path, content: Any, indent: int | str | None = 2) -> SuiteFile:
    file = folder / "orders.json"
    file.write_text(json.dumps(content, indent=indent))
    return SuiteFile(file)


def test_a_suite_of_0_18_is_read_with_its_own_parameters(tmp_path: Path) -> None:
    file = suite(tmp_path, OF_0_18)
    (expectation,), asked = with_parameters(file.expectations(), file.parameters())
    assert (expectation.type, expectation.severity, expectation.meta) == (BETWEEN, "critical", {"owner": "shop"})
    assert expectation.kwargs == {"column": "qty", "min_value": 1, "max_value": None}
    assert asked == {"low"}


def test_a_suite_of_1_x_keeps_severity_meta_and_notes(tmp_path: Path) -> None:
    file = suite(tmp_path, OF_1)
    (expectation,), _ = with_parameters(file.expectations(), {})
    assert expectation.severity == "warning"
    assert expectation.meta == {"owner": "shop", "notes": ["only worth a look"]}
    assert expectation.kwargs == {"column": "qty", "min_value": 1e-5, "max_value": 9}  # what the suite was saved with


def test_a_value_given_goes_before_what_the_suite_was_saved_with(tmp_path: Path) -> None:
    (expectation,), _ = with_parameters(suite(tmp_path, OF_1).expectations(), {"high": 100})
    assert expectation.kwargs["max_value"] == 100


def test_a_parameter_may_be_part_of_a_list_and_stays_where_it_has_no_value(tmp_path: Path) -> None:
    entry = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "a", "value_set": [{"$PARAMETER": "x"}]}}
    expectations = suite(tmp_path, {"expectations": [entry]}).expectations()
    assert with_parameters(expectations, {"x": "b"})[0][0].kwargs["value_set"] == ["b"]
    (missing,) = missing_parameters(with_parameters(expectations, {})[0][0].kwargs)
    assert missing.startswith("needs the parameter 'x'; write `contract_parameters: {x: …}`")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("low * 2", "is an expression"),
        ("now() - timedelta(weeks=2)", "is an expression"),
        ("urn:great_expectations:validations:a:b", "is the result of another validation"),
    ],
)
def test_what_would_have_to_be_computed_is_refused_by_name(name: str, what: str) -> None:
    (told,) = missing_parameters({"min_value": {"$PARAMETER": name}})
    assert f"{name!r} {what}" in told


def test_a_suite_indented_with_tabs_is_told_of_by_line(tmp_path: Path) -> None:
    content = {"expectations": [{"type": "a", "kwargs": {}, "severity": "warn"}]}
    file = suite(tmp_path, content, indent="\t")
    with pytest.raises(LineError, match=r"orders\.json:6: severity must be one of critical, warning, info, not 'warn'"):
        file.expectations()


def test_every_mistake_of_form_is_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    entries = ["no", {"kwargs": {}}, {"type": "a", "kwargs": []}, {"type": "a", "kwargz": {}}, {"type": "a", "meta": 3}]
    with pytest.raises(LineError) as refused:
        suite(tmp_path, {"expectations": entries}).expectations()
    told = str(refused.value).splitlines()
    assert [line.partition("orders.json:")[2].partition(":")[0] for line in told] == ["3", "4", "13", "17"]
    assert told[2].endswith("kwargz: an expectation has no such key; did you mean 'kwargs'?")


def test_what_is_passed_over_says_nothing_about_rows(tmp_path: Path) -> None:
    plain = {"type": BETWEEN, "kwargs": {"column": "qty", "min_value": 1}}
    adorned = {**plain, **{key: {"any": "thing"} for key in PASSED_OVER}}
    first, second = suite(tmp_path, {"expectations": [plain, adorned]}).expectations()
    assert first == second

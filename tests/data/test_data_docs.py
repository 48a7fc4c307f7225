"""Contract results end as real Great Expectations results and as pages that a person can read."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from factory.data.contract.compiler import compile_contract
from factory.data.contract.data_docs import DataDocs, gx_result
from factory.data.contract.result import ContractResult
from factory.errors import DocsError, NameRefused, StorageError
from factory.line.expectation import Expectation
from tests.browser import needs_browser, opened, shown

AT = datetime(2013, 4, 1, 12, 30, tzinfo=UTC)
COLUMNS = {"origin": "String", "at": "Datetime"}
SUITE = (
    Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "origin", "value_set": ["JFK"]}),
    Expectation(type="expect_column_values_to_be_between", kwargs={"column": "at", "min_value": datetime(2013, 1, 1)}),
    Expectation(type="expect_column_max_to_be_between", kwargs={"column": "at", "max_value": datetime(2014, 1, 1)}),
    Expectation(type="expect_column_to_exist", kwargs={"column": "origin"}, meta={"asked_by": "operations"}),
)


def judged(*sites: str, origin: str = "XYZ") -> dict[str, ContractResult]:
    contract = compile_contract(SUITE, columns=COLUMNS, place="line.yaml")
    columns = {"origin": ["JFK", origin], "at": [datetime(2013, 2, 1), datetime(2012, 2, 1)]}
    frame = pl.concat(pl.DataFrame(columns).with_columns(site=pl.lit(site)) for site in sites)
    marked = contract.mark(frame.lazy()).collect()
    return contract.results(contract.measure(marked.lazy()).collect(), marked.filter(contract.noticed), frame.schema)


def pages(root: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (root / "site" / "validations").rglob("*.html")}


def test_the_page_of_a_site_shows_what_failed_there(tmp_path: Path) -> None:
    index = DataDocs(root=tmp_path).publish("parcels", "orders", judged("A", "B"), at=AT)
    listed, page = index.read_text(), pages(tmp_path)["orders-B"]
    assert "parcels.orders.A" in listed
    assert "parcels.orders.B" in listed
    assert "2013-04-01 12:30" in listed
    assert "parcels.orders.B" in page
    assert "XYZ" in page
    assert "must belong to this set" in page
    assert "50%" in page


def test_a_page_says_of_a_warning_that_nothing_follows_and_shows_what_0_18_alone_knows(tmp_path: Path) -> None:
    only_early = {"row_condition": 'pl.col("at") < "2013-01-01"', "condition_parser": "polars"}
    suite = (
        replace(SUITE[0], severity="warning", kwargs={**SUITE[0].kwargs, **only_early}),
        Expectation(type="expect_multicolumn_values_to_be_unique", kwargs={"column_list": ["origin", "goal"]}),
        Expectation(
            type="expect_column_distinct_values_to_contain_set", kwargs={"column": "origin", "value_set": ["LGA"]}
        ),
    )
    contract = compile_contract(suite, columns={**COLUMNS, "goal": "String"}, place="line.yaml")
    frame = pl.DataFrame(
        {"origin": ["JFK", "XYZ"], "at": [datetime(2013, 2, 1), datetime(2012, 2, 1)], "goal": "LGA", "site": "A"}
    )
    marked = contract.mark(frame.lazy()).collect()
    results = contract.results(contract.measure(marked.lazy()).collect(), marked.filter(contract.noticed), frame.schema)
    DataDocs(root=tmp_path).publish("parcels", "orders", results, at=AT)
    assert "warning, no row goes to quarantine for it: column values to be in set" in pages(tmp_path)["orders-A"]
    checks = gx_result("parcels", "orders", results["A"], at=AT).results
    (told,) = (check for check in checks if check.expectation_config.severity == "warning")
    assert (told.success, told.result["element_count"]) == (False, 1)


def test_no_page_names_anything_to_be_fetched_from_the_web(tmp_path: Path) -> None:
    index = DataDocs(root=tmp_path).publish("parcels", "orders", judged("A", "B"), at=AT)
    for page in [index, *(tmp_path / "site" / "validations").rglob("*.html")]:
        content = page.read_text()
        assert "http://" not in content
        assert "https://" not in content
        local = re.findall(r'(?:src|href)="([^"#]+)"', content)
        assert not [place for place in local if not (page.parent / place).exists()]


@needs_browser
def test_without_the_web_the_index_lists_every_site_and_a_page_shows_what_failed(tmp_path: Path) -> None:
    index = DataDocs(root=tmp_path).publish("parcels", "orders", judged("A", "B"), at=AT)
    page = next((tmp_path / "site" / "validations").rglob("orders-B.html"))
    for place in (index, page):
        seen = opened(place.as_uri(), tmp_path)
        assert not seen.console
        assert not [address for address in seen.asked if not address.startswith("file:")]
    listed = shown(index.as_uri(), tmp_path)
    assert listed.count("clickable-row") >= 2
    assert "parcels.orders.A" in listed
    assert "must belong to this set" in shown(page.as_uri(), tmp_path)


def test_publishing_again_replaces_a_sites_page_and_keeps_the_others(tmp_path: Path) -> None:
    docs = DataDocs(root=tmp_path)
    docs.publish("parcels", "orders", judged("A", "B"), at=AT)
    docs.publish("parcels", "weather", judged("_line"), at=AT)
    index = docs.publish("parcels", "orders", judged("A", origin="NEW")).read_text()
    found = pages(tmp_path)
    assert set(found) == {"orders-A", "orders-B", "weather-_line"}
    assert ("NEW" in found["orders-A"], "XYZ" in found["orders-A"]) == (True, False)
    assert len(list((tmp_path / "results").rglob("*.json"))) == 3
    for suite in ("parcels.orders.A", "parcels.orders.B", "parcels.weather._line"):
        assert suite in index
    assert {path.name for path in tmp_path.iterdir()} == {"results", "site"}


def test_the_result_is_one_of_great_expectations_own() -> None:
    mine = judged("A")["A"]
    theirs = gx_result("parcels", "orders", mine, at=AT)
    said = theirs.to_json_dict()
    assert type(theirs).__name__ == "ExpectationSuiteValidationResult"
    assert said["success"] is mine.success is False
    assert said["statistics"]["evaluated_expectations"] == len(mine.checks) == 3 + len(COLUMNS) + len(SUITE)
    in_set = next(result for result in said["results"] if result["expectation_config"]["type"] == SUITE[0].type)
    assert in_set["result"]["partial_unexpected_list"] == ["XYZ"]
    assert in_set["result"]["unexpected_percent"] == 50
    assert theirs.results[-1].expectation.column == "origin"
    assert theirs.results[-1].expectation_config.meta == {"asked_by": "operations"}


def test_a_folder_that_takes_no_pages_is_named(tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=f"{tmp_path}/docs is a file and should be a folder"):
        DataDocs(root=tmp_path / "docs").publish("parcels", "orders", judged("A"), at=AT)


def test_what_great_expectations_says_is_told_with_line_table_and_folder(tmp_path: Path) -> None:
    results = {"A": replace(judged("A")["A"], checks=({"no": "check"},))}
    with pytest.raises(
        DocsError, match=f"line parcels, table orders: .* into {tmp_path}: .*rows were judged"
    ) as caught:
        DataDocs(root=tmp_path).publish("parcels", "orders", results, at=AT)
    assert caught.value.__cause__


@pytest.mark.parametrize("line", ["../x", "a b", "a.b"])
def test_a_name_that_is_no_folder_writes_nothing(tmp_path: Path, line: str) -> None:
    with pytest.raises(NameRefused):
        DataDocs(root=tmp_path).publish(line, "orders", judged("A"))
    assert list(tmp_path.rglob("*.json")) == []

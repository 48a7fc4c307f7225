"""Every raw row comes out exactly once, and a broken one comes out as it went in."""

import itertools
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.compute.engine import FrameEngine
from factory.data.cleaning import Cleaned, RowCounts, clean
from factory.data.contract.compiler import compile_contract
from factory.errors import RowsUnaccounted
from factory.line.expectation import Expectation
from factory.line.line import Repair, Table

COLUMNS = {"order": "Int64", "part": "String", "kg": "Float64"}
CONTRACT = (
    Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "order"}),
    Expectation(type="expect_column_values_to_be_between", kwargs={"column": "kg", "min_value": 0}),
    Expectation(type="expect_compound_columns_to_be_unique", kwargs={"column_list": ["order", "part"]}),
)
SCHEMA = {
    "order": pl.Int64,
    "part": pl.String,
    "kg": pl.Float64,
    "site": pl.String,
    "_load": pl.Int64,
    "_row": pl.Int64,
}


def in_grams(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(grams=pl.col("kg") * 1000).drop("kg")


def run(raw: pl.DataFrame, repair: Repair = in_grams, suite: tuple[Expectation, ...] = CONTRACT) -> Cleaned:
    table = Table(
        name="orders",
        columns=COLUMNS,
        key=("order", "part"),
        cursor="order",
        site_column="site",
        contract=suite,
        repair=repair,
    )
    contract = compile_contract(table.contract, columns=COLUMNS, place="line.yaml")
    return clean(raw.lazy(), table, contract, FrameEngine("cpu"))


def test_a_broken_warning_is_told_and_quarantines_nothing() -> None:
    light = Expectation(
        type="expect_column_values_to_be_between", kwargs={"column": "kg", "max_value": 5}, severity="warning"
    )
    few = Expectation(type="expect_table_row_count_to_equal", kwargs={"value": 1}, severity="info")
    alone = Expectation(type="expect_column_values_to_be_unique", kwargs={"column": "part"}, severity="warning")
    raw = raw_rows((1, "a", 9.0, "A", 1, 0), (2, "a", 1.0, "A", 1, 1), (3, "b", -1.0, "A", 1, 2))
    done = run(raw, suite=(*CONTRACT, light, few, alone))
    assert done.counts["A"] == RowCounts(raw=3, clean=2, quarantine=1, superseded=0)
    assert done.quarantine["rule"].to_list() == ["kg: values to be between"]
    result = done.contract["A"]
    assert (result.broken, result.share, result.table_failures) == (1, pytest.approx(2 / 3), ())
    assert result.warnings == (
        "kg: values to be between (2): 1 of 3 rows, e.g. 9.0 (warning)",
        "row count to equal: found 3 (info)",
        "part: values to be unique: 2 of 3 rows, e.g. 'a', 'a' (warning)",
    )
    assert run(raw, suite=(light, few, alone)).contract["A"].success


def raw_rows(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def test_the_newest_version_of_a_key_is_kept_whatever_the_order_of_rows() -> None:
    loads = [(1, "a", 1.0, "A", 1, 7), (1, "a", 2.0, "A", 2, 0), (1, "a", 3.0, "A", 2, 1), (1, "a", 9.0, "B", 1, 0)]
    for order in itertools.permutations(loads):
        done = run(raw_rows(*order))
        assert dict(done.accepted.select("site", "grams").iter_rows()) == {"A": 3000.0, "B": 9000.0}
        assert done.counts["A"] == RowCounts(raw=3, clean=1, quarantine=0, superseded=2)


def test_a_newest_version_that_is_broken_does_not_bring_the_older_one_back() -> None:
    done = run(raw_rows((1, "a", 1.0, "A", 1, 0), (1, "a", -2.0, "A", 2, 0)))
    assert done.counts["A"] == RowCounts(raw=2, clean=0, quarantine=1, superseded=1)


def test_rows_with_a_null_in_the_key_are_never_versions_of_each_other() -> None:
    done = run(raw_rows((1, None, 1.0, "A", 1, 0), (1, None, 2.0, "A", 2, 0), (None, "a", 1.0, "A", 1, 1)))
    assert done.counts["A"] == RowCounts(raw=3, clean=0, quarantine=3, superseded=0)


def test_quarantined_rows_keep_their_values_and_name_the_rules() -> None:
    raw = raw_rows((1, "a", 1.0, "A", 1, 0), (None, "b", -0.5, "A", 1, 1))
    done = run(raw)
    assert done.quarantine.drop("rule").equals(raw.tail(1))
    assert done.quarantine["rule"].to_list() == ["order: values to not be null; kg: values to be between"]
    assert done.accepted.columns == ["order", "part", "site", "grams"]


def test_a_repair_that_drops_a_row_is_caught() -> None:
    raw = raw_rows((1, "a", 1.0, "A", 1, 0), (2, "b", 0.0, "A", 1, 1), (3, "c", 5.0, "B", 1, 0))
    with pytest.raises(RowsUnaccounted, match=r"table orders.*site A: .*raw=2, clean=1.*1 unaccounted"):
        run(raw, lambda rows: rows.filter(pl.col("kg") > 0))


def test_a_repair_that_moves_rows_to_another_site_is_caught() -> None:
    raw = raw_rows((1, "a", 1.0, "A", 1, 0), (3, "c", 5.0, "B", 1, 0))
    with pytest.raises(RowsUnaccounted, match="site A"):
        run(raw, lambda rows: rows.with_columns(site=pl.lit("B")))


def test_no_rows_are_clean_rows() -> None:
    done = run(raw_rows())
    assert (done.accepted.height, done.quarantine.height, dict(done.counts), dict(done.contract)) == (0, 0, {}, {})


VALUES = st.tuples(
    st.none() | st.integers(0, 2),
    st.none() | st.sampled_from("ab"),
    st.none() | st.just(float("nan")) | st.sampled_from([-1.0, 1.0]),
    st.sampled_from("AB"),
    st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, max_size=20))
def test_every_raw_row_comes_out_exactly_once(values: list[tuple[Any, ...]]) -> None:
    raw = raw_rows(*((*value, row) for row, value in enumerate(values)))  # `_row` is unique: it identifies the row
    done = run(raw, lambda rows: rows.with_columns(number=pl.col("order")))
    versions = raw.filter(pl.col("order").is_not_null(), pl.col("part").is_not_null())
    newest = versions.sort("_load", "_row").unique(["site", "order", "part"], keep="last")
    old = versions.join(newest, on="_row", how="anti")
    kept = raw.join(old, on="_row", how="anti").join(done.quarantine, on="_row", how="anti")
    values_kept = sorted(map(repr, kept.select(*COLUMNS, "site").rows()))
    assert sorted(map(repr, done.accepted.select(*COLUMNS, "site").rows())) == values_kept
    assert done.quarantine["_row"].is_unique().all()
    assert not set(done.quarantine["_row"]) & set(old["_row"])
    assert sum(count.superseded for count in done.counts.values()) == old.height
    assert {site: count.raw for site, count in done.counts.items()} == dict(raw.group_by("site").len().iter_rows())
    assert not any(count.unaccounted for count in done.counts.values())
    for site, result in done.contract.items():
        assert result.rows == done.counts[site].clean + done.counts[site].quarantine
        assert result.broken == done.counts[site].quarantine

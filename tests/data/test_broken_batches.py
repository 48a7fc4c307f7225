"""One bad row is one quarantined row; a batch that is mostly bad stops its site, and says of what."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.compute.engine import Compute
from factory.connectors.tables import TableSource
from factory.data.broken_batches import refused_batches
from factory.data.cleaning import clean
from factory.data.contract.compiler import compile_contract
from factory.data.ingest import ingest
from factory.data.quarantine import mend
from factory.data.raw_rows import stored_raw_rows
from factory.line.expectation import Expectation
from factory.line.line import Table
from factory.line.site_names import UNKNOWN, SiteNames
from factory.storage.lake import Lake

UNTIL = datetime(2024, 3, 1)
SITES = ["Bremen", "Kassel", "Ulm"]
COLUMNS = {"load": "Int64", "plant": "String", "left_at": "Datetime[us, UTC]", "weight": "Float64", "late": "Boolean"}
TABLE = Table(
    name="loads",
    columns=COLUMNS,
    key=("load",),
    cursor="left_at",
    site_column="plant",
    contract=(Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "weight"}),),
    repair=lambda rows: rows,
)
CONTRACT = compile_contract(TABLE.contract, columns=COLUMNS, place="loads", site_column="plant", cursor="left_at")
BAD = {
    "load": ["", "12.5", "1,250", "x"],
    "plant": ["Ulm ", "", "Bremen\t", "--"],
    "left_at": ["", "0000-00-00 00:00", "31.12.2024", "soon"],
    "weight": ["", "ca. 80", "1.2.3", "NaN kg"],
    "late": ["maybe", "2", "si"],
}


def rows(count=30):
    return [
        [str(i + 1), SITES[i % 3], f"{datetime(2024, 1, 1) + timedelta(hours=i):%Y-%m-%d %H:%M}", f"{80 + i}.5", "true"]
        for i in range(count)
    ]


def brought_in(folder, lake, content):
    text = "\n".join([",".join(COLUMNS), *(",".join(row) for row in content)])
    Path(folder, "loads.csv").write_text(text + "\n")
    source = TableSource({"loads": {"at": "loads.csv"}}, root=str(folder))
    sites = source.sites(TABLE, UNTIL)
    assert ingest(lake, source, TABLE, sites, UNTIL).failed == {}
    return sites


def judged(lake, table=TABLE):
    raw = stored_raw_rows(lake, table)
    cleaned = clean(raw, table, CONTRACT, Compute(engine="cpu"))
    return cleaned, refused_batches(raw, cleaned.quarantine, table, CONTRACT)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 29), st.sampled_from([(column, value) for column, values in BAD.items() for value in values]))
def test_whatever_cell_is_bad_exactly_its_row_waits_and_all_others_of_all_sites_are_clean(place, bad):
    column, value = bad
    content = rows()
    content[place][list(COLUMNS).index(column)] = value
    with TemporaryDirectory() as folder:
        lake = Lake(f"{folder}/lake", "line")
        brought_in(folder, lake, content)
        cleaned, refused = judged(lake)
    if (column, value) == ("load", ""):  # a key is whatever the rules say: none here asks for one
        assert len(cleaned.accepted) == 30
        return
    assert cleaned.quarantine["_line"].to_list() == [place + 2]
    assert sorted(cleaned.accepted["load"]) == sorted(int(row[0]) for row in rows() if row[0] != str(place + 1))
    assert set(cleaned.accepted["site"]) == set(SITES)
    assert refused == {}


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake", "line")


def broken(content, plant, how_many):
    """The content with a weight that is no number in the last rows of a plant."""
    mine = [row for row in content if row[1] == plant][-how_many:]
    return [[*row[:3], "ca. 80", row[4]] if row in mine else row for row in content]


def test_a_batch_that_is_mostly_bad_stops_its_site_with_rule_value_file_and_line(tmp_path, lake):
    brought_in(tmp_path, lake, rows(90))
    brought_in(tmp_path, lake, broken(rows(150), "Ulm", 15))
    _, refused = judged(lake)
    assert list(refused) == ["Ulm"]
    assert str(refused["Ulm"]).startswith(
        "site Ulm, table loads: 15 of the 20 rows that came in last (75%) break the contract, and at most 50% may "
        "(max_quarantine_share); its clean rows and what it serves stay as they were. weight: values to be of type "
        "Float64: 15 rows, such as 'ca. 80' (loads.csv, line 109), 'ca. 80' (loads.csv, line 112)"
    )


@pytest.mark.parametrize(
    ("bad", "share", "stops"), [(10, 0.01, False), (11, 0.5, True), (11, 0.55, False), (20, 1, False)]
)
def test_the_share_is_of_the_newest_batch_and_ten_rows_never_stop_a_site(tmp_path, lake, bad, share, stops):
    brought_in(tmp_path, lake, rows(90))
    brought_in(tmp_path, lake, broken(rows(150), "Ulm", bad))
    _, refused = judged(lake, replace(TABLE, max_quarantine_share=share))
    assert bool(refused) == stops


class OneTable:
    """As much of a line as knows where its table lies."""

    name = "line"

    def lake_table(self, stage, table):
        return f"raw/{table.name}" if stage == "raw" else stage


@pytest.mark.parametrize(("corrected", "stops"), [(1, True), (5, False)])
def test_a_refused_batch_goes_on_once_enough_of_it_was_corrected(tmp_path, lake, corrected, stops):
    brought_in(tmp_path, lake, rows(90))
    brought_in(tmp_path, lake, broken(rows(150), "Ulm", 15))
    cleaned, refused = judged(lake)
    assert list(refused) == ["Ulm"]
    waits = cleaned.quarantine
    lake.replace("quarantine", waits, lake.site_versions("quarantine", waits["site"].unique().to_list()))
    texts = pl.DataFrame({"column": "weight", "value": "80.0", "by": "kim", "why": "the scale was off"})
    corrections = waits.head(corrected).select("site", "load").join(texts, how="cross")
    assert mend(lake, OneTable(), TABLE, corrections, datetime(2024, 3, 2, tzinfo=UTC)) == {"Ulm": corrected}
    cleaned, refused = judged(lake)
    assert bool(refused) == stops
    assert len(cleaned.quarantine) == 15 - corrected


def test_truth_values_that_come_as_numbers_say_what_to_write(tmp_path, lake):
    brought_in(tmp_path, lake, [[*row[:4], str(place % 2)] for place, row in enumerate(rows(90))])
    _, refused = judged(lake)
    hint = 'read as truth values: `parse: {true_values: ["true", "1"], false_values: ["false", "0"]}`'
    assert [hint in str(error) for error in refused.values()] == [True] * 3


def test_a_good_batch_after_a_bad_one_goes_on(tmp_path, lake):
    brought_in(tmp_path, lake, broken(rows(60), "Ulm", 20))
    assert judged(lake)[1]
    brought_in(tmp_path, lake, broken(rows(60), "Ulm", 20) + rows(90)[60:])
    cleaned, refused = judged(lake)
    assert refused == {}
    assert cleaned.counts["Ulm"].quarantine == 20


def test_a_name_that_is_trimmed_by_the_lines_file_is_its_site(tmp_path, lake):
    content = rows()
    content[5][1] = "Ulm "
    brought_in(tmp_path, lake, content)
    trimmed = replace(TABLE, site_names=SiteNames(trim=True))
    assert len(judged(lake, trimmed)[0].accepted) == 30


def test_rows_that_name_no_site_are_no_site_and_wait(tmp_path, lake):
    content = rows(60)
    for row in content[:20]:
        row[1] = ""
    assert brought_in(tmp_path, lake, content) == [*SITES, UNKNOWN]
    cleaned, refused = judged(lake)
    assert refused == {}
    assert cleaned.counts[UNKNOWN].quarantine == 20
    assert cleaned.quarantine["rule"].str.contains("plant: to name a site").all()

"""What waits in quarantine is seen by rule, and comes back corrected: on record, once, and not undone by its source."""

from datetime import UTC, datetime

import polars as pl
import pytest

from factory.compute.engine import FrameEngine
from factory.data.cleaning import clean
from factory.data.contract.compiler import compile_contract
from factory.data.ingest import ingest
from factory.data.quarantine import by_rule, corrections_made, mend, waiting
from factory.data.raw_rows import stored_raw_rows
from factory.errors import CorrectionRefused
from factory.line.expectation import Expectation
from factory.line.line import Table
from factory.storage.lake import Lake

UNTIL, NOW = datetime(2024, 5, 1), datetime(2024, 5, 2, tzinfo=UTC)
TABLE = Table(
    name="loads",
    columns={"load": "Int64", "plant": "String", "kg": "Float64"},
    key=("load",),
    site_column="plant",
    contract=(Expectation(type="expect_column_values_to_be_between", kwargs={"column": "kg", "min_value": 0}),),
    repair=lambda rows: rows,
)


class OneTable:
    """As much of a line as knows where its table lies."""

    name = "line"

    def marking(self, table):
        return None

    def lake_table(self, stage, table):
        return f"raw/{table.name}" if stage == "raw" else stage


class Texts:
    def __init__(self, rows):
        self.rows = rows

    def sites(self, table, until):
        return sorted({row[1] for row in self.rows})

    def read(self, table, *, site, after, until):
        mine = [row for row in self.rows if row[1] == site]
        yield pl.DataFrame(mine, schema=dict.fromkeys(TABLE.columns, pl.String), orient="row")


ROWS = [("1", "Ulm", "80.5"), ("2", "Ulm", "ca. 80"), ("3", "Kiel", "-4"), ("x", "Kiel", "7")]


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path, "line")


def run(lake, rows=ROWS):
    sites = sorted({row[1] for row in rows})
    assert ingest(lake, Texts(rows), TABLE, sites, UNTIL).failed == {}
    contract = compile_contract(TABLE.contract, columns=TABLE.columns, place="p", site_column="plant")
    cleaned = clean(stored_raw_rows(lake, TABLE), TABLE, contract, FrameEngine("cpu"))
    lake.replace("quarantine", cleaned.quarantine, lake.site_versions("quarantine", sites))
    return cleaned


def correction(**said):
    row = {"site": "Ulm", "load": "2", "column": "kg", "value": "80", "by": "Ada", "why": "weighed again"} | said
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.String))


def test_rows_wait_by_rule_with_the_values_that_came(lake):
    run(lake)
    counted = by_rule(waiting(lake, OneTable(), TABLE), TABLE)
    assert {(one.site, one.rule, one.rows, one.examples) for one in counted} == {
        ("Kiel", "kg: values to be between", 1, ("kg '-4'",)),
        ("Kiel", "load: values to be of type Int64", 1, ("load 'x'",)),
        ("Ulm", "kg: values to be of type Float64", 1, ("kg 'ca. 80'",)),
    }
    assert len(waiting(lake, OneTable(), TABLE, rule="TYPE")) == 2
    assert len(waiting(lake, OneTable(), TABLE, ["Ulm"])) == 1


def test_a_corrected_row_is_clean_with_the_next_run_and_the_old_one_is_superseded(lake):
    run(lake)
    assert mend(lake, OneTable(), TABLE, correction(), NOW) == {"Ulm": 1}
    cleaned = run(lake)
    assert cleaned.accepted.filter(pl.col("plant") == "Ulm").sort("load")["kg"].to_list() == [80.5, 80.0]
    assert (cleaned.counts["Ulm"].raw, cleaned.counts["Ulm"].superseded, cleaned.counts["Ulm"].quarantine) == (3, 1, 0)
    assert corrections_made(lake, TABLE) == [
        {
            "table": "loads",
            "site": "Ulm",
            "key": {"load": "2"},
            "at": "2024-05-02T00:00:00+00:00",
            "column": "kg",
            "value": "80",
            "by": "Ada",
            "why": "weighed again",
            "was": "ca. 80",
        }
    ]


def test_what_the_source_still_says_wrongly_undoes_no_correction_and_what_it_corrects_is_newer(lake):
    run(lake)
    mend(lake, OneTable(), TABLE, correction(), NOW)
    run(lake)
    assert run(lake).accepted.filter(pl.col("load") == 2)["kg"].to_list() == [80.0]
    corrected = [row if row[0] != "2" else ("2", "Ulm", "81") for row in ROWS]
    assert run(lake, corrected).accepted.filter(pl.col("load") == 2)["kg"].to_list() == [81.0]


def test_a_corrected_key_leaves_no_row_behind(lake):
    run(lake)
    (place,) = waiting(lake, OneTable(), TABLE, ["Kiel"], "load:").select("_load", "_row").rows()
    said = correction(site="Kiel", _load=str(place[0]), _row=str(place[1]), column="load", value="4").drop("load")
    mend(lake, OneTable(), TABLE, said, NOW)
    cleaned = run(lake)
    assert cleaned.accepted.filter(pl.col("plant") == "Kiel")["load"].to_list() == [4]
    assert (cleaned.counts["Kiel"].superseded, cleaned.counts["Kiel"].quarantine) == (1, 1)


def test_several_values_of_one_row_make_one_version(lake):
    run(lake, [("1", "Ulm", "5"), ("9", "Ulm", "-1")])
    said = pl.concat([correction(load="9", value="3"), correction(load="9", column="load", value="2")])
    assert mend(lake, OneTable(), TABLE, said, NOW) == {"Ulm": 1}
    cleaned = run(lake, [("1", "Ulm", "5"), ("9", "Ulm", "-1")])
    assert sorted(cleaned.accepted.select("load", "kg").rows()) == [(1, 5.0), (2, 3.0)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"load": "1"}, "correction 1: site Ulm, load 1: no such row waits"),
        ({"site": "Kiel"}, "site Kiel, load 2: no such row waits"),
        ({"column": "weight"}, "loads has no column 'weight'"),
        ({"column": "plant"}, "names the site; say under `site_names: mapping`"),
        ({"by": " "}, "by must be said: it goes on record"),
        ({"why": None}, "why must be said"),
    ],
)
def test_a_correction_that_cannot_be_is_named_and_nothing_is_written(lake, said, why):
    run(lake)
    version = lake.version("raw/loads")
    with pytest.raises(CorrectionRefused, match=why):
        mend(lake, OneTable(), TABLE, correction(**said), NOW)
    assert lake.version("raw/loads") == version


def test_a_file_that_lacks_a_column_says_which_it_needs(lake):
    run(lake)
    with pytest.raises(CorrectionRefused, match="have no column why; they need site, load, column, value, by, why"):
        mend(lake, OneTable(), TABLE, correction().drop("why"), NOW)

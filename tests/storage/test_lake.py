"""The lake: one commit a write, and no two runs write the same site at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import polars as pl
import pytest
from deltalake import DeltaTable

from factory.errors import LakeError, SiteBusy, TableMissing
from factory.storage.lake import Lake


def rows(*sites: str, x: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"site": list(sites), "x": [x] * len(sites)})


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path, "line")


def test_a_table_that_no_stage_has_written_says_so(lake):
    with pytest.raises(TableMissing, match="line line: the lake has no table 'clean'"):
        lake.scan("clean")


def test_a_write_is_one_version(lake):
    assert lake.version("clean") is None
    assert lake.append("clean", rows("UA", "DL"), {"UA": 0, "DL": 0}) == 1  # version 0 is the empty table
    assert lake.append("clean", rows("UA"), lake.site_versions("clean", ["UA"])) == 2
    assert lake.site_versions("clean", ["UA", "DL", "AA"]) == {"UA": 2, "DL": 1, "AA": 0}


def test_a_place_that_takes_no_table_is_told_with_what_to_do(lake, tmp_path):
    (tmp_path / "line").write_text("a file where the line's folder should be")
    with pytest.raises(
        LakeError, match=r"line line: the lake's table 'clean' at .* cannot be written.* is a file and .* run again"
    ):
        lake.append("clean", rows("UA"), {"UA": 0})


def test_replacing_a_site_leaves_the_others_alone(lake):
    lake.append("clean", rows("UA", "UA", "DL"), {"UA": 0, "DL": 0})
    lake.replace("clean", rows("UA", x=7), {"UA": 1})
    kept = lake.scan("clean").collect().sort("site")
    assert kept.rows() == [("DL", 1), ("UA", 7)]


def test_a_column_that_is_new_or_gone_changes_the_table_and_no_other_sites_rows(lake):
    lake.append("features", rows("UA", "DL"), {"UA": 0, "DL": 0})
    lake.replace("features", rows("UA", x=7).with_columns(y=pl.lit(0.5)), {"UA": 1})
    lake.replace("features", rows("UA").select("site", y=pl.lit(1.5)), {"UA": 2})
    kept = lake.scan("features").select("site", "x", "y").collect().sort("site")
    assert kept.rows() == [("DL", 1, None), ("UA", None, 1.5)]


def test_a_value_that_would_be_kept_otherwise_is_refused(lake):
    """Delta casts what is written to the type that is there: 1.5 would become 1, and nobody would see it."""
    lake.append("features", rows("UA"), {"UA": 0})
    with pytest.raises(LakeError, match=r"column 'x' of the lake's table 'features' is Int64 so far, and Float64 now"):
        lake.replace("features", pl.DataFrame({"site": ["UA"], "x": [1.5]}), {"UA": 1})
    lake.replace("features", pl.DataFrame({"site": ["UA"], "x": [2.0]}), {"UA": 1})
    assert lake.scan("features").collect()["x"].to_list() == [2]


def test_replacing_with_no_rows_empties_the_site(lake):
    lake.append("clean", rows("UA", "DL"), {"UA": 0, "DL": 0})
    lake.replace("clean", rows().cast({"x": pl.Int64, "site": pl.String}), {"UA": 1})
    assert lake.scan("clean").collect()["site"].to_list() == ["DL"]


@pytest.mark.parametrize("write", ["append", "replace"])
def test_the_second_of_two_runs_that_write_one_site_writes_nothing(lake, write):
    lake.append("clean", rows("UA", "DL"), {"UA": 0, "DL": 0})
    seen_by_both = lake.site_versions("clean", ["UA"])
    getattr(lake, write)("clean", rows("UA", x=2), seen_by_both)
    before = lake.scan("clean").collect().sort("site", "x")
    with pytest.raises(SiteBusy, match="another run wrote clean for UA"):
        getattr(lake, write)("clean", rows("UA", x=3), seen_by_both)
    assert lake.scan("clean").collect().sort("site", "x").equals(before)


def test_two_runs_that_write_different_sites_both_succeed(lake):
    lake.append("clean", rows("UA", "DL"), {"UA": 0, "DL": 0})
    first, second = lake.site_versions("clean", ["UA"]), lake.site_versions("clean", ["DL"])
    lake.replace("clean", rows("UA", x=2), first)
    lake.replace("clean", rows("DL", x=3), second)
    assert sorted(lake.scan("clean").collect().rows()) == [("DL", 3), ("UA", 2)]


def test_an_older_version_can_be_read_again(lake):
    lake.append("clean", rows("UA"), {"UA": 0})
    lake.replace("clean", rows("UA", x=2), {"UA": 1})
    assert lake.scan("clean", version=1).collect()["x"].to_list() == [1]


def test_of_two_runs_that_bring_a_tables_first_rows_at_once_only_one_writes(tmp_path):
    """Real threads, many times: the moment in which neither sees the table is short."""
    for attempt in range(20):
        lakes = [Lake(tmp_path / str(attempt), "line") for _ in range(2)]
        ready = Barrier(2)

        def first_rows(lake, ready=ready):
            ready.wait()
            try:
                return lake.append("clean", rows("UA"), {"UA": 0})
            except SiteBusy:
                return None

        with ThreadPoolExecutor(2) as pool:
            written = list(pool.map(first_rows, lakes))
        assert sum(version is not None for version in written) == 1
        assert len(lakes[0].scan("clean").collect()) == 1


def test_a_scan_shows_the_table_as_it_was_when_it_was_asked_for(tmp_path):
    lake, other = Lake(tmp_path, "presses"), Lake(tmp_path, "presses")
    lake.append("parts", pl.DataFrame({"site": ["north"], "part": [1]}), {"north": 0})
    before = lake.scan("parts")
    other.append("parts", pl.DataFrame({"site": ["north"], "part": [2]}), {"north": 1})
    assert lake.version("parts") == 2  # the table was made, then two commits: others' are seen at once
    assert len(before.collect()) == 1
    assert len(lake.scan("parts").collect()) == 2


def test_a_small_table_has_no_partitions_and_keeps_the_promises_of_large_ones(tmp_path):
    lake, other = Lake(tmp_path, "presses"), Lake(tmp_path, "presses")
    for site in ("north", "south"):
        lake.append("notes", pl.DataFrame({"site": [site], "note": [1]}), {site: 0}, partitioned=False)
    assert not list(tmp_path.rglob("site=*"))
    seen = lake.site_versions("notes", ["north"])
    other.replace("notes", pl.DataFrame({"site": ["north"], "note": [2]}), seen)
    assert sorted(lake.scan("notes").select("site", "note").collect().rows()) == [("north", 2), ("south", 1)]
    with pytest.raises(SiteBusy):
        lake.replace("notes", pl.DataFrame({"site": ["north"], "note": [3]}), seen)


def test_compacting_changes_no_row_and_lets_others_write(tmp_path):
    lake, other = Lake(tmp_path, "presses"), Lake(tmp_path, "presses")
    for number in range(5):
        lake.append("notes", pl.DataFrame({"site": ["north"], "note": [number]}), {}, partitioned=False)
    lake.compact("notes")
    other.append("notes", pl.DataFrame({"site": ["north"], "note": [5]}), {})
    lake.compact("notes")
    assert sorted(lake.scan("notes").collect()["note"]) == list(range(6))


APPEND = """
import sys
import polars as pl
from factory.storage.lake import Lake

lake = Lake(sys.argv[1], "line")
print("ready", flush=True)
sys.stdin.readline()
for number in range(12):
    lake.append("notes", pl.DataFrame({"site": [sys.argv[2]], "x": [number]}), {}, partitioned=False)
    lake.compact("notes")
"""


def test_processes_that_append_and_compact_at_once_lose_no_row_and_double_none(tmp_path):
    Lake(tmp_path, "line").append("notes", pl.DataFrame({"site": ["old"], "x": [1]}), {}, partitioned=False)
    sites = ["UA", "DL", "AA"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([sys.executable, "-c", APPEND, str(tmp_path), site], **pipes) for site in sites]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * 3
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 3
    kept = Lake(tmp_path, "line").scan("notes").collect().rows()
    assert sorted(kept) == sorted([("old", 1), *((site, x) for site in sites for x in range(12))])


@pytest.mark.parametrize("looked_since", [False, True])
def test_a_table_that_is_compacted_and_vacuumed_while_it_is_read_is_not_said_to_be_damaged(tmp_path, looked_since):
    lake = Lake(tmp_path, "toy")
    for _ in range(2):
        lake.append("clean", rows("UA"), lake.site_versions("clean", ["UA"]))
    scan, other = lake.scan("clean"), DeltaTable(lake.uri("clean"))
    other.optimize.compact()
    other.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    if looked_since:
        lake.version("clean")
    with pytest.raises(
        LakeError, match="deleted its earlier files while this run read them; nothing is lost: run again"
    ):
        read(lake, scan)
    assert read(lake, lake.scan("clean")).height == 2 * rows("UA").height


def read(lake, scan):
    with lake.faults():
        return scan.collect()


def test_rows_of_a_moment_are_there_whatever_part_of_a_second_it_is(lake):
    moments = [datetime(2026, 3, 1, 6, 0, 0, part, tzinfo=UTC) for part in (0, 1, 123_456, 999_999)]
    for seen, moment in enumerate(moments):
        row = pl.DataFrame({"site": ["UA"], "at": [moment]}, schema_overrides={"at": pl.Datetime("us", "UTC")})
        lake.append("receipts", row, {"UA": seen})
    at = pl.col("at")
    for moment in moments:
        for of_moment in (at == moment, at.is_between(moment, moment), (at >= moment) & (at <= moment)):
            assert lake.scan("receipts", ["UA"]).filter(of_moment).collect()["at"].to_list() == [moment]

"""The turbofan line's files: on NASA's own where they are, and on small ones with every fault a file can have."""

import gzip
import os
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from factory.errors import SourceError
from factory.line.line import Table
from lines.turbofan_rul.source import READINGS, CmapssFiles

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / (os.environ.get("FACTORY_DATA") or "../shared/data")
REAL = pytest.mark.skipif(not (DATA / "cmapss").is_dir(), reason=f"no C-MAPSS files in {DATA / 'cmapss'}; see README")
UNTIL = datetime(2026, 1, 1)
CYCLES = Table(
    name="cycles",
    columns={},
    key=("fleet", "engine", "cycle"),
    cursor="",
    site_column="fleet",
    contract=(),
    repair=lambda rows: rows,
)


def cycles(source, site):
    """All of a fleet's rows."""
    return pl.concat(source.read(CYCLES, site=site, after=None, until=UNTIL))


def text(*lives):
    """A file's text: one engine for each number, of so many cycles; blanks at the end, as NASA has them."""
    readings = " ".join(str(n / 10) for n in range(len(READINGS)))
    return "".join(
        f"{unit} {cycle} {readings}  \n" for unit, life in enumerate(lives, 1) for cycle in range(1, life + 1)
    )


@pytest.fixture
def fleet(tmp_path):
    """A fleet FX: training engines of 3 and 2 cycles, test engines that stop 10 and 20 cycles before their end."""
    folder = tmp_path / "cmapss"
    folder.mkdir()
    (folder / "train_FX.txt").write_text(text(3, 2))
    (folder / "test_FX.txt").write_text(text(1, 2))
    (folder / "RUL_FX.txt").write_text("10 \n20 \n")
    return folder


@REAL
@pytest.mark.parametrize(("site", "train", "test"), [("FD001", 20_631, 13_096), ("FD003", 24_720, 16_596)])
def test_the_published_fleets_have_the_rows_and_engines_that_were_published(site, train, test):
    source = CmapssFiles(DATA, [site])
    assert source.lacking() == []
    assert source.sites(CYCLES, UNTIL) == [site]
    rows = cycles(source, site)
    assert ((~rows["is_test"]).sum(), rows["is_test"].sum()) == (train, test)
    assert rows.group_by("is_test").agg(pl.col("engine").n_unique()).sort("is_test")["engine"].to_list() == [100, 100]
    assert rows.select("engine", "cycle").is_unique().all()
    assert rows.null_count().sum_horizontal().item() == 0


@REAL
def test_the_last_cycle_of_each_test_engine_has_the_life_left_that_the_rul_file_says():
    rows = cycles(CmapssFiles(DATA, ["FD001"]), "FD001")
    last = rows.filter("is_test").group_by("engine").agg(pl.col("remaining").min()).sort("engine")
    told = gzip.decompress((DATA / "cmapss" / "RUL_FD001.txt.gz").read_bytes()).split()
    assert last["remaining"].to_list() == [int(left) for left in told]
    assert rows.filter(~pl.col("is_test")).group_by("engine").agg(pl.col("remaining").min())["remaining"].max() == 0


def test_remaining_counts_down_to_the_end_of_each_engine(fleet):
    rows = cycles(CmapssFiles(fleet.parent, ["FX"]), "FX")
    assert rows.columns == ["fleet", "engine", "is_test", "cycle", *READINGS, "remaining"]
    assert rows.select("engine", "cycle", "remaining").rows() == [
        ("train-001", 1, 2),
        ("train-001", 2, 1),
        ("train-001", 3, 0),
        ("train-002", 1, 1),
        ("train-002", 2, 0),
        ("test-001", 1, 10),
        ("test-002", 1, 21),
        ("test-002", 2, 20),
    ]
    assert rows["sensor_21"].to_list() == [2.3] * 8


def test_packed_files_give_the_same_rows(fleet):
    plain = cycles(CmapssFiles(fleet.parent, ["FX"]), "FX")
    for place in list(fleet.iterdir()):
        place.with_name(f"{place.name}.gz").write_bytes(gzip.compress(place.read_bytes()))
        place.unlink()
    assert cycles(CmapssFiles(fleet.parent, ["FX"]), "FX").equals(plain)


def test_a_fleet_is_added_by_naming_it(fleet):
    for place in list(fleet.iterdir()):
        place.with_name(place.name.replace("FX", "FY")).write_bytes(place.read_bytes())
    source = CmapssFiles(fleet.parent, ["FY", "FX"])
    assert source.sites(CYCLES, UNTIL) == ["FX", "FY"]
    assert cycles(source, "FY")["fleet"].unique().to_list() == ["FY"]
    assert list(source.read(CYCLES, site="FZ", after=None, until=UNTIL)) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train_FX.txt", text(3, 2)[:-30], "line 5: the file was cut off"),
        ("train_FX.txt", text(3, 2).removesuffix("\n"), "line 5: the file was cut off"),
        ("train_FX.txt", "", "line 1: the file was cut off"),
        ("train_FX.txt", text(3, 2).replace("2.3", "", 1), "line 1: 25 numbers, should be 26"),
        ("train_FX.txt", text(3, 2).replace("2.3", "a", 2), "line 1: .* is not 26 numbers"),
        ("train_FX.txt", text(3, 2).replace("1 2 ", "1 9 ", 1), "line 2: engine 1, cycle 9 does not follow"),
        ("test_FX.txt", text(1), "RUL_FX.txt ends at line 2 and should have 1, one for each engine of test_FX"),
        ("RUL_FX.txt", "10\n20\n30\n", "RUL_FX.txt ends at line 3 and should have 2, one for each engine of test_FX"),
        ("RUL_FX.txt", "10\nten\n", "RUL_FX.txt, line 2: 'ten' is not 1 numbers"),
    ],
)
def test_a_spoiled_file_is_refused_with_its_name_the_line_and_what_to_do(fleet, name, content, says):
    (fleet / name).write_text(content)
    with pytest.raises(SourceError, match=says) as refused:
        cycles(CmapssFiles(fleet.parent, ["FX"]), "FX")
    assert name in str(refused.value)
    assert "factory fetch turbofan_rul" in str(refused.value)


def test_a_packed_file_that_was_cut_off_is_refused_with_the_line(fleet):
    packed = gzip.compress(text(100, 90).encode())
    (fleet / "train_FX.txt").unlink()
    (fleet / "train_FX.txt.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match=r"train_FX.txt.gz, line \d+: the file was cut off"):
        cycles(CmapssFiles(fleet.parent, ["FX"]), "FX")


@pytest.mark.parametrize("name", ["train_FX.txt", "test_FX.txt", "RUL_FX.txt"])
def test_a_missing_file_is_named_with_how_to_get_it(fleet, name):
    (fleet / name).unlink()
    source = CmapssFiles(fleet.parent, ["FX"])
    with pytest.raises(SourceError, match=f"{name} is missing.*factory fetch turbofan_rul"):
        cycles(source, "FX")
    assert [fault for fault in source.lacking() if name in fault]


def test_a_folder_without_any_file_stops_everything_at_once(tmp_path):
    source = CmapssFiles(tmp_path, ["FD001", "FD003"])
    with pytest.raises(SourceError, match="has no file of FD001, FD003; run `factory fetch turbofan_rul`"):
        source.sites(CYCLES, UNTIL)
    assert len(source.lacking()) == 6


def test_the_files_of_every_published_fleet_have_a_digest(tmp_path):
    published = CmapssFiles(tmp_path, ["FD001", "FD002", "FD003", "FD004"]).published()
    assert len(published.files) == 12
    assert published.folder == tmp_path / "cmapss"

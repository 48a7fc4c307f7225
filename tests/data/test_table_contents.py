"""What other programs do to a table of the lake: no change of rows is none, and every change of rows is told."""

import shutil

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.data.table_contents import TableContents
from factory.storage.journal import Journal
from factory.storage.lake import Lake

SITES = ["north", "south"]
NAMES = ["clean"]


def rows(site, *numbers, **more):
    """Rows of a site, by number."""
    made = {"site": site, "part": list(numbers), "force": [number / 2 for number in numbers]}
    return pl.DataFrame({**made, **{name: [value] * len(numbers) for name, value in more.items()}})


def write(lake, site, *numbers, **more):
    lake.append("clean", rows(site, *numbers, **more), lake.site_versions("clean", [site]), widen=True)


def contents(folder):
    """What another process of the line says of the tables."""
    lake = Lake(folder / "lake", "toy")
    return TableContents(lake, Journal(lake), "run")


@pytest.fixture
def left(tmp_path):
    """A lake with rows of two sites in several files, as the line left it."""
    lake = Lake(tmp_path / "lake", "toy")
    for start in (1, 4, 7):
        write(lake, "north", start, start + 1, start + 2)
    write(lake, "south", 1, 2)
    contents(tmp_path).digests(NAMES, SITES)
    return tmp_path


def table(folder):
    return DeltaTable(str(folder / "lake" / "toy" / "clean"))


def vacuum(folder):
    table(folder).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def checkpointed(folder):
    """A checkpoint, and a log without what came before it."""
    table(folder).create_checkpoint()
    log = folder / "lake" / "toy" / "clean" / "_delta_log"
    for commit in sorted(log.glob("*.json"))[:-1]:
        commit.unlink()


def rewritten(folder, **how):
    """The same rows in another order, written by a program that knows nothing of this line."""
    every = table(folder)
    shuffled = pl.read_delta(str(every.table_uri)).sample(fraction=1.0, shuffle=True, seed=7)
    write_deltalake(every.table_uri, shuffled, mode="overwrite", **how)


def made_anew(folder):
    """The same rows in a table of the same name, whose log begins again and has no transactions."""
    place = folder / "lake" / "toy" / "clean"
    every = pl.read_delta(str(place))
    shutil.rmtree(place)
    write_deltalake(str(place), every, partition_by=["site"])


def restored(folder):
    """Rows deleted, and brought back by a restore."""
    before = table(folder).version()
    table(folder).delete("part = 5")
    if table(folder).version() != before:  # one was there
        table(folder).restore(before)


NO_CHANGE = {
    "compacted": lambda folder: table(folder).optimize.compact(),
    "z-ordered": lambda folder: table(folder).optimize.z_order(["part"]),
    "vacuumed": vacuum,
    "compacted and vacuumed": lambda folder: (table(folder).optimize.compact(), vacuum(folder)),
    "a checkpoint": checkpointed,
    "written anew": rewritten,
    "written anew by site": lambda folder: rewritten(folder, partition_by=["site"], schema_mode="overwrite"),
    "made anew": made_anew,
    "deleted and restored": restored,
    "a property": lambda folder: table(folder).alter.set_table_properties({"delta.appendOnly": "false"}),
    "a column of other sites": lambda folder: write_deltalake(
        table(folder).table_uri, rows("west", 1, note="new"), mode="append", schema_mode="merge"
    ),
}


@pytest.mark.parametrize("what", NO_CHANGE)
def test_what_changes_no_row_is_no_change_and_is_read_once(left, what, monkeypatch):
    before = contents(left).digests(NAMES, SITES)
    NO_CHANGE[what](left)
    NO_CHANGE["compacted"](left)
    assert contents(left).changed_by_others(NAMES, SITES) == {}
    assert contents(left).digests(NAMES, SITES) == before
    version = Lake(left / "lake", "toy").version("journal")
    monkeypatch.setattr(Lake, "scan", none_but_the_journal(Lake.scan))
    assert contents(left).digests(NAMES, SITES) == before
    assert contents(left).changed_by_others(NAMES, SITES) == {}
    assert Lake(left / "lake", "toy").version("journal") == version


def none_but_the_journal(scan):
    """A scan that finds out who reads rows where nothing happened."""

    def scanned(lake, name, *args, **how):
        assert name == "journal", f"{name} was read, and nothing had happened"
        return scan(lake, name, *args, **how)

    return scanned


CHANGE = {
    "deleted": (lambda folder: table(folder).delete("site = 'north' and part = 5"), "9 rows became 8 (DELETE at "),
    "updated": (
        lambda folder: table(folder).update({"force": "9.5"}, predicate="site = 'north' and part = 5"),
        "its 9 rows changed (UPDATE at ",
    ),
    "added to": (
        lambda folder: write_deltalake(table(folder).table_uri, rows("north", 99), mode="append", schema_mode="merge"),
        "9 rows became 10 (WRITE at ",
    ),
    "a row twice": (
        lambda folder: write_deltalake(table(folder).table_uri, rows("north", 5), mode="append", schema_mode="merge"),
        "9 rows became 10 (WRITE at ",
    ),
    "restored to before": (lambda folder: table(folder).restore(2), "9 rows became 6 (RESTORE at "),
}


@pytest.mark.parametrize("what", CHANGE)
def test_a_change_of_rows_is_told_once_with_what_did_it_and_other_sites_are_not_blamed(left, what):
    deed, words = CHANGE[what]
    before = contents(left).digests(NAMES, SITES)
    deed(left)
    if what == "restored to before":  # south's rows came later than that
        write(Lake(left / "lake", "toy"), "south", 1, 2)
    told = contents(left).changed_by_others(NAMES, SITES)
    assert set(told) == {"north"}
    assert told["north"].startswith("clean was changed by another program: ")
    assert words in told["north"]
    assert "delta-rs" in told["north"]
    after = contents(left).digests(NAMES, SITES)
    assert after["north"] != before["north"]
    assert after["south"] == before["south"]
    assert contents(left).changed_by_others(NAMES, SITES) == {}


def test_a_table_that_somebody_moved_away_is_told_of(left):
    shutil.rmtree(left / "lake" / "toy" / "clean")
    told = contents(left).changed_by_others(NAMES, SITES)
    assert told["north"] == "clean was changed by another program: 9 rows became 0"
    assert told["south"] == "clean was changed by another program: 2 rows became 0"


def test_what_the_line_wrote_itself_before_it_died_is_not_said_to_be_anothers(left):
    write(Lake(left / "lake", "toy"), "north", 10)
    assert contents(left).changed_by_others(NAMES, SITES) == {}


def test_a_lake_that_was_open_when_another_program_made_the_table_anew_reads_the_new_one(left):
    lake = Lake(left / "lake", "toy")
    assert lake.scan("clean").collect().height == 11
    made_anew(left)
    assert lake.scan("clean").collect().height == 11
    assert lake.version("clean") == 0


DEEDS = {**NO_CHANGE, **{name: deed for name, (deed, _) in CHANGE.items() if name != "restored to before"}}


@given(st.lists(st.sampled_from(sorted(DEEDS)), max_size=5))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_after_any_deeds_a_site_is_told_of_just_where_its_rows_are_others(tmp_path, deeds):
    folder = tmp_path / "any"
    shutil.rmtree(folder, ignore_errors=True)
    lake = Lake(folder / "lake", "toy")
    for start in (1, 4):
        write(lake, "north", start, start + 1, start + 2)
    write(lake, "south", 1, 2)
    contents(folder).digests(NAMES, SITES)
    before = held(folder)
    for name in deeds:
        DEEDS[name](folder)
    after = held(folder)
    assert set(contents(folder).changed_by_others(NAMES, SITES)) == {
        site for site in SITES if before[site] != after[site]
    }


def held(folder):
    """Each site's rows as the table has them, sorted, without columns that came later."""
    every = pl.read_delta(str(folder / "lake" / "toy" / "clean")).select("site", "part", "force")
    return {site: sorted(every.filter(pl.col("site") == site).iter_rows()) for site in SITES}

"""The journal: what each stage last did, and what need not be done again."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from deltalake import DeltaTable

from factory.storage.journal import Journal, fingerprint
from factory.storage.lake import Lake


@pytest.fixture
def journal(tmp_path):
    return Journal(Lake(tmp_path, "line"))


def record(journal, site, mark, stage="clean", **figures):
    journal.record(stage, {site: figures}, {site: mark}, run="r1", seconds=1.0)


def test_a_site_is_fresh_only_with_the_very_inputs_it_was_last_done_with(journal):
    assert journal.fresh("clean", {"UA": "a"}) == set()
    record(journal, "UA", "a")
    assert journal.fresh("clean", {"UA": "a", "DL": "a"}) == {"UA"}
    assert journal.fresh("clean", {"UA": "b"}) == set()
    record(journal, "UA", "b")
    assert journal.fresh("clean", {"UA": "a"}) == set()


def test_the_newest_entry_of_each_site_and_stage_counts(journal):
    record(journal, "UA", "a", raw=1)
    record(journal, "UA", "b", raw=2)
    record(journal, "UA", "c", stage="features", raw=3)
    found = journal.latest("clean", ["UA"])
    assert found["UA"].figures == {"raw": 2}
    assert found["UA"].fingerprint == "b"


NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.fixture
def clock(journal):
    """A clock that a test sets: a list whose last moment is now."""
    moments = [NOON]
    journal.clock = lambda: moments[-1]
    return moments


@pytest.mark.parametrize("back", [timedelta(0), timedelta(hours=1), timedelta(days=400)])
def test_the_entry_written_last_counts_although_the_clock_went_back(journal, clock, back):
    record(journal, "UA", "a", raw=1)
    clock.append(NOON - back)
    record(journal, "UA", "b", raw=2)
    assert journal.latest("clean")["UA"].figures == {"raw": 2}
    assert journal.fresh("clean", {"UA": "b"}) == {"UA"}
    assert journal.latest("clean")["UA"].at > NOON
    clock.append(NOON + timedelta(hours=1))
    record(journal, "UA", "c", raw=3)
    assert journal.latest("clean")["UA"].at == clock[-1]


def test_what_a_run_began_after_the_clock_went_back_is_fresh_for_nobody_until_it_ended(journal, clock):
    record(journal, "UA", "a")
    clock.append(NOON - timedelta(hours=1))
    journal.begin("clean", ["UA"], run="r2")
    assert journal.fresh("clean", {"UA": "a"}) == set()
    record(journal, "UA", "a")
    assert journal.fresh("clean", {"UA": "a"}) == {"UA"}


def test_a_site_keeps_its_own_time_when_another_ones_is_ahead(journal, clock):
    record(journal, "UA", "a")
    clock.append(NOON - timedelta(hours=1))
    record(journal, "DL", "a")
    assert journal.latest("clean")["DL"].at == clock[-1]


def test_a_fingerprint_tells_any_two_inputs_apart_and_equal_ones_not():
    assert fingerprint("a", {"x": 1, "y": 2}) == fingerprint("a", {"y": 2, "x": 1})
    assert fingerprint("a", "b") != fingerprint("ab")
    assert fingerprint(1) != fingerprint("1")


def test_the_time_of_a_stage_is_shared_among_its_sites(journal):
    journal.record("clean", {"UA": {}, "DL": {}}, {"UA": "a", "DL": "a"}, run="r", seconds=3.0)
    assert [entry.seconds for entry in journal.latest("clean").values()] == [1.5, 1.5]


def test_what_a_run_began_and_never_ended_is_fresh_for_nobody(journal):
    record(journal, "UA", "a")
    journal.begin("clean", ["UA"], run="r2")
    assert journal.fresh("clean", {"UA": "a"}) == set()
    record(journal, "UA", "a")
    assert journal.fresh("clean", {"UA": "a"}) == {"UA"}


def test_a_journal_that_another_one_writes_to_is_never_behind(tmp_path):
    mine, theirs = (Journal(Lake(tmp_path, "presses")) for _ in range(2))
    for number in range(4):
        writer, reader = (mine, theirs) if number % 2 else (theirs, mine)
        writer.record("clean", {"north": {"n": number}}, {"north": f"mark {number}"}, run="r", seconds=1.0)
        for journal in (writer, reader):
            entry = journal.latest("clean")["north"]
            assert (entry.figures, entry.fingerprint) == ({"n": number}, f"mark {number}")
            assert journal.fresh("clean", {"north": f"mark {number}"}) == {"north"}


def test_a_journal_of_a_home_made_before_goes_on_in_its_partitions(tmp_path):
    lake = Lake(tmp_path, "presses")
    row = {"site": "north", "stage": "clean", "fingerprint": "old", "figures": "{}", "run": "r", "seconds": 1.0}
    frame = pl.DataFrame([{**row, "at": datetime(2026, 1, 1, tzinfo=UTC)}])
    lake.append("journal", frame, {}, partitioned=True)
    journal = Journal(Lake(tmp_path, "presses"))
    assert journal.fresh("clean", {"north": "old"}) == {"north"}
    journal.record("clean", {"south": {}}, {"south": "new"}, run="r", seconds=1.0)
    assert set(Journal(Lake(tmp_path, "presses")).latest("clean")) == {"north", "south"}


def test_many_commits_become_few_files_and_nothing_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("factory.storage.journal.COMPACT_EVERY", 8)
    journal = Journal(Lake(tmp_path, "presses"))
    for number in range(20):
        journal.record("clean", {f"site{number % 3}": {"n": number}}, {f"site{number % 3}": "m"}, run="r", seconds=0.1)
    files = DeltaTable(str(tmp_path / "presses" / "journal")).file_uris()
    assert len(files) < 10
    again = Journal(Lake(tmp_path, "presses")).latest("clean")
    assert {site: entry.figures["n"] for site, entry in again.items()} == {"site0": 18, "site1": 19, "site2": 17}

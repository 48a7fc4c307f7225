"""Invariants 2, 3 and 4 with real deaths: processes killed at every stage, two at once, plants that send rubbish."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.verdict import Verdict
from factory.names import LINE_SITE, model_name
from factory.orchestration.instance import opened_instance
from factory.orchestration.sites import add_sites
from tests.monitoring.recorded import batch, segment
from tests.toy.killed import data
from tests.toy.line import NAME, ToyFactory

ROOT = Path(__file__).resolve().parents[2]
SITES = ["east", "north", "south"]
KILLED = -9


def started(home, what, point="", **source):
    """A process that runs the toy line in a home."""
    words = [sys.executable, "-m", "tests.toy.killed", str(home), what, point, json.dumps(source)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Its exit code, what it told and its log."""
    told, log = process.communicate(timeout=200)
    return process.returncode, told, log


def rows(toy, table, *key):
    """A lake table's rows by key; fails on a row that is there twice."""
    found = toy.lake.scan(table).select(key).collect().rows()
    assert len(found) == len(set(found)), f"{table} has rows twice"
    return sorted(found)


def consistent_data(toy):
    """Every table of the data stages, each row once, and raw = clean + quarantine + superseded."""
    raw, clean = rows(toy, "raw/parts", "site", "part"), rows(toy, "clean", "site", "part")
    for site, state in toy.status().items():
        found = state["rows"]
        assert found["raw"] == found["clean"] + found["quarantine"] + found["superseded"]
        assert found["raw"] == sum(row[0] == site for row in raw)
    return raw, clean, rows(toy, "features", "site", "part"), rows(toy, "raw/shifts", "day")


def digests(toy):
    """The digest of every model, from the journal."""
    base = toy.journal.latest("base_model")[LINE_SITE].figures["digest"]
    return base, {site: entry.figures["digest"] for site, entry in toy.journal.latest("site_model").items()}


def test_a_run_killed_amid_its_source_leaves_nothing_of_the_plant_and_the_next_one_completes(tmp_path):
    toy = ToyFactory(tmp_path)
    code, _, _ = ended(started(tmp_path, "data", deadly=["south"]))
    assert code == KILLED
    assert not toy.lake.has("raw/parts")
    code, _, _ = ended(started(tmp_path, "data", "raw/parts"))
    assert code == KILLED
    assert toy.lake.has("raw/parts")
    assert not toy.lake.has("clean")
    assert data(toy, {}) == 0
    raw, clean, features, shifts = consistent_data(toy)
    assert len(raw) == len(clean) == len(features) == 420 + 360 + 30
    assert len(shifts) == 60
    assert set(toy.lake.scan("raw/parts").collect()["_load"]) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("point", ["taken_in", "prediction_log"])
def test_a_run_killed_amid_the_gateways_records_is_run_again_without_a_row_twice_or_lost(tmp_path, point):
    toy = ToyFactory(tmp_path)
    segment(tmp_path / "predictions", "1.open", batch("a", "b", line=NAME, site="north"))
    code, _, _ = ended(started(tmp_path, "operate", point, until="2024-02-08"))
    assert code == KILLED
    assert rows(toy, "prediction_log", "prediction", "row") == [("a", 0), ("b", 0)]
    segment(tmp_path / "predictions", "1.open", batch("c", line=NAME, site="north"))
    assert toy.operate(until="2024-02-08") == 0
    assert rows(toy, "prediction_log", "prediction", "row") == [("a", 0), ("b", 0), ("c", 0)]


def test_of_two_runs_at_once_one_ends_well_the_other_says_so_and_no_row_is_there_twice(tmp_path):
    toy = ToyFactory(tmp_path / "home")
    assert data(toy, {"broken": SITES}) == 1  # so that only the shared tables come in
    (tmp_path / "meeting").mkdir()
    both = [started(toy.home, "data", meet=str(tmp_path / "meeting")) for _ in range(2)]
    (first, _, first_log), (second, _, second_log) = ended(both[0]), ended(both[1])
    assert sorted([first, second]) == [0, 1]
    assert "another run wrote raw/parts" in (first_log if first else second_log)
    assert data(toy, {}) == 0
    raw, clean, features, _ = consistent_data(toy)
    assert len(raw) == len(clean) == len(features) == 420 + 360 + 30


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A run with a plant of 30 parts, one without a faulty part, one with an unknown column, and one without fault."""
    toy = ToyFactory(tmp_path_factory.mktemp("troubled"))
    with opened_instance(toy.home / "dagster") as instance:
        add_sites(instance, NAME, ["west"])  # the source does not tell of it
    code = toy.run([*SITES, "west"], flawless=["south"], strange=["west"])
    return toy, code


def test_plants_that_send_rubbish_do_not_keep_the_others_from_finishing(troubled):
    toy, code = troubled
    assert code == 1
    state = toy.status()
    assert state["north"]["verdict"]["passed"]
    assert state["north"]["serving"]
    assert any("positives" in reason for reason in state["south"]["verdict"]["reasons"])
    assert state["south"]["rows"]["clean"] == 360
    assert "scored on 7 rows of 7 days, needs 10 days" in state["east"]["verdict"]["reasons"]
    assert state["south"]["serving"] is state["east"]["serving"] is None


def test_an_unknown_column_stops_its_plant_before_a_row_is_written_and_is_named(troubled):
    toy, _ = troubled
    assert toy.status()["west"]["rows"] is None
    assert "column 'heat_c' (Float64) is lost" in toy.status()["west"]["findings"][0]
    assert toy.lake.scan("raw/parts", ["west"]).collect().is_empty()
    code, told, _ = ended(started(toy.home, "line", "", sites=["west"], strange=["west"]))
    assert code == 1
    (failed,) = (line for line in told.splitlines() if line.startswith("SiteFailed("))
    assert "site='west'" in failed
    assert "SchemaMismatch" in failed
    assert "smell" in failed
    assert "line press_faults: 1 failed: west" in told


def test_an_alias_moved_by_hand_serves_nothing(troubled):
    """Somebody makes a refused model champion in the registry's UI: neither loading nor the next run follows."""
    toy, _ = troubled
    from mlflow import MlflowClient

    model = model_name(NAME, "east")
    client = MlflowClient(tracking_uri=toy.registry.tracking_uri, registry_uri=toy.registry.tracking_uri)
    client.set_registered_model_alias(model, "champion", "1")
    with pytest.raises(ModelRefused, match="moved by hand"):
        toy.registry.champion(model)
    assert toy.run(["east"]) == 0
    assert toy.repository.current(model) is None
    with pytest.raises(ModelRefused, match="not released"):
        toy.repository.load(model, toy.store.key().public_key())


def test_no_verdict_permits_a_file_it_did_not_judge(troubled):
    """North's passing verdict opens no door for east's model: not in the registry, the repository, nor the run."""
    toy, _ = troubled
    model = model_name(NAME, "east")
    entry = toy.journal.latest("verdict", ["east"])["east"]
    north = Verdict.from_dict(toy.journal.latest("verdict", ["north"])["north"].figures["verdict"])
    forged = Verdict.from_dict({**north.to_dict(), "site": "east"})
    for verdict in (north, forged):
        with pytest.raises(ReleaseRefused):
            toy.registry.promote(model, 1, verdict, by="a thief")
    figures = {"east": {**entry.figures, "passed": True, "verdict": forged.to_dict()}}
    toy.journal.record("verdict", figures, {"east": entry.fingerprint}, run="a thief's", seconds=0)
    assert toy.run(["east"]) == 1
    assert toy.repository.current(model) is None
    toy.journal.record("verdict", {"east": entry.figures}, {"east": entry.fingerprint}, run="mended", seconds=0)
    assert toy.run(["east"]) == 0


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_where_an_undisturbed_one_does(tmp_path):
    """One home, a death at every stage boundary, each run going on from where the one before it died."""
    undisturbed, toy = ToyFactory(tmp_path / "undisturbed"), ToyFactory(tmp_path / "killed")
    assert undisturbed.run() == 0
    assert ended(started(toy.home, "line", deadly=["south"]))[0] == KILLED
    assert ended(started(toy.home, "line", "collected"))[0] == KILLED
    last = killed_in_training(toy.home)
    code, told, _ = ended(started(toy.home, "line", "registered"))
    assert code == KILLED
    assert [epoch for epoch in epochs(told) if epoch <= last] == []
    for point in ("site_model", "judged", "verdict", "promoted"):
        assert ended(started(toy.home, "line", point))[0] == KILLED, point
        assert not any(state["serving"] for state in toy.status().values())
    assert toy.run() == 0
    assert digests(toy) == digests(undisturbed)
    assert consistent_data(toy) == consistent_data(undisturbed)
    assert rows(toy, "verdict", "site", "digest") == rows(undisturbed, "verdict", "site", "digest")
    assert rows(toy, "baseline", "site", "part") == rows(undisturbed, "baseline", "site", "part")
    assert serves(toy) == serves(undisturbed)


def serves(toy):
    """What is served, how often it was released, and how many versions the registry has."""
    found = {}
    for site in SITES:
        history = toy.repository.history(model_name(NAME, site))
        entry = toy.journal.latest("site_model", [site])[site]
        found[site] = ([release.digest for release in history], entry.figures["version"], versions(toy, site))
    return found


def versions(toy, site):
    """The numbers of all the versions the registry keeps of a site's model."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=toy.registry.tracking_uri, registry_uri=toy.registry.tracking_uri)
    return sorted(version.version for version in client.search_model_versions(f"name='{model_name(NAME, site)}'"))


def epochs(told):
    """The epochs of base training that a run told of."""
    return [int(found) for found in re.findall(r"base_model: epoch (\d+) of", told)]


def killed_in_training(home):
    """Kill a run as soon as it tells of its second epoch, and return the last epoch it told of."""
    process = started(home, "line")
    told = ""
    for line in process.stdout:
        told += line
        if epochs(told)[-1:] >= [2]:
            process.kill()
            break
    told += process.communicate(timeout=300)[0]
    assert process.returncode == KILLED
    return max(epochs(told))


@pytest.mark.slow
def test_two_whole_runs_at_once_end_in_one_version_and_one_release_each(tmp_path):
    toy = ToyFactory(tmp_path)
    both = [started(toy.home, "line") for _ in range(2)]
    codes = [ended(process)[0] for process in both]
    assert set(codes) <= {0, 1, 2}
    assert toy.run() == 0
    consistent_data(toy)
    for releases, version, kept in serves(toy).values():
        assert len(releases) <= 1
        assert kept == [version]

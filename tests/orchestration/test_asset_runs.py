"""Runs of assets as people start them in the orchestrator's UI: what was selected is materialized, or the run is red.

The line's own job is tested in test_line_run; here the assets are the target, for one site and for several at once.
"""

import dagster as dg
import pytest

from factory.orchestration.instance import opened_instance
from factory.pipeline.stages import RUNS, steps
from factory.storage.journal import Journal
from factory.storage.lake_store import LakeStore
from tests.toy.asset_runs import SITES, retry_from_failure, run_assets
from tests.toy.line import NAME, ToyFactory, toy_line

ALL = "__ASSET_JOB"
"""Dagster's job over every asset of the code location, which the UI's Materialize button uses."""
MADE = {
    kind.name: {name for step in steps(toy_line()) if step.run == kind.name for name in step.makes} for kind in RUNS
}
OF_SITES = {name for kind in RUNS if kind.of_sites for name in MADE[kind.name]}
OF_THE_LINE = {name for kind in RUNS if not kind.of_sites for name in MADE[kind.name]}


def materialized(toy, name):
    """The sites for which the instance has an asset as materialized."""
    key = dg.AssetKey([NAME, *name.split("/")])
    with opened_instance(toy.home / "dagster") as instance:
        return set(instance.get_materialized_partitions(key))


class ForgetfulJournal(Journal):
    """Does not know south's results."""

    def latest(self, stage, sites=None):
        return {site: entry for site, entry in super().latest(stage, sites).items() if site != "south"}


class ForgetfulLake(LakeStore):
    """Gives such a journal."""

    def journal(self, line):
        return ForgetfulJournal(self.of(line))


@pytest.fixture(scope="module")
def three_sites(tmp_path_factory):
    """A home where all assets were materialized for all sites in a single run."""
    toy = ToyFactory(tmp_path_factory.mktemp("three"))
    return toy, run_assets(toy, ALL)


def test_all_assets_for_three_sites_in_a_single_run_are_materialized_for_each_of_them(three_sites):
    toy, run = three_sites
    assert run.success, run.failures
    assert set(run.partitions) == OF_SITES | OF_THE_LINE
    for name, sites in run.partitions.items():
        assert sorted(sites, key=str) == (list(SITES) if name in OF_SITES else [None]), name  # each once
    for name in OF_SITES:
        assert materialized(toy, name) == set(SITES), name


def test_each_site_has_its_own_figures(three_sites):
    _, run = three_sites
    cleaned = [one for one in run.made if one.asset_key.path[-1] == "clean"]
    rows = {one.partition: one.metadata["dagster/row_count"].value for one in cleaned}
    assert rows == {"east": 30, "north": 420, "south": 360}


def test_all_assets_for_one_site_are_materialized_for_it_and_for_no_other(tmp_path):
    toy = ToyFactory(tmp_path)
    run = run_assets(toy, ALL, ["north"])
    assert run.success, run.failures
    assert set(run.partitions) == OF_SITES | OF_THE_LINE
    for name in OF_SITES:
        assert materialized(toy, name) == {"north"}, name


def test_where_a_site_fails_the_run_is_red_and_names_it_and_the_others_are_materialized(tmp_path):
    toy = ToyFactory(tmp_path)
    assert run_assets(toy, f"{NAME}_references_job", ()).success
    run = run_assets(toy, f"{NAME}_data_job", source={"broken": ["south"]})
    assert not run.success
    assert set(run.failures) == {"south"}
    assert "raw/parts: SourceError: site south: the line to the plant was cut" in run.failures["south"]
    for name in MADE["data"]:
        assert materialized(toy, name) == {"east", "north"}, name
    again = run_assets(toy, f"{NAME}_data_job", ["south"])
    assert again.success
    assert materialized(toy, "features") == set(SITES)


@pytest.mark.slow
def test_where_a_site_fails_early_the_others_go_on_to_the_end_and_a_retry_brings_it_through(tmp_path):
    toy = ToyFactory(tmp_path)
    run = run_assets(toy, ALL, source={"broken": ["south"]})
    assert not run.success
    assert set(run.failures) == {"south"}
    for name in OF_SITES:
        assert materialized(toy, name) == {"east", "north"}, name
    assert set(run.partitions) == OF_SITES | OF_THE_LINE
    told = " ".join(str(entry.get_dagster_event().step_failure_data.user_failure_data) for entry in run.log
                    if entry.is_dagster_event and entry.get_dagster_event().is_step_failure)  # fmt: skip
    assert "1 failed: south; the others went through (east, north)" in told
    assert f"retry this run from failure or: factory run {NAME} --sites south" in told
    still_broken = retry_from_failure(toy, {"broken": ["south"]})
    assert not still_broken.success
    assert set(still_broken.failures) == {"south"}
    again = retry_from_failure(toy)
    assert again.success, again.failures
    for name in OF_SITES:
        assert materialized(toy, name) == set(SITES), name


def test_where_all_sites_fail_nothing_is_materialized_and_the_run_is_red(tmp_path):
    toy = ToyFactory(tmp_path)
    run = run_assets(toy, f"{NAME}_data_job", source={"broken": list(SITES)})
    assert not run.success
    assert set(run.failures) == set(SITES)
    assert run.made == []


def test_what_was_not_selected_is_not_materialized(tmp_path):
    toy = ToyFactory(tmp_path)
    assert run_assets(toy, f"{NAME}_references_job", ()).success
    run = run_assets(toy, f"{NAME}_data_job", assets=["raw/parts", "quarantine"])
    assert run.success
    assert set(run.partitions) == {"raw/parts", "quarantine"}
    assert not toy.lake.has("features")


def test_one_asset_of_an_op_is_made_of_what_is_there_and_nothing_else(tmp_path, three_sites):
    """A person presses Materialize on a single asset, whose upstream was made long ago."""
    toy = three_sites[0].copied(tmp_path)
    run = run_assets(toy, ALL, ["north"], assets=["verdict"])
    assert run.success, run.failures
    assert run.partitions == {"verdict": ["north"]}


@pytest.mark.parametrize("asset", ["clean", "online_snapshot", "site_model", "verdict", "release", "report"])
def test_an_asset_without_its_upstream_is_red_and_says_why(tmp_path, asset):
    run = run_assets(ToyFactory(tmp_path), ALL, ["north"], assets=[asset])
    assert not run.success
    assert run.made == []
    assert set(run.failures) == {"north"}
    assert "TableMissing" in run.failures["north"]
    assert "run" in run.failures["north"].partition(";")[2]  # what to do


@pytest.mark.parametrize("begin_with", ["clean", "verdict"])
def test_a_run_that_begins_late_materializes_what_it_leaves_alone_too(tmp_path, three_sites, begin_with):
    toy = three_sites[0].copied(tmp_path)
    config = {"ops": {f"{NAME}_models": {"config": {"redo_from": begin_with}}}}
    run = run_assets(toy, f"{NAME}_models_job", run_config=config)
    assert run.success, run.failures
    assert set(run.partitions) == MADE["models"]
    assert all(sorted(sites) == list(SITES) for sites in run.partitions.values())
    again = {one.asset_key.path[-1] for one in run.made if one.metadata["changed"].value}
    assert ("site_model" in again) == (begin_with == "clean")


def test_a_run_that_begins_after_what_was_never_made_is_red_and_names_asset_and_way_out(tmp_path):
    config = {"ops": {f"{NAME}_data": {"config": {"redo_from": "features"}}}}
    run = run_assets(ToyFactory(tmp_path), f"{NAME}_data_job", assets=["raw/parts"], run_config=config)
    assert not run.success
    assert set(run.failures) == set(SITES)
    assert "raw/parts: this run begins with features" in run.failures["north"]
    assert "leave redo_from out" in run.failures["north"]


def test_a_stage_that_forgets_a_site_makes_the_run_red(tmp_path):
    """The promise is kept at one place, whatever a stage does."""
    assert run_assets(ToyFactory(tmp_path), f"{NAME}_data_job", assets=["raw/parts", "clean"]).success
    toy = ToyFactory(tmp_path, lake=ForgetfulLake(url=str(tmp_path / "lake")))
    run = run_assets(toy, f"{NAME}_data_job", assets=["clean"])
    assert not run.success
    assert set(run.failures) == {"south"}
    assert "gave neither a result nor an error for site south" in run.failures["south"]
    assert run.partitions == {"clean": ["east", "north"]}


def test_a_site_that_nothing_is_released_for_says_so(tmp_path):
    toy = ToyFactory(tmp_path, gates={"at_least": {"average_precision": 1.1}})
    run = run_assets(toy, ALL)
    assert run.success, run.failures
    releases = {one.partition: one.metadata for one in run.made if one.asset_key.path[-1] == "release"}
    assert set(releases) == set(SITES)
    for told in releases.values():
        assert not told["passed"].value
        assert told["serves"].value.startswith("nothing")
        assert "average precision" in told["reasons"].value

"""`--from STAGE`: that stage and those after it are done again though nothing changed, those before are left alone."""

import pytest

from factory.errors import LineError
from factory.names import LINE_SITE
from factory.orchestration.instance import opened_instance
from factory.pipeline.events import SitesChosen, StepBegun
from factory.pipeline.stages import NAMES
from tests.toy.line import NAME, ToyFactory

SITES = ["east", "north", "south"]
JOURNALED = ("clean", "features", "base_model", "site_model", "verdict")


@pytest.fixture(scope="module")
def done(first_runs, tmp_path_factory):
    """The toy line, run once."""
    return first_runs.copied(tmp_path_factory.mktemp("done"))


def when(toy):
    """When each stage was last done at north, or for the line."""
    site = {"base_model": LINE_SITE}
    return {stage: toy.journal.latest(stage)[site.get(stage, "north")].at for stage in JOURNALED}


def digests(toy):
    return {site: entry.figures["digest"] for site, entry in toy.journal.latest("site_model").items()}


@pytest.mark.parametrize("stage", ["verdict", pytest.param("clean", marks=pytest.mark.slow)])
def test_what_comes_after_is_done_again_and_what_comes_before_is_not(done, stage):
    before, models = when(done), digests(done)
    assert done.run(redo_from=stage) == 0
    after = when(done)
    again = {name for name in JOURNALED if after[name] > before[name]}
    assert again == {name for name in JOURNALED if NAMES.index(name) >= NAMES.index(stage)}
    assert digests(done) == models  # the same inputs give the same models
    assert "raw/parts" not in {event.step for event in done.events_of(StepBegun)}
    with opened_instance(done.home / "dagster") as instance:
        run = instance.get_run_by_id(done.outcome.runs[0].run_id)
    assert run.tags["factory/from"] == stage
    assert run.run_config["ops"][f"{NAME}_line_begin"]["config"]["redo_from"] == stage
    assert done.run() == 0
    assert when(done) == after  # and then nothing has changed


def test_from_raw_finds_a_row_that_came_behind_the_cursor(tmp_path):
    toy = ToyFactory(tmp_path)
    assert toy.run(["north"], late=["north"]) in (0, 1)
    assert toy.status()["north"]["rows"]["raw"] == 410
    assert toy.run(["north"]) in (0, 1)
    assert toy.status()["north"]["rows"]["raw"] == 410
    assert toy.run(["north"], redo_from="raw") in (0, 1)
    assert toy.status()["north"]["rows"]["raw"] == 420


def test_models_are_not_judged_as_of_a_day_before_they_were_made(done):
    with pytest.raises(LineError, match="made as of 2024-03-01, so `--from verdict` cannot look as of 2024-02-20"):
        done.run(until="2024-02-20", redo_from="verdict")


@pytest.mark.slow
def test_without_a_day_the_models_are_judged_as_of_the_day_they_were_made(tmp_path):
    toy = ToyFactory(tmp_path)
    assert toy.run(until="2024-02-20") == 0
    assert toy.run(redo_from="release") == 0
    assert toy.events_of(SitesChosen)[0].until == "2024-02-20"
    assert toy.outcome.changed.total() > 0


def test_a_line_that_has_no_site_yet_cannot_begin_in_the_middle(tmp_path):
    with pytest.raises(LineError, match="no sites yet"):
        ToyFactory(tmp_path).run(redo_from="verdict")


def test_an_unknown_stage_is_refused_with_those_there_are(done):
    with pytest.raises(
        LineError, match=r"no stage 'cleaning'.*raw, clean, announced, features, online_snapshot, predictions, outcomes"
    ):
        done.run(redo_from="cleaning")

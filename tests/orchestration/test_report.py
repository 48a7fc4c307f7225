"""The toy line's run leaves pages: for each plant, served or refused, and for the line; none anew without a change."""

import json
import re
import shutil

import dagster as dg
import pytest

from factory.names import LINE_SITE
from factory.orchestration.instance import opened_instance
from factory.reports.status import status
from factory.storage.home import Home
from tests.toy.line import NAME

SITES = ["east", "north", "south"]


@pytest.fixture(scope="module")
def done(first_runs, tmp_path_factory):
    """The toy line, run once."""
    return first_runs.copied(tmp_path_factory.mktemp("done"))


def page(toy, site):
    return toy.home / "reports" / NAME / f"{'index' if site == LINE_SITE else site}.html"


def written(toy):
    """When each page was written last, and how many entries the journal has."""
    times = {site: page(toy, site).stat().st_mtime_ns for site in (*SITES, LINE_SITE)}
    return times, toy.lake.version("journal")


def test_every_plant_and_the_line_have_a_page_with_the_figures_of_the_verdict(done):
    for site, state in done.status().items():
        text, verdict = page(done, site).read_text(), state["verdict"]
        assert all(reason in text for reason in verdict["reasons"])
        assert f'data-figure="average_precision">{verdict["figures"]["average_precision"]:.3f}' in text
    line = page(done, LINE_SITE).read_text()
    assert re.findall(r'<a href="(\w+\.html)">', line) == [f"{site}.html" for site in SITES]
    assert "2 of 3 sites serve a model" in line


def test_the_orchestrator_and_the_status_say_where_the_page_is(done):
    assert done.run(redo_from="report") == 0
    with opened_instance(done.home / "dagster") as instance:
        key = dg.AssetKey([NAME, "report"])
        records = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=["north"]), limit=1)
    told = records.records[0].asset_materialization.metadata["page"]
    assert told == dg.MetadataValue.path(str(page(done, "north")))
    found = json.loads(json.dumps(status(Home.at(done.home))))["lines"][NAME]
    assert found["page"] == str(page(done, LINE_SITE))
    assert found["sites"]["north"]["page"] == str(page(done, "north"))


def test_the_training_curves_of_a_fine_tuned_network_are_kept_and_drawn(first_runs, tmp_path):
    toy = first_runs.copied(tmp_path, recipe={"rungs": ("network", "tuned")})
    assert toy.run() == 0
    assert len(toy.journal.latest("base_model")[LINE_SITE].figures["epochs"]) == 12
    assert toy.journal.latest("site_model", ["north"])["north"].figures["epochs"]
    assert "Fine-tuning on the site&#39;s rows" in page(toy, "north").read_text()


def test_nothing_is_written_when_nothing_changed_and_a_lost_page_comes_again(done):
    before = written(done)
    assert done.run() == 0
    assert written(done) == before
    content = page(done, "south").read_text()
    page(done, "south").unlink()
    assert done.run() == 0
    assert page(done, "south").read_text() == content
    assert page(done, "north").stat().st_mtime_ns == before[0]["north"]


def test_a_page_that_cannot_be_written_takes_no_release_back_and_names_its_plant(done):
    serving = {site: state["serving"] for site, state in done.status().items()}
    page(done, "north").unlink()
    page(done, "north").mkdir()
    (page(done, "north") / "in the way").touch()
    assert done.run(redo_from="release") == 1
    assert {site: state["serving"] for site, state in done.status().items()} == serving
    with opened_instance(done.home / "dagster") as instance:
        keys = [dg.AssetKey([NAME, name]) for name in ("release", "report")]
        made = [
            instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=["north"]), limit=1).records[0]
            for key in keys
        ]
    assert made[0].timestamp > made[1].timestamp  # released in this run, its page is of the one before
    shutil.rmtree(page(done, "north"))
    assert done.run() == 0
    assert page(done, "north").is_file()

"""A whole line through Dagster, on a toy with three plants: one large, one middling, one of 30 parts."""

import json
from dataclasses import asdict

import polars as pl
import pytest
from deltalake import write_deltalake

from factory.errors import ModelRefused
from factory.monitoring.alerts import Alerts
from factory.names import LINE_SITE, model_name
from factory.orchestration.instance import opened_instance
from factory.pipeline.events import RunFailed
from tests.orchestration.webhook import webhook
from tests.toy.asset_runs import retry_from_failure
from tests.toy.line import NAME, ToyFactory

SITES = ["east", "north", "south"]


@pytest.fixture(scope="module")
def done(first_runs, tmp_path_factory):
    """The toy line, run once for all the tests that only look."""
    return first_runs.copied(tmp_path_factory.mktemp("done"))


def versions(toy):
    """Everything that a run can add to: lake tables, registry versions, releases."""
    tables = [path.parent.relative_to(toy.home / "lake" / NAME).as_posix() for path in toy.home.rglob("_delta_log")]
    return {
        "lake": {table: toy.lake.version(table) for table in sorted(tables)},
        "releases": {site: toy.repository.marker(model_name(NAME, site)) for site in SITES},
        "models": {site: toy.journal.latest("site_model", [site])[site].figures["version"] for site in SITES},
        "since": {site: state["serving"] for site, state in toy.status().items()},
    }


def test_every_raw_row_is_accounted_for_at_every_site(done):
    for site, state in done.status().items():
        rows = state["rows"]
        kept = {table: len(done.lake.scan(table, [site]).collect()) for table in ("raw/parts", "clean", "quarantine")}
        assert rows["raw"] == rows["clean"] + rows["quarantine"] + rows["superseded"] == kept["raw/parts"]
        assert (rows["clean"], rows["quarantine"]) == (kept["clean"], kept["quarantine"])


def test_what_a_site_serves_is_the_very_file_its_verdict_passed(done):
    states = done.status()
    assert any(state["serving"] for state in states.values())
    for site, state in states.items():
        if state["serving"]:
            assert state["verdict"]["passed"]
            released = done.repository.load(model_name(NAME, site), done.store.key().public_key())
            assert released.manifest.digest == state["serving"]["digest"] == state["verdict"]["digest"]
        else:
            assert state["verdict"]["reasons"]


def test_a_plant_too_small_to_fine_tune_keeps_the_base_model_and_the_record_says_so(done):
    entry = done.journal.latest("site_model", ["east"])["east"]
    assert entry.figures["fine_tuned"] is False
    assert "fine-tuning needs 60" in entry.figures["why"]
    assert "scored on 7 rows of 7 days, needs 10 days" in done.status()["east"]["verdict"]["reasons"]


def test_a_released_model_says_what_data_and_code_it_came_from(done):
    manifest = next(filter(None, (done.repository.current(model_name(NAME, site)) for site in SITES)))
    assert manifest.provenance["as_of"] == "2024-03-01"
    assert manifest.provenance["delta_version.features"] == "1"
    assert {"git_commit", "library_version", "delta_version.raw/parts"} <= set(manifest.provenance)


def test_the_verdict_is_in_the_lake_with_every_figure(done):
    rows = done.lake.scan("verdict").collect()
    assert sorted(rows["site"]) == SITES
    assert {"average_precision", "baseline_average_precision", "value_eur"} <= set(json.loads(rows["figures"][0]))


def test_the_verdicts_checks_are_the_same_in_lake_journal_status_and_release(done):
    verdicts = done.lake.scan("verdict").sort("at").collect().rows(named=True)
    rows = {row["site"]: json.loads(row["checks"]) for row in verdicts}
    kept = {site: entry.figures["verdict"]["checks"] for site, entry in done.journal.latest("verdict", SITES).items()}
    assert rows == kept == {site: state["verdict"]["checks"] for site, state in done.status().items()}
    served = [done.repository.current(model_name(NAME, site)) for site in SITES]
    # What serves may have been judged by an earlier verdict, and two sites may serve one file.
    judged = {(row["site"], row["digest"]): json.loads(row["checks"]) for row in verdicts}
    for manifest in filter(None, served):
        assert [asdict(check) for check in manifest.verdict.checks] == judged[manifest.site, manifest.digest]


def test_a_lake_from_before_checks_were_kept_takes_new_verdicts_and_keeps_the_old_ones(first_runs, tmp_path):
    toy = first_runs.copied(tmp_path, sites=["north"], until="2024-02-20")
    before = toy.lake.scan("verdict").collect().drop("checks")
    write_deltalake(toy.lake.uri("verdict"), before, mode="overwrite", schema_mode="overwrite", partition_by=["site"])
    assert "checks" not in toy.lake.scan("verdict").collect_schema()
    assert toy.run(["north"], until="2024-03-01") == 0
    old, new = toy.lake.scan("verdict").sort("at").collect().rows(named=True)
    assert old == {**before.row(0, named=True), "checks": None}
    assert json.loads(new["checks"])


def test_data_docs_show_each_plant(done):
    pages = {page.name: page.read_text() for page in (done.home / "docs").rglob("*.html")}
    assert {"index.html", *(f"parts-{site}.html" for site in SITES)} <= set(pages)
    assert all("force_kn" in pages[f"parts-{site}.html"] for site in SITES)


def test_a_second_run_changes_nothing_at_all(done):
    before = versions(done)
    assert done.run() == 0
    assert versions(done) == before


def test_the_same_inputs_give_the_same_models_in_another_home(done, tmp_path):
    again = ToyFactory(tmp_path)
    assert again.run() == 0
    for stage, sites in [("base_model", [LINE_SITE]), ("site_model", SITES)]:
        here, there = done.journal.latest(stage, sites), again.journal.latest(stage, sites)
        assert {site: here[site].figures["digest"] for site in sites} == {
            site: there[site].figures["digest"] for site in sites
        }


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A home whose first run could not read south's parts."""
    toy = ToyFactory(tmp_path_factory.mktemp("cut"))
    assert toy.run(broken=["south"]) == 1
    return toy


def test_a_plant_whose_source_dies_fails_alone_says_why_and_can_be_run_alone(cut, tmp_path):
    assert "the line to the plant was cut" in cut.outcome.failed["south"]
    assert list(cut.outcome.failed) == ["south"]
    assert "1 failed: south; the others went through" in cut.events_of(RunFailed)[0].text
    toy = cut.copied(tmp_path)
    assert {site for site, of in toy.status().items() if of["verdict"]} == {"east", "north"}
    assert "the line to the plant was cut" in str(toy.status()["south"]["findings"])
    assert toy.lake.scan("raw/parts", ["south"]).collect().is_empty()
    assert toy.run(["south"]) == 0
    assert toy.status()["south"]["rows"]["raw"] == 360


def test_a_retry_from_failure_brings_the_failed_site_through_and_without_doing_so_it_is_red(cut, tmp_path):
    """The orchestrator's button does again the ops that failed and those after them; the daemon's retries do, too."""
    toy, failed = cut.copied(tmp_path), cut.outcome.runs[0].run_id
    told = cut.events_of(RunFailed)[0].text
    assert told.endswith(f"retry this run from failure or: factory run {NAME} --sites south")
    only_the_last = retry_from_failure(toy, ops=[f"{NAME}_line_finish"])
    assert not only_the_last.success
    assert "the line to the plant was cut" in only_the_last.failures["south"]
    still_broken = retry_from_failure(toy, {"broken": ["south"]}, run_id=failed)
    assert not still_broken.success
    assert "data" in {str(entry.step_key).removeprefix(f"{NAME}_line_") for entry in still_broken.log}
    assert "the line to the plant was cut" in still_broken.failures["south"]
    done = retry_from_failure(toy)
    assert done.success, done.failures
    assert set(toy.status()) == {"east", "north", "south"}
    assert toy.status()["south"]["rows"]["raw"] == 360
    assert toy.status()["south"]["verdict"]


def test_rows_that_break_the_contract_wait_in_quarantine_with_the_rule(tmp_path):
    toy = ToyFactory(tmp_path)
    assert toy.run(["north"], spoiled=["north"]) in (0, 1)
    refused = toy.lake.scan("quarantine").collect()
    assert len(refused) == toy.status()["north"]["rows"]["quarantine"] == 5
    assert set(refused["force_kn"]) == {-1.0}
    assert set(refused["rule"]) == {"force_kn: values to be between"}


def test_a_spoiled_release_is_noticed_refused_and_mended(done):
    """Somebody changes a served file: the check says so, and the next run serves the judged file again."""
    site = next(site for site in SITES if done.status()[site]["serving"])
    model = model_name(NAME, site)
    file = next((done.home / "models" / model).glob("*/model.onnx"))
    good = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(good + b"x")
    with pytest.raises(ModelRefused, match="the file was changed"):
        done.repository.load(model, done.store.key().public_key())
    with webhook() as (address, came):
        assert not checked(ToyFactory(done.home, alerts=Alerts(webhook=address)))
    (alert,) = came
    assert (alert["kind"], alert["site"]) == ("release refused", site)
    assert "the file was changed" in alert["text"]
    assert done.run() == 0
    assert checked(done)
    assert done.repository.load(model, done.store.key().public_key()).content == good


def checked(toy):
    """Whether everything that is served has passed, as the check on it says."""
    with opened_instance(toy.home / "dagster") as instance:
        job = toy.definitions().resolve_job_def(f"{NAME}_checks_job")
        checks = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    (check,) = (check for check in checks if check.check_name == "served_models_have_passed")
    return check.passed


def test_later_data_brings_new_rows_and_a_new_judgement(first_runs, tmp_path):
    toy = first_runs.copied(tmp_path, until="2024-02-20")
    before = toy.status()["north"]
    assert toy.run(["east", "south"], until="2024-03-01") == 0  # any list of sites is one run
    assert len(toy.outcome.runs) == 1
    assert toy.run(["north"], until="2024-03-01") == 0
    assert toy.run(until="2024-03-01") == 0  # now each has seen what its neighbours did
    after = toy.status()["north"]
    assert after["rows"]["raw"] > before["rows"]["raw"]
    loads = toy.lake.scan("raw/parts", ["north"]).select(pl.col("_load").unique()).collect()["_load"].to_list()
    assert sorted(loads) == [1, 2]
    done_twice = versions(toy)
    assert toy.run(until="2024-03-01") == 0
    assert versions(toy) == done_twice

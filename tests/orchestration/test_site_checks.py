"""Contract, gates and freshness as the orchestrator's checks: they name the sites they are about, and block nothing."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from factory.evaluation.gates import GATES
from factory.line.freshness import Freshness
from factory.monitoring.findings import FINDINGS, standing
from factory.monitoring.silence import ARRIVALS, Arrivals
from factory.orchestration.instance import opened_instance
from factory.orchestration.site_checks import LineState, site_checks, tell_silence
from tests.toy.line import NAME, ToyFactory, toy_line

GATED = {"at_least": {"positives": 5, "average_precision": 0.97, "value_eur": 0}}
FRESH = Freshness(stale_after_hours=24)
USUAL = {"north": 1, "south": 7}
"""Days without rows that are usual at a site."""


def checks_of(toy, names):
    """The newest evaluation of some checks, by name."""
    with opened_instance(toy.home / "dagster") as instance:
        keys = [key for check in site_checks(toy_line()) if check.name in names for key in [check.spec(toy_line()).key]]
        records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {(key.asset_key.path[-1], key.name): record for key, record in records.items()}


def evaluation(record):
    return record.event.dagster_event.event_specific_data


def why(record):
    """Why each failing site fails, as people read it."""
    told = evaluation(record).metadata.get("sites")
    return {record.data["site"]: record.data["why"] for record in told.records} if told else {}


@pytest.fixture(scope="module")
def run_line(tmp_path_factory):
    """A line run by its own job, with a site whose rows break the contract, and gates that not everybody passes."""
    toy = ToyFactory(tmp_path_factory.mktemp("checked"), gates=GATED, freshness=FRESH)
    assert toy.run(spoiled=["south"]) == 0
    return toy, checks_of(toy, {check.name for check in site_checks(toy_line())})


def test_the_lines_own_job_shows_every_check(run_line):
    _, records = run_line
    names = {(check.asset.rpartition("/")[2], check.name) for check in site_checks(toy_line())}
    assert set(records) == names
    assert {gate.__name__ for gate in GATES} < {name for _, name in records}
    for record in records.values():
        assert evaluation(record).target_materialization_data is not None  # it is about what is there now


def test_a_broken_contract_names_the_site_the_share_and_the_rule(run_line):
    _, records = run_line
    record = records["clean", "contract_kept"]
    assert record.status is AssetCheckExecutionRecordStatus.FAILED
    assert evaluation(record).severity is dg.AssetCheckSeverity.WARN  # some rows, not the whole table
    assert set(why(record)) == {"south"}
    assert "force_kn" in why(record)["south"]
    assert "98" in why(record)["south"] or "99" in why(record)["south"]
    assert records["clean_shifts", "contract_kept"].status is AssetCheckExecutionRecordStatus.SUCCEEDED


def test_a_gates_check_names_exactly_the_sites_that_it_refuses(run_line):
    toy, records = run_line
    verdicts = {site: entry.figures["verdict"] for site, entry in toy.journal.latest("verdict").items()}
    for name in ("enough_rows", "good_enough", "served_as_trained", "better_than_baseline"):
        against = {
            site
            for site, verdict in verdicts.items()
            if any(check["code"] == name and not check["kept"] for check in verdict["checks"])
        }
        assert set(why(records["verdict", name])) == against, name
        assert evaluation(records["verdict", name]).passed == (not against)
    told = {site: [*verdict["reasons"], verdict["figures"]["would_refuse"]] for site, verdict in verdicts.items()}
    refused = {site: "; ".join(filter(None, reasons)) for site, reasons in told.items() if any(reasons)}
    assert refused
    assert why(records["verdict", "gates_passed"]) == refused


def test_freshness_names_the_one_stale_site_beside_those_that_deliver(run_line):
    _, records = run_line
    stale = why(records["parts", "rows_are_fresh"])
    assert set(stale) == {"east"}
    assert "the limit is 24 hours" in stale["east"]


def test_no_check_blocks(run_line):
    _, records = run_line
    assert all(evaluation(record).blocking is not True for record in records.values())


def test_the_checks_job_judges_what_is_there(run_line):
    toy, before = run_line
    with opened_instance(toy.home / "dagster") as instance:
        done = toy.definitions().resolve_job_def(f"{NAME}_checks_job").execute_in_process(instance=instance)
    assert done.success
    after = checks_of(toy, {name for _, name in before})
    for key, record in after.items():
        assert record.run_id == done.run_id, key
        assert (record.status, why(record)) == (before[key].status, why(before[key])), key


def test_without_a_limit_of_its_own_a_line_is_fresh_until_a_site_is_silent_for_longer_than_ever(tmp_path):
    toy = ToyFactory(tmp_path)
    newest, day = datetime(2024, 2, 29, 12), timedelta(days=1)
    arrivals = {site: Arrivals(newest=newest, usual=days * day, is_known=True) for site, days in USUAL.items()}
    figures = {site: {ARRIVALS: one.to_dict()} for site, one in arrivals.items()}
    toy.journal.record("raw/parts", figures, dict.fromkeys(figures, ""), run="run", seconds=0)
    (check,) = (check for check in site_checks(toy_line()) if check.name == "rows_are_fresh")

    def state_at(until):
        return LineState(line=toy_line(), journal=toy.journal, lake=toy.lake, sites=list(USUAL), until=until)

    def against(until):
        return check.judge(state_at(until)).against

    assert against(newest + day) == {}
    assert list(against(newest + 2 * day)) == ["north"]
    assert (
        "no row came since 2024-02-29 12:00 UTC, for longer than ever before (24 hours)"
        in (against(newest + 2 * day)["north"])
    )
    assert sorted(against(newest + 8 * day)) == ["north", "south"]

    class Told:
        texts: ClassVar[list[str]] = []

        def tell(self, kind, text, **facts):
            self.texts.append(f"{kind} {text}")
            return True

    for days in (1, 2, 3, 8):  # no run between them, for a silent site starts none
        tell_silence(state_at(newest + days * day), Told(), "check")
    assert [text.split(":")[0] for text in Told.texts] == ["data north", "data south"]
    assert standing(toy.journal.latest(FINDINGS)["north"].figures)[0].startswith("table parts: no row came since")


def test_materializations_have_columns_checks_and_links(run_line):
    toy, _ = run_line
    with opened_instance(toy.home / "dagster") as instance:
        told = {
            name: instance.get_latest_materialization_event(dg.AssetKey([NAME, *name.split("/")]))
            for name in ("raw/parts", "clean", "features", "site_model", "verdict", "release", "report")
        }
    for name, entry in told.items():
        metadata = entry.asset_materialization.metadata
        assert metadata["page"].value.endswith(".html"), name
        if name != "report":
            columns = [column.name for column in metadata["dagster/column_schema"].schema.columns]
            assert "force_kn" in columns or name == "verdict", name
    site_model = told["site_model"].asset_materialization.metadata
    assert site_model["registry"].url.startswith("http")
    rows = told["verdict"].asset_materialization.metadata["checks"].records
    assert {row.data["code"] for row in rows} >= {"enough_rows", "good_enough"}


def test_what_the_orchestrator_has_lost_is_told_again_by_the_next_run(run_line):
    """A run that did the work may have died before it said so; the journal knows, and a green run tells."""
    toy, _ = run_line
    key = dg.AssetKey([NAME, "features"])
    with opened_instance(toy.home / "dagster") as instance:
        instance.wipe_assets([key])
        assert instance.get_materialized_partitions(key) == set()
    assert toy.run(spoiled=["south"]) == 0
    assert toy.outcome.changed["features"] == 0
    with opened_instance(toy.home / "dagster") as instance:
        assert instance.get_materialized_partitions(key) == {"east", "north", "south"}


def test_freshness_is_judged_by_the_hour_though_nothing_runs(tmp_path):
    """A site that has fallen silent starts no run."""
    toy, at = ToyFactory(tmp_path, freshness=FRESH), datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        ticks, cursor = [], None
        for minutes in (0, 1, 40, 41):
            tick = dg.evaluate_automation_conditions(
                toy.definitions(), instance, evaluation_time=at + timedelta(minutes=minutes), cursor=cursor
            )
            cursor = tick.cursor
            ticks.append(tick.total_requested)
    assert ticks == [0, 0, 1, 0]

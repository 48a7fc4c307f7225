"""What sites do with what they serve, on the toy line: predictions, outcomes, drift, and nothing twice."""

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest

from factory.monitoring.alerts import Alerts
from factory.monitoring.outcomes import LOGGED_OUTCOMES
from factory.names import model_name
from factory.storage.lake import Lake
from factory.storage.lake_store import LakeStore
from tests.monitoring.recorded import batch, segment
from tests.orchestration.webhook import webhook
from tests.toy.line import NAME, ToyFactory, toy_line

MADE, LATER = "2024-02-10", "2024-03-01"
SERVING = ["north", "south"]


@pytest.fixture(scope="module")
def made(first_runs, tmp_path_factory):
    """A home whose models were made as of 10 February."""
    return first_runs.copied(tmp_path_factory.mktemp("made"), until=MADE)


@pytest.fixture(scope="module")
def operated(made, tmp_path_factory):
    """Such a home, whose decisions went on until March."""
    toy = made.copied(tmp_path_factory.mktemp("operated"))
    assert toy.operate(until=LATER) == 0
    return toy


def table(toy, name, site="north"):
    return toy.lake.scan(name, [site]).collect()


def acting_eur(label):
    """Return what an alarm is worth above none: here the best constant decision is to raise it always."""
    value = toy_line().value
    return value.gain_eur if label else value.false_alarm_eur


def versions(toy):
    return {name: toy.lake.version(name) for name in ("predictions", "outcomes", "references", "journal")}


def test_each_row_decided_since_it_is_served_is_predicted_once_by_what_serves(operated):
    for site in SERVING:
        decided = table(operated, "features", site).filter(pl.col("decided_at").dt.strftime("%Y-%m-%d") >= MADE)
        made = table(operated, "predictions", site)
        assert sorted(made["part"]) == sorted(decided["part"])
        served = operated.repository.current(model_name(NAME, site))
        assert set(made["digest"]) == {served.digest}
        assert made["predicted_probability"].is_between(0, 1).all()


def test_an_outcome_says_what_the_decision_was_worth(operated):
    for row in table(operated, "outcomes").iter_rows(named=True):
        alarm = row["predicted_probability"] >= row["threshold"]
        assert row["value_eur"] == (0 if alarm else -acting_eur(row["label"]))


def test_a_site_that_serves_nothing_predicts_nothing(operated):
    assert operated.repository.marker(model_name(NAME, "east")) is None
    assert table(operated, "predictions", "east").is_empty()


def test_doing_it_again_changes_nothing(operated):
    before = versions(operated)
    assert operated.operate(until=LATER) == 0
    assert versions(operated) == before


def test_what_the_gateway_told_about_known_rows_has_outcomes_too_and_they_change_nothing_else(operated, tmp_path):
    toy = operated.copied(tmp_path)
    before, rows = versions(toy), table(toy, "outcomes").head(3)
    subjects = [json.dumps({"part": row["part"], "decided_at": f"{row['decided_at']}"}) for row in rows.to_dicts()]
    answers = [[0.0], [1.0], [1.0]]
    told = {"line": NAME, "site": "north", "digest": rows["digest"][0], "rows": [3], "answers": answers}
    segment(toy.home / "predictions", "1.log", batch("x", subjects=subjects, **told))
    assert toy.operate(until=LATER) == 0
    found = table(toy, LOGGED_OUTCOMES).sort("row")
    assert found["part"].to_list() == rows["part"].to_list()
    assert found["label"].to_list() == rows["label"].to_list()
    assert found["value_eur"].to_list() == [-acting_eur(found["label"][0]), 0, 0]
    assert {name: version for name, version in versions(toy).items() if name != "journal"} == {
        name: version for name, version in before.items() if name != "journal"
    }
    again = toy.lake.version(LOGGED_OUTCOMES)
    assert toy.operate(until=LATER) == 0
    assert toy.lake.version(LOGGED_OUTCOMES) == again


def test_what_was_decided_before_a_new_release_was_decided_by_the_old_one(made, tmp_path):
    toy = made.copied(tmp_path, gates={"against_champion": _any_champion()})
    old = toy.repository.current(model_name(NAME, "north")).digest
    assert toy.run(until=LATER) == 0
    new = toy.repository.current(model_name(NAME, "north")).digest
    assert new != old
    assert set(table(toy, "predictions")["digest"]) == {old}


def _any_champion():
    return dataclasses.replace(toy_line().gates.against_champion, min_probability=0.0, min_absolute_change=-1.0)


def test_a_label_that_is_corrected_corrects_the_outcome(operated, tmp_path):
    toy = operated.copied(tmp_path)
    before = table(toy, "outcomes")
    assert before["label"].sum() > 0
    assert toy.run(until=LATER, redo_from="raw", sound=["north"]) == 0
    after = table(toy, "outcomes")
    assert len(after) == len(before)
    assert after["label"].sum() == 0


def test_a_plant_that_runs_hot_is_told_of_once_with_a_picture_and_waits_for_an_answer(made, tmp_path):
    with webhook() as (address, came):
        toy = made.copied(tmp_path, alerts=Alerts(webhook=address))
        assert toy.operate(until=LATER, hot=["north"]) == 0
        assert toy.operate(until=LATER, hot=["north"]) == 0
    (alert,) = came
    assert (alert["kind"], alert["line"], alert["site"]) == ("drift", NAME, "north")
    assert "heat_c is distributed otherwise" in alert["text"]
    entry = toy.journal.latest("drift", ["north"])["north"]
    assert entry.figures["alert"]["acts"] is True
    assert entry.figures["judged_until"] == "2024-02-26T00:00:00"
    (row,) = table(toy, "alerts").iter_rows(named=True)
    assert row["picture"].startswith("<svg")
    moved = table(toy, "drift").filter(pl.col("moved"))
    assert set(moved["feature"]) >= {"heat_c"}
    assert toy.journal.latest("drift", ["south"])["south"].figures["alert"] is None


def test_decisions_that_earn_less_than_the_verdict_promised_are_told_of_as_performance(made, tmp_path):
    toy = made.copied(tmp_path)
    assert toy.operate(["north"], until=LATER, unsound=["north"]) == 0
    alert = toy.journal.latest("drift", ["north"])["north"].figures["alert"]
    assert alert["cause"] == "performance"
    assert "a decision is worth" in alert["text"]


def test_a_dry_run_tells_and_asks_for_nothing(made, tmp_path):
    toy = made.copied(tmp_path, drift={"mode": "dry_run"})
    assert toy.operate(until=LATER, hot=["north"]) == 0
    assert toy.journal.latest("drift", ["north"])["north"].figures["alert"]["acts"] is False


@pytest.mark.slow
def test_a_release_that_is_spoiled_stops_predictions_of_its_site_alone_and_not_its_training(made, tmp_path):
    toy = made.copied(tmp_path)
    (file,) = (toy.home / "models" / f"{NAME}.north").rglob("model.onnx")
    file.write_bytes(b"spoiled")
    assert toy.operate(until=LATER) == 1
    assert len(table(toy, "predictions", "south"))
    assert toy.run(until=LATER) == 0  # whose next release mends it
    assert toy.journal.latest("site_model", ["north"])["north"].figures["as_of"] == LATER


def test_weeks_in_which_nothing_was_decided_are_judged_and_tell_nothing(first_runs, tmp_path):
    toy = first_runs.copied(tmp_path)
    assert toy.operate(until="2024-03-25") == 0
    assert toy.journal.latest("drift", ["north"])["north"].figures["alert"] is None


class BusyLake(Lake):
    """Has another run add north's predictions just after this one looked at which there are."""

    def has(self, table):
        found = super().has(table)
        if table == "predictions" and not found:
            root = Path(self.root).parent
            rows = pl.read_parquet(root / "of_another_run.parquet")
            Lake(root, self.line).append(table, rows, {"north": 0})
        return found


class BusyStore(LakeStore):
    """Gives such lakes."""

    def of(self, line):
        return BusyLake(self.url, line)


def test_of_two_runs_at_once_no_decision_is_predicted_twice(made, operated, tmp_path):
    busy = made.copied(tmp_path, lake=BusyStore(url=str(tmp_path / "lake")))
    table(operated, "predictions").write_parquet(tmp_path / "lake" / "of_another_run.parquet")
    assert busy.operate(until=LATER) == 1
    toy = ToyFactory(tmp_path)
    assert toy.operate(until=LATER) == 0
    for site in SERVING:
        assert table(toy, "predictions", site).sort("part").equals(table(operated, "predictions", site).sort("part"))

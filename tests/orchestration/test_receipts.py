"""The stage `receipts`: a line's decisions go into a business's own table, once, and come back as receipts."""

import dataclasses
import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import datetime

import pytest

from factory.compute.engine import Compute
from factory.connectors.outbox.store import OutboxStore
from factory.line.sinks import Guard, SinkSection
from factory.monitoring.alerts import Alerts
from factory.monitoring.findings import FINDINGS, standing
from factory.monitoring.prediction_log.rows import PREDICTION_LOG, served_rows
from factory.pipeline.fingerprints import LineCode
from factory.pipeline.line_run import LineRun
from factory.pipeline.receipts import Deliveries
from factory.release.history import History
from factory.release.store import ModelStore
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from tests.monitoring.recorded import batch
from tests.toy.line import NAME, toy_line

MADE, LATER, LATEST = "2024-02-10", "2024-02-20", "2024-03-01"
SITES = ["north", "south"]


def section(file, **changed):
    said = {
        "to": f"sqlite:///{file}::decisions",
        "deliver": "all",
        "key": "message_key",
        "fields": {"site": "site", "chance": "predicted_probability", "decided": "decided_at"},
        "constants": {"status": "new"},
        "guard": Guard(max_messages=100_000),
        "expires_after_days": 400.0,
    }
    return SinkSection(**{**said, **changed})


@pytest.fixture(scope="module")
def made(first_runs, tmp_path_factory):
    return first_runs.copied(tmp_path_factory.mktemp("made"), until=MADE)


@pytest.fixture(scope="module")
def decided(made, tmp_path_factory):
    """A home whose sites have decided for ten days, and sent nothing."""
    toy = made.copied(tmp_path_factory.mktemp("decided"))
    assert toy.operate(SITES, until=LATER) == 0
    return toy


@pytest.fixture
def run(decided, tmp_path):
    """What runs the stage alone on a copy of that home, for a line with a sink."""
    home = tmp_path / "home"
    for folder in ("lake", "models", "keys", "history"):
        shutil.copytree(decided.home / folder, home / folder, symlinks=True)
    return StageRun(home)


class StageRun:
    """Runs the stage `receipts` without an orchestrator."""

    def __init__(self, home):
        self.home, self.lake, self.said = home, Lake(home / "lake", NAME), []
        self.journal = Journal(self.lake)
        self.outbox = OutboxStore(root=home / "outbox", models=home / "models")

    def __call__(self, sink, sites=("north", "south"), until=LATER):
        """Deliver, and return each site's figures."""
        line = dataclasses.replace(toy_line(), sinks={"orders": sink})
        line_run = LineRun(
            **dict.fromkeys(("source", "contracts", "registry", "docs", "reports")),
            line=line,
            code=LineCode(line),
            lake=self.lake,
            journal=self.journal,
            compute=Compute(engine="cpu"),
            store=ModelStore(root=self.home / "models", key_folder=self.home / "keys"),
            alerts=Alerts(),
            prediction_log=self.home / "log",
            outbox=self.outbox,
            scratch=self.home / "work",
            project=self.home,
            run_id="run",
            until=datetime.fromisoformat(until),
            redo_from="",
            say=self.said.append,
            warn=self.said.append,
        )
        done = Deliveries(line_run, within_s=5).deliver(sites)
        assert done.failed == {}
        return done.done

    def predictions(self, *sites):
        return self.lake.scan("predictions", list(sites or SITES)).collect()

    def findings(self, site="north"):
        found = self.journal.latest(FINDINGS, [site])
        return standing({"receipts": found[site].figures.get("receipts", {})}) if site in found else []


@pytest.fixture
def shop(tmp_path):
    """The business's database."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "CREATE TABLE decisions (message_key TEXT PRIMARY KEY, site TEXT, chance REAL, decided TIMESTAMP, "
            "status TEXT CHECK (status <> 'bad'))"
        )
    return file


def rows(shop):
    with closing(sqlite3.connect(shop)) as database:
        return database.execute("SELECT message_key, site, chance, decided, status FROM decisions").fetchall()


def sold(made, home, shop, **changed):
    """Return the line with a sink."""
    return made.copied(home, changed={"sinks": {"orders": section(shop, **changed)}})


def test_decisions_arrive_once_and_come_back_as_receipts_on_the_sites_record(made, tmp_path, shop):
    toy = sold(made, tmp_path / "home", shop)
    assert toy.operate(SITES, until=LATER) == 0
    predictions = toy.lake.scan("predictions", SITES).collect()
    assert Counter(row[1] for row in rows(shop)) == Counter(predictions["site"].to_list())
    receipts = toy.lake.scan("receipts", SITES).collect()
    assert set(receipts["message"]) == {row[0] for row in rows(shop)}
    assert set(receipts["state"]) == {"accepted"}
    (event,) = [one for one in History(toy.home / "history").read(f"{NAME}.north").records() if one.kind == "delivery"]
    served = predictions.filter(predictions["site"] == "north")
    assert (event.actor, event.release, event.digest) == ("factory", served["release"][0], served["digest"][0])
    assert event.reason.startswith(f"orders: {len(served)} accepted")

    before = rows(shop)
    assert toy.operate(SITES, until=LATER) == 0
    assert rows(shop) == before
    assert len(toy.lake.scan("receipts", SITES).collect()) == len(receipts)
    assert toy.operate(SITES, until=LATEST) == 0
    assert len(rows(shop)) == len(toy.lake.scan("predictions", SITES).collect()) > len(before)


def test_only_decisions_that_are_acted_on_are_delivered_unless_the_file_says_all(run, shop):
    run(section(shop, deliver="acted_on"))
    predictions = run.predictions()
    acted = predictions.filter(predictions["predicted_probability"] >= predictions["threshold"])
    assert 0 < len(rows(shop)) == len(acted)


def test_old_decisions_are_not_delivered(run, shop):
    run(section(shop, expires_after_days=3))
    decided = sorted(row[3] for row in rows(shop))
    assert decided
    assert decided[0] >= "2024-02-17"


def test_a_run_that_would_send_too_much_waits_for_a_person(run, shop):
    figures = run(section(shop, guard=Guard(max_messages=3)))
    assert (rows(shop), figures["north"]["held"]) == ([], len(run.predictions("north")))
    assert "more than max_messages, 3" in run.findings()[0]
    assert run.outbox.of(NAME).let_go("orders", "north") == figures["north"]["held"]
    run(section(shop, guard=Guard(max_messages=3)))
    assert {row[1] for row in rows(shop)} == {"north"}


def test_a_model_that_alarms_about_too_many_waits_for_a_person(run, shop):
    figures = run(section(shop, deliver="acted_on", guard=Guard(max_share=0.01)))
    assert (rows(shop), figures["north"]["held"] > 0) == ([], True)
    assert "new decisions are acted on" in run.findings()[0]


def test_a_system_that_is_away_is_a_finding_and_its_decisions_go_when_it_is_back(run, shop):
    away = shop.rename(shop.with_name("away.db"))
    assert run(section(shop))["north"]["waiting"] > 0
    assert "no table 'decisions'" in run.findings()[0]
    shop.unlink()
    away.rename(shop)
    run(section(shop))
    assert (len(rows(shop)), run.findings()) == (len(run.predictions()), [])


def test_one_sites_dead_letters_are_its_finding_and_the_others_decisions_arrive(run, shop):
    with closing(sqlite3.connect(shop)) as database, database:
        database.execute(
            "CREATE TRIGGER no BEFORE INSERT ON decisions WHEN NEW.site = 'north' "
            "BEGIN SELECT RAISE(ABORT, 'north is on strike'); END"
        )
    run(section(shop))
    assert {row[1] for row in rows(shop)} == {"south"}
    assert "north is on strike" in run.findings("north")[0]
    assert run.findings("south") == []
    receipts = run.lake.scan("receipts", SITES).collect()
    assert set(receipts.select("site", "state").unique().rows()) == {("north", "refused"), ("south", "accepted")}


def test_a_run_that_dies_before_the_outbox_knows_records_a_receipt_once(run, shop):
    run(section(shop))
    before = run.lake.scan("receipts", SITES).collect()
    run.outbox.of(NAME)._opened().execute("UPDATE messages SET recorded = ''")
    run(section(shop))
    assert len(run.lake.scan("receipts", SITES).collect()) == len(before)
    records = History(run.home / "history").read(f"{NAME}.north").records()
    assert len([one for one in records if one.kind == "delivery"]) == 1


def test_other_sites_than_the_file_says_send_nothing(run, shop):
    run(section(shop, sites=("south",)))
    assert {row[1] for row in rows(shop)} == {"south"}


def test_a_dry_run_writes_what_it_would_have_sent_and_sends_nothing(run, shop):
    run(section(shop, dry_run=True))
    assert rows(shop) == []
    files = list((run.home / "outbox" / "dry_run" / NAME / "orders").iterdir())
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert len(lines) == len(run.predictions())
    assert '"status": "new"' in lines[0]
    run(section(shop))  # what was tried dry is sent when it is meant
    assert len(rows(shop)) == len(lines)


def test_where_nothing_may_be_sent_every_sink_is_tried_dry(run, shop):
    run.outbox = dataclasses.replace(run.outbox, sends=False)
    run(section(shop))
    assert rows(shop) == []
    assert list((run.home / "outbox" / "dry_run" / NAME / "orders").iterdir())


def test_what_the_gateway_told_goes_too_and_the_same_decision_by_either_way_once(run, shop):
    some = run.predictions("north").head(3)
    subjects = [json.dumps({"part": row["part"], "decided_at": f"{row['decided_at']}"}) for row in some.to_dicts()]
    digest = some["digest"][0]
    told = batch(
        "x",
        **{"line": NAME, "site": "north", "version": some["version"][0], "digest": digest, "rows": [3]},
        **{"answers": [[0.9]] * 3, "subjects": subjects},
    )
    logged = served_rows([told], ("probability",), {("north", digest): toy_line().signature})
    run.lake.append(PREDICTION_LOG, logged, {"north": 0})
    run(section(shop, of=("prediction_log",)))
    assert [round(row[2], 3) for row in rows(shop)] == [0.9] * 3
    run(section(shop, of=("predictions", "prediction_log")))
    assert len(rows(shop)) == len(run.predictions())

"""`factory deliveries` as a person types it: what waits, what would be sent, sent now, again, let go, taken back."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli.app import app
from factory.connectors.outbox.store import OutboxStore
from factory.errors import LineError
from factory.release.history import History
from factory.storage.home import Home
from tests.connectors.outbox.receiver import message
from tests.connectors.tables import postgres

TOY = Path(__file__).parents[1] / "toy" / "press_faults" / "defs.yaml"
SINKS = """
  sinks:
    orders:
      to: sqlite:///shop.db::decisions
      key: message_key
      fields: {chance: predicted_probability}
      withdrawn: {status: withdrawn}
"""
BY = ("--by", "lena", "--reason", "it was mended")


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """What types a command in a project whose line has a sink, with a business's database beside it."""
    folder = tmp_path / "lines" / "press_faults"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(TOY.read_text() + SINKS)
    (tmp_path / "definitions.py").touch()
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db")) as database, database:
        database.execute(
            "CREATE TABLE decisions (message_key TEXT PRIMARY KEY, chance REAL CHECK (chance < 0.9), status TEXT)"
        )

    def run(*words):
        home = ("--home", str(tmp_path / "home"))
        done = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["deliveries", *words, *home], catch_exceptions=False)
        return done.exit_code, done.output

    return run


@pytest.fixture
def outbox(tmp_path):
    return OutboxStore(root=tmp_path / "home" / "outbox", models=tmp_path / "home" / "models").of("press_faults")


def rows():
    with closing(sqlite3.connect("shop.db")) as database:
        return database.execute("SELECT message_key, chance, status FROM decisions").fetchall()


def records(tmp_path):
    return [
        (one.actor, one.reason) for one in History(tmp_path / "home" / "history").read("press_faults.ulm").records()
    ]


def test_before_a_first_run_nothing_is_there_and_what_to_do_is_said(typed):
    code, said = typed("status", "press_faults")
    assert (code, "factory operate press_faults" in said) == (0, True)


def test_a_plan_says_what_would_be_sent_and_sends_nothing(typed, outbox):
    outbox.put([message(1), message(2)])
    code, said = typed("plan", "press_faults")
    assert (code, rows()) == (0, [])
    assert "2 upsert new" in said
    assert "chance = 0.75" in said


def test_a_mapping_that_does_not_fit_is_told_and_nothing_is_sent(typed, outbox):
    with closing(sqlite3.connect("shop.db")) as database, database:
        database.execute("ALTER TABLE decisions RENAME COLUMN chance TO probability")
    outbox.put([message(1)])
    code, said = typed("plan", "press_faults")
    assert (code, "no column 'chance'" in said) == (1, True)
    with pytest.raises(LineError, match="no column 'chance'"):
        typed("deliver", "press_faults")


def test_what_waits_is_sent_shown_and_taken_back(typed, outbox, tmp_path):
    outbox.put([message(1), message(2)])
    assert typed("deliver", "press_faults")[1].strip() == "orders: 2 accepted"
    assert len(rows()) == 2
    standing = json.loads(typed("status", "press_faults", "ulm", "--json")[1])["standing"]
    assert [(one["state"], one["count"]) for one in standing] == [("accepted", 2)]
    _, said = typed("withdraw", "press_faults", "ulm", "--sink", "orders", "--release", "1", *BY)
    assert "2 withdrawals wait" in said
    typed("deliver", "press_faults")
    assert {status for _, _, status in rows()} == {"withdrawn"}
    assert records(tmp_path) == [("lena", "orders: 2 decisions withdrawn, 0 not sent: it was mended")]


def test_dead_letters_are_shown_with_the_systems_words_and_replayed(typed, outbox, tmp_path):
    outbox.put([message(1)])
    with closing(sqlite3.connect("shop.db")) as database, database:
        database.execute("CREATE TRIGGER no BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'stock-taking'); END")
    assert typed("deliver", "press_faults") == (1, "orders: 1 refused\n")
    assert "stock-taking" in typed("status", "press_faults")[1]
    with closing(sqlite3.connect("shop.db")) as database, database:
        database.execute("DROP TRIGGER no")
    typed("replay", "press_faults", *BY)
    typed("deliver", "press_faults")
    assert len(rows()) == 1
    assert records(tmp_path) == [("lena", "orders: 1 refused messages wait again: it was mended")]


def test_what_the_guard_holds_goes_when_a_person_says_so(typed, outbox, tmp_path):
    outbox.put([message(1)], held="900 new messages are more than max_messages, 500")
    assert "more than max_messages" in typed("status", "press_faults")[1]
    typed("deliver", "press_faults")
    assert rows() == []
    typed("let-go", "press_faults", "ulm", "--sink", "orders", *BY)
    typed("deliver", "press_faults")
    assert len(rows()) == 1
    assert records(tmp_path) == [("lena", "orders: 1 held messages were let go: it was mended")]


def test_figures_are_told_as_prometheus_reads_them(typed, outbox):
    outbox.put([message(1), message(2)])
    _, said = typed("metrics")
    labels = 'line="press_faults",site="ulm",sink="orders"'
    assert f'factory_outbox_messages{{{labels},state="waiting"}} 2' in said
    assert f"factory_outbox_oldest_seconds{{{labels}}} 0" in said


def test_a_sink_that_the_line_has_not_is_told_by_those_it_has(typed):
    with pytest.raises(LineError, match="no sink 'order'; it has orders"):
        typed("status", "press_faults", "--sink", "order")


@postgres.needs_postgres
def test_the_commands_go_to_the_outbox_that_machines_share(typed, tmp_path, monkeypatch):
    with postgres.running() as port:
        monkeypatch.setenv("FACTORY_OUTBOX_URL", f"postgresql://boss:{postgres.PASSWORD}@127.0.0.1:{port}/postgres")
        with closing(OutboxStore.at(Home.at(tmp_path / "home"), os.environ).of("press_faults")) as shared:
            shared.put([message(1)])
            assert 'line="press_faults",site="ulm",sink="orders",state="waiting"} 1' in typed("metrics")[1]
            assert typed("deliver", "press_faults")[0] == 0
            assert [kept.state for kept in shared.find()] == ["accepted"]
    assert len(rows()) == 1
    assert not list((tmp_path / "home").glob("outbox/*.sqlite"))

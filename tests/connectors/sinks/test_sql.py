"""Decisions into tables of real databases: each row once, bad ones alone refused, a wrong mapping told beforehand."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from factory.connectors.sinks.kinds import sink_of
from factory.connectors.sinks.message import Message
from factory.errors import LineError, ServiceUnreachable
from tests.connectors.sinks.targets import NoJob, filled, target
from tests.connectors.tables import mariadb, postgres

FIELDS = {"order_no": "order", "chance": "predicted_probability", "decided": "decided_at", "acts": "acts"}
SECTION: dict[str, Any] = {
    "key": "message_key",
    "fields": FIELDS,
    "constants": {"status": "new"},
    "withdrawn": {"status": "withdrawn"},
}
TABLE = """CREATE TABLE decisions (message_key VARCHAR(32) PRIMARY KEY, order_no INTEGER NOT NULL,
chance {double} NOT NULL CHECK (chance <= 1), decided {moment}, acts BOOLEAN, status VARCHAR(20) DEFAULT 'new')"""


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres.running() as port:
        yield f"postgresql://boss:{postgres.PASSWORD}@127.0.0.1:{port}/postgres"


@pytest.fixture(scope="module")
def mariadb_url() -> Iterator[str]:
    with mariadb.running() as port:
        yield f"mysql://boss:{mariadb.PASSWORD}@127.0.0.1:{port}/shop"


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=postgres.needs_postgres),
        pytest.param("mariadb", marks=mariadb.needs_mariadb),
    ]
)
def sink(request: pytest.FixtureRequest, tmp_path) -> Iterator[Any]:
    kind = request.param
    url = f"sqlite:///{tmp_path}/shop.db" if kind == "sqlite" else request.getfixturevalue(f"{kind}_url")
    types = {"double": "DOUBLE PRECISION", "moment": "TIMESTAMPTZ" if kind == "postgres" else "DATETIME"}
    made = sink_of(target(url, "decisions", **SECTION))
    with made._engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS decisions"))
        connection.execute(sa.text(TABLE.format(**types)))
    yield made
    made._engine.dispose()


def rows(sink: Any) -> list[dict]:
    with sink._engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(sink._table).order_by("order_no"))]


def states(results: Any) -> list[str]:
    return [result.state for result in results]


def test_a_decision_is_one_row_however_often_it_is_sent(sink):
    messages = [filled(sink, number) for number in range(5)]
    assert states(sink.deliver(messages, NoJob())) == ["accepted"] * 5
    assert states(sink.deliver(messages[2:], NoJob())) == ["accepted"] * 3
    assert len(rows(sink)) == 5
    row = rows(sink)[0]
    decided = row["decided"].replace(tzinfo=row["decided"].tzinfo or UTC)
    assert decided == datetime(2026, 3, 1, 6, tzinfo=UTC)
    assert (row["message_key"], row["chance"], bool(row["acts"]), row["status"]) == (messages[0].key, 0.75, True, "new")


def test_what_people_did_with_a_row_stays_when_it_is_sent_again(sink):
    message = filled(sink, 1)
    list(sink.deliver([message], NoJob()))
    with sink._engine.begin() as connection:
        connection.execute(sa.text("UPDATE decisions SET status = 'closed'"))
    assert states(sink.deliver([message], NoJob())) == ["accepted"]
    assert rows(sink)[0]["status"] == "closed"


def test_rows_that_the_table_refuses_wait_alone_with_its_words(sink):
    messages = [filled(sink, number, predicted_probability=2.0 if number in (3, 7) else 0.5) for number in range(10)]
    results = {result.message.identity["order"]: result for result in sink.deliver(messages, NoJob())}
    assert {number for number, result in results.items() if result.state == "refused"} == {3, 7}
    assert "chance" in results[3].reply.lower() or "constraint" in results[3].reply.lower()
    assert len(rows(sink)) == 8


def test_the_table_tells_what_it_has(sink):
    here, away = filled(sink, 1), filled(sink, 2)
    list(sink.deliver([here], NoJob()))
    assert sink.present([here, away]) == {here.id: here.key}


def test_a_decision_taken_back_is_marked_as_the_file_says(sink):
    list(sink.deliver([filled(sink, 1), filled(sink, 2)], NoJob()))
    assert states(sink.deliver([filled(sink, 2, action="withdraw")], NoJob())) == ["accepted"]
    assert [row["status"] for row in rows(sink)] == ["new", "withdrawn"]


CURRENT: dict[str, Any] = {
    **SECTION,
    "fields": {**FIELDS, "released": "release"},
    "options": {"current_by": ["order_no"]},
}


@pytest.fixture
def current(sink):
    """A sink whose table has one row for each order."""
    moment = {"postgresql": "TIMESTAMPTZ", "mysql": "DATETIME(6)", "sqlite": "DATETIME"}[sink._engine.dialect.name]
    with sink._engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE decisions"))
        connection.execute(
            sa.text(
                "CREATE TABLE decisions (order_no INTEGER PRIMARY KEY, message_key VARCHAR(32), chance DOUBLE "
                f"PRECISION, decided {moment}, acts BOOLEAN, status VARCHAR(20), released INTEGER)"
            )
        )
    made = sink_of(target(sink.target.address, "decisions", **CURRENT))
    yield made
    made.close()


def about(sink: Any, day: int, release: int = 1, order: int = 5) -> Message:
    """Return a decision about an order, whose chance says which it is."""
    moment = f"2026-03-{day:02}T06:00:00.25Z"
    made = filled(sink, order, decided_at=moment, release=release, predicted_probability=day + release / 10)
    return replace(
        made,
        key=f"{order:04}{day:04}{release:024}",
        fields={**made.fields, "message_key": f"{order:04}{day:04}{release:024}"},
    )


@pytest.mark.parametrize("together", [True, False])
def test_a_things_row_is_its_newest_decision_in_whatever_order_they_come_and_however_often(current, together):
    assert current.check() == []
    chance = random.Random(7)  # noqa: S311
    decisions = [about(current, day, release, order) for order in (5, 6) for day in (3, 4, 5) for release in (1, 2)]
    for _ in range(4):
        some = [*decisions, *chance.sample(decisions, 5)]
        chance.shuffle(some)
        for part in [some] if together else [[one] for one in some]:
            assert set(states(current.deliver(part, NoJob()))) == {"accepted"}
        assert [(row["order_no"], float(row["chance"])) for row in rows(current)] == [(5, 5.2), (6, 5.2)]
        with current._engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM decisions WHERE order_no = 5"))


def test_an_older_decision_neither_overwrites_nor_takes_back_what_people_see(current):
    older, newer = about(current, 3), about(current, 4)
    list(current.deliver([newer], NoJob()))
    with current._engine.begin() as connection:
        connection.execute(sa.text("UPDATE decisions SET status = 'closed'"))
    for again in (older, newer):
        assert states(current.deliver([again], NoJob())) == ["accepted"]
    taken_back = {"action": "withdraw", "fields": {"status": "withdrawn"}}
    list(current.deliver([replace(older, **taken_back)], NoJob()))
    assert [(float(row["chance"]), row["status"]) for row in rows(current)] == [(4.1, "closed")]
    list(current.deliver([replace(newer, **taken_back)], NoJob()))
    assert rows(current)[0]["status"] == "withdrawn"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"options": {"current_by": ["acts"]}}, "no unique index on 'acts'"),
        ({"options": {"current_by": ["acts"]}}, "'acts' of current_by may be empty"),
        ({"fields": {"order_no": "order", "status": "decided_at"}, "constants": {}}, "must be a moment"),
    ],
)
def test_a_mapping_that_could_mix_up_newest_and_older_is_told(current, change, sentence):
    other = sink_of(target(current.target.address, "decisions", **{**CURRENT, **change}))
    misfits = other.check()
    other.close()
    assert any(sentence in text for text in misfits), misfits


def test_newest_by_what_no_message_fills_is_refused():
    with pytest.raises(LineError, match="no message fills 'machine'"):
        sink_of(target("sqlite:///x.db", "decisions", **{**CURRENT, "options": {"current_by": ["machine"]}}))
    with pytest.raises(LineError, match="which column takes `decided_at`"):
        sink_of(target("sqlite:///x.db", "decisions", **{**CURRENT, "fields": {"order_no": "order"}}))


def test_a_mapping_that_fits_is_found_to_fit(sink):
    assert sink.check() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fields": {**FIELDS, "prio": "order"}}, "no column 'prio'"),
        ({"fields": {"order_no": "order"}}, "'chance' must have a value"),
        ({"fields": {**FIELDS, "order_no": "predicted_probability"}}, "'order_no' is INTEGER"),
        ({"fields": {**FIELDS, "decided": "line"}}, "'decided' is"),
        ({"key": "status", "constants": {}}, "no unique index"),
        ({"withdrawn": {"state": "x"}}, "no column 'state'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told_by_a_sentence(sink, change, sentence):
    other = sink_of(target(str(sink.target.address), "decisions", **{**SECTION, **change}))
    found = other.check()
    other._engine.dispose()
    assert any(sentence in text for text in found), found


def test_a_table_that_is_not_there_is_told_and_loses_nothing(sink):
    other = sink_of(target(sink.target.address, "nowhere", **SECTION))
    with pytest.raises(LineError, match="nowhere"):
        other.check()
    other._engine.dispose()


def test_a_database_that_is_away_is_busy_and_shows_no_password():
    away = sink_of(target("postgresql://boss:horse-battery@127.0.0.1:9/x", "decisions", **SECTION))
    (result, *_) = away.deliver([filled(away, 1)], NoJob())
    assert result.state == "busy"
    assert "horse-battery" not in result.reply
    with pytest.raises(ServiceUnreachable, match="env:SINK_URL"):
        away.check()


def test_a_sink_of_a_table_asks_for_table_and_key():
    with pytest.raises(LineError, match="name the table"):
        sink_of(target("sqlite:///x.db", key="k"))
    with pytest.raises(LineError, match="unique index"):
        sink_of(target("sqlite:///x.db", "decisions"))
    with pytest.raises(LineError, match="options"):
        sink_of(target("sqlite:///x.db", "decisions", key="k", options={"speed": 9}))

"""Messages of a broker as rows of a line: in the lake before the broker may forget them, and none lost or doubled."""

import gc
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from factory.connectors.mqtt import inbox
from factory.connectors.tables import TableSource
from factory.data.ingest import ingest
from factory.data.raw_rows import standing_raw_rows, stored_raw_rows
from factory.errors import SourceError
from factory.line.changes import Changes
from factory.line.line import Table
from factory.line.schema_changes import SchemaChanges
from factory.storage.columns import UNPARSED
from factory.storage.lake import Lake
from tests.connectors.https import certificates
from tests.connectors.mqtt.broker import PASSWORD, USER, needs_broker, running

pytestmark = needs_broker
UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
TABLE = Table(
    name="telemetry",
    columns={
        "id": "Int64",
        "plant": "String",
        "at": "Datetime(time_unit='us', time_zone='UTC')",
        "bar": "Float64",
        "topic": "String",
        "received_at": "Datetime(time_unit='us', time_zone='UTC')",
    },
    key=("id",),
    cursor="at",
    site_column="plant",
    contract=(),
    repair=lambda rows: rows,
    schema_changes=SchemaChanges(new="ignore"),
    changes=Changes(known_by="change_log", column="received_at"),
)


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    with running(folder) as one:
        yield one


class Unheard:
    """A source whose word to the broker is lost, as where a process dies right after the commit."""

    def __init__(self, source):
        self.sites, self.read, self.read_sites = source.sites, source.read, source.read_sites


class Line:
    """A line's loads from one topic, each in a process of its own as far as the broker can tell."""

    def __init__(self, broker, folder, **said):
        self.lake, self.seen, self.until = Lake(folder, "toy"), {}, UNTIL
        self.at = {"at": f"{broker.address}::plant/+/telemetry", "query": {"quiet_s": "0.2"}, **said}
        self.restart()

    def restart(self):
        """Go on as another process: the session before it is left as it is."""
        for one in inbox._inboxes.values():
            one.close()
        inbox._inboxes.clear()
        self.source = TableSource({"telemetry": self.at})

    def load(self, sites=("Ulm", "Bonn"), *, commit=True, until=None):
        self.until += timedelta(microseconds=1)  # each run looks at another moment
        until = until or self.until
        source = self.source if commit else Unheard(self.source)
        loaded = ingest(self.lake, source, TABLE, list(sites), until, seen=self.seen)
        self.failed = loaded.failed
        return sum(rows.new_rows for rows in loaded.done.values())

    def ids(self):
        rows = standing_raw_rows(self.lake, TABLE).collect()
        return sorted(rows["id"].drop_nulls().to_list())


@pytest.fixture
def line(broker, tmp_path):
    one = Line(broker, tmp_path / "lake")
    assert one.source.sites(TABLE, UNTIL) == []  # the broker keeps the session's messages from here on
    yield one
    one.restart()


def reading(number, plant="Ulm", **others):
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=others.pop("second", number))
    record = {"id": number, "plant": plant, "at": at.isoformat(), "bar": 1.5, **others}
    return f"plant/{plant}/telemetry", json.dumps(record).encode()


def test_messages_come_in_once_and_more_the_next_time(broker, line):
    broker.publish(*(reading(n, "Ulm" if n % 2 else "Bonn") for n in range(20)))
    assert sorted(line.source.sites(TABLE, UNTIL + timedelta(1))) == ["Bonn", "Ulm"]
    assert line.load() == 20
    assert line.load() == 0
    line.restart()
    assert line.load() == 0
    broker.publish(*(reading(n) for n in range(20, 25)))
    assert line.load() == 5
    assert line.ids() == list(range(25))


def test_what_came_while_nobody_was_connected_is_there(broker, line):
    line.restart()
    broker.publish(*(reading(n) for n in range(5)))
    assert line.load(["Ulm"]) == 5


def test_what_was_not_acknowledged_comes_again_and_its_key_makes_one_row_of_both(broker, line):
    broker.publish(*(reading(n) for n in range(5)))
    assert line.load(["Ulm"], commit=False) == 5  # it died before the broker was told
    line.restart()
    line.load(["Ulm"])
    assert line.ids() == list(range(5))
    line.restart()
    assert line.load(["Ulm"]) == 0


def test_a_broker_that_stops_keeps_what_is_not_in_the_lake(broker, line):
    broker.publish(*(reading(n) for n in range(5)))
    assert line.load(["Ulm"], commit=False) == 5
    broker.stop()
    line.load(["Ulm"])
    assert re.search("cannot be reached|was lost", str(line.failed["Ulm"]))
    broker.start()
    broker.publish(*(reading(n) for n in range(5, 8)))
    line.load(["Ulm"])
    assert line.ids() == list(range(8))


def test_another_process_takes_the_session_over_and_its_messages_with_it(broker, line):
    broker.publish(*(reading(n) for n in range(5)))
    assert line.source.sites(TABLE, UNTIL + timedelta(1)) == ["Ulm"]
    (looked,) = inbox._inboxes.values()
    inbox._inboxes.clear()  # as in a process of its own
    assert line.load(["Ulm"]) == 5
    assert looked.held(range(100)) == []
    looked.close()


def test_a_late_message_and_one_of_a_site_that_did_not_run_are_not_lost(broker, line):
    broker.publish(*(reading(n) for n in range(10, 20)))
    line.load(["Ulm"])
    broker.publish(reading(1), reading(2, "Bonn"), reading(3))
    assert line.load(["Ulm"]) == 2
    line.restart()
    assert line.load() == 1
    assert line.ids() == [1, 2, 3, *range(10, 20)]


def test_a_message_from_the_future_waits_at_the_broker(broker, line):
    broker.publish(reading(1), reading(2, second=3 * 86_400))
    assert line.load(["Ulm"]) == 1
    line.restart()
    assert line.load(["Ulm"], until=UNTIL + timedelta(days=5)) == 1


def test_a_list_is_many_rows_and_is_told_of_when_all_of_them_are_in(broker, line):
    rows = [json.loads(reading(n, "Ulm" if n < 3 else "Bonn")[1]) for n in range(5)]
    broker.publish(("plant/all/telemetry", json.dumps(rows).encode()))
    assert line.load(["Ulm"]) == 3
    line.restart()
    line.load()
    assert line.ids() == list(range(5))
    line.restart()
    assert line.load() == 0


def test_numbers_keep_their_digits_and_garbage_waits_by_itself(broker, line):
    exact = b'{"id": 9007199254740993, "plant": "Ulm", "at": "2026-03-01T00:00:00Z", "bar": 0.10, "other": [1, 2.50]}'
    garbage = [b"", b"not json", b'{"id": 1', b"\xff\xfe", b'"text"', b"[]", b'{"id": 1, "id": 2}', b"[1]"]
    broker.publish(("plant/a/telemetry", exact), *(("plant/a/telemetry", one) for one in garbage))
    assert line.load(["Ulm", "unknown"]) == 9
    assert line.ids() == [9007199254740993]
    raw = stored_raw_rows(line.lake, TABLE).collect()
    assert sorted(raw[UNPARSED].drop_nulls()) == sorted(one.decode(errors="backslashreplace") for one in garbage)
    assert raw["topic"].unique().to_list() == ["plant/a/telemetry"]


def test_a_table_that_would_lose_late_messages_is_refused(broker, line):
    with pytest.raises(SourceError, match="received_at"):
        line.source.sites(replace(TABLE, changes=Changes(known_by="append")), UNTIL + timedelta(1))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket
def test_over_tls_with_a_user_and_no_other(broker, tmp_path, monkeypatch):
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    monkeypatch.setenv("WRONG", "wrong-password")
    authority = str(certificates().authority)
    said = {"kind": "basic", "user": USER, "password": "env:BROKER_PASSWORD", "certificate_authority": authority}
    place = f"mqtts://127.0.0.1:{broker.tls_port}::plant/+/telemetry"
    line = Line(broker, tmp_path / "lake", at=place, access=said)
    assert line.source.sites(TABLE, UNTIL) == []
    broker.publish(reading(1))
    assert line.load(["Ulm"]) == 1
    for wrong, words in (
        ({"password": "env:WRONG"}, "does not let us in"),
        ({"certificate_authority": ""}, "CERTIFICATE"),
    ):
        said_no = refusal(Line(broker, tmp_path / "lake", at=place, access={**said, **wrong}))
        assert words in said_no
        assert "wrong-password" not in said_no
    line.restart()
    gc.collect()


def refusal(line):
    with pytest.raises(SourceError) as error:
        line.source.sites(TABLE, UNTIL)
    return str(error.value)

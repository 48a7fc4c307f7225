"""Decisions become entities of an OData service: each once, whatever is lost, refused or slow."""

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.connectors.odata.sink import ODataOptions, ODataSink, odata_sink
from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.connectors.sinks.kinds import Target, sink_of
from factory.connectors.sinks.message import Message, message_key
from factory.connectors.web.access import NoAccess
from factory.connectors.web.session import Patience, Service
from factory.errors import LineError
from factory.line.sinks import SinkSection
from tests.connectors.https import Answer, certificates, serving
from tests.connectors.odata_v2_server import ROOT, Entities, Field, V2Service
from tests.connectors.odata_v4_server import v4_service

AUTHORITY = str(certificates().authority)
FIELDS = {
    "Notification": Field("Edm.String", {"MaxLength": "12"}, {"creatable": "false", "updatable": "false"}),
    "ExternalReference": Field("Edm.String", {"MaxLength": "32"}, {"updatable": "false"}),
    "NotifType": Field("Edm.String", {"MaxLength": "2"}),
    "Equipment": Field("Edm.String", {"MaxLength": "18"}),
    "Description": Field("Edm.String", {"MaxLength": "40"}),
    "RequiredStart": Field("Edm.DateTimeOffset", {"Precision": "0"}),
    "Probability": Field("Edm.Decimal", {"Precision": "5", "Scale": "4"}),
    "Hours": Field("Edm.Int64"),
    "Urgent": Field("Edm.Boolean"),
    "Status": Field("Edm.String", {"MaxLength": "10"}),
}
SECTION = SinkSection(
    to="odata+https://sap::Notifications",
    key="ExternalReference",
    fields={
        "Equipment": "machine",
        "RequiredStart": "decided_at",
        "Probability": "predicted_probability",
        "Hours": "hours",
    },
    constants={"NotifType": "M1", "Urgent": True},
    withdrawn={"Status": "CANCELLED"},
)


def sap(**more):
    return V2Service(
        {"Notifications": Entities(FIELDS, ("Notification",), numbered="Notification")}, client="100", **more
    )


def message(number, **content):
    key = message_key("machines", "notifications", "ulm", [number])
    identity = {"site": "ulm", "machine": f"M-{number}", "decided_at": "2026-03-01T06:00:00Z", "release": 1}
    values = {"predicted_probability": 0.87654, "hours": 9007199254740993, **content}
    return Message(key=key, sink="notifications", site="ulm", identity=identity, content=values)


def mapped(one):
    return replace(one, fields=SECTION.fields_of(one.record, one.key))


class NoJob:
    def keep(self, text, messages):
        raise AssertionError("an OData sink has no job")


@contextmanager
def sink(service, section=SECTION, path=ROOT, name="Notifications", **options):
    """The sink of a service that runs, and the service's host."""
    with serving(service) as host:

        def connected():
            patience = Patience(tries=2, read_s=1.0)
            access = NoAccess(certificate_authority=AUTHORITY)
            return Service(f"{host.address}{path}", access, patience=patience, sleep=lambda _: None)

        said = ODataOptions(**{"query": {"sap-client": "100"}, **options})
        columns = {"machine": "text", "hours": "anything", "decided_at": "moment", "acts": "truth"}
        yield ODataSink("line machines: sinks: notifications", name, section, said, connected, columns), host


def delivered(one, messages):
    return {result.message.key: result for result in one.deliver([mapped(message) for message in messages], NoJob())}


def rows(service):
    return service.sets["Notifications"].rows


@pytest.mark.parametrize("batch", [True, False])
def test_a_decision_becomes_a_notification_with_its_values_and_its_number_is_the_receipt(batch):
    service = sap()
    with sink(service, batch=batch) as (one, _):
        results = delivered(one, [message(1), message(2)])
    assert [(result.state, result.reference) for result in results.values()] == [
        ("accepted", "000010000001"),
        ("accepted", "000010000002"),
    ]
    first, _ = rows(service)
    assert first == {
        "Notification": "000010000001",
        "ExternalReference": message(1).key,
        "NotifType": "M1",
        "Equipment": "M-1",
        "Description": None,
        "RequiredStart": datetime(2026, 3, 1, 6, tzinfo=UTC),
        "Probability": Decimal("0.8765"),
        "Hours": 9007199254740993,
        "Urgent": True,
        "Status": None,
    }


@pytest.mark.parametrize("batch", [True, False])
def test_the_same_decision_sent_again_changes_nothing_and_one_with_other_values_is_changed(batch):
    service = sap()
    with sink(service, batch=batch) as (one, host):
        delivered(one, [message(1), message(2)])
        before = len([asked for asked in host.asked if asked.method != "GET"])
        assert {result.state for result in delivered(one, [message(1)]).values()} == {"accepted"}
        assert len([asked for asked in host.asked if asked.method != "GET"]) == before
        (result,) = delivered(one, [message(2, hours=5)]).values()
    assert (result.state, result.reference) == ("accepted", "000010000002")
    assert [row["Hours"] for row in rows(service)] == [9007199254740993, 5]


def test_a_message_that_does_not_fit_is_refused_alone_with_the_reason():
    service = sap()
    with sink(service) as (one, _):
        ones = [message(1), message(2, hours="many"), message(3, predicted_probability=17.0), message(4)]
        ones[0] = replace(ones[0], identity={**ones[0].identity, "machine": "M" * 19})
        results = delivered(one, ones)
    assert [(result.state, result.reply) for result in (results[one.key] for one in ones[:3])] == [
        ("refused", f"Equipment takes 18 characters, and {'M' * 19!r} has 19"),
        ("refused", "Hours takes Edm.Int64, and 'many' is none"),
        ("refused", "Probability takes 5 digits, 4 behind the point: 17.0 has more"),
    ]
    assert [row["Equipment"] for row in rows(service)] == ["M-4"]


def test_what_the_service_refuses_is_refused_with_its_words_and_the_others_are_done():
    service = sap()
    fields = dict(FIELDS)
    service.sets["Notifications"].fields = fields
    with sink(service) as (one, _):
        assert one.check() == []  # the metadata is known from here on
        fields["Equipment"] = Field("Edm.String", {"MaxLength": "3"})
        results = delivered(one, [message(1), message(10), message(2)])
    assert [result.state for result in results.values()] == ["accepted", "accepted", "refused"]
    assert results[message(10).key].reply == "400: Property Equipment: value is too long"


def test_a_token_that_expired_is_renewed_and_the_change_done_once():
    service = sap()
    with sink(service) as (one, host):
        delivered(one, [message(1)])
        service.expire_sessions()
        assert {result.state for result in delivered(one, [message(2)]).values()} == {"accepted"}
        fetched = [asked for asked in host.asked if asked.headers.get("x-csrf-token") == "Fetch"]
    assert len(fetched) == 2
    assert len(rows(service)) == 2


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer(429, headers={"Retry-After": "30"}), "busy"),
        (Answer(503), "busy"),
        (Answer(401), "busy"),
        (Answer(500), "unknown"),
        (Answer(drop=True), "unknown"),
        (Answer(200, b"<html>"), "unknown"),
        (Answer(202, b"--x\r\n", {"Content-Type": "multipart/mixed; boundary=x"}), "unknown"),
    ],
)
def test_a_batch_that_was_not_done_is_told_apart_from_one_that_may_have_been(answer, state):
    service = sap(before=lambda asked: answer if asked.path.endswith("$batch") else None)
    with sink(service) as (one, _):
        results = list(one.deliver([mapped(message(1)), mapped(message(2))], NoJob()))
    assert {result.state for result in results} == {state}
    assert not rows(service)
    if answer.status == 429:
        assert results[0].retry_after_s == 30


def test_a_service_that_is_away_is_busy_for_nothing_was_sent():
    service = sap(before=lambda asked: Answer(503))
    with sink(service) as (one, _):
        (result,) = one.deliver([mapped(message(1))], NoJob())
    assert result.state == "busy"


def test_what_is_there_is_found_by_its_key_and_a_withdrawal_when_its_fields_are_set():
    service = sap()
    with sink(service) as (one, _):
        delivered(one, [message(number) for number in range(45)])
        withdrawal = replace(message(3), action="withdraw")
        assert one.present([message(3), message(99), withdrawal]) == {message(3).key: rows(service)[3]["Notification"]}
        (result,) = one.deliver([replace(withdrawal, fields=SECTION.withdrawn)], NoJob())
        assert result.state == "accepted"
        assert one.present([withdrawal]) == {withdrawal.id: rows(service)[3]["Notification"]}
        assert one.present([message(number) for number in range(45)]).keys() == {
            message(number).key for number in range(45)
        }
        (missing,) = one.deliver([replace(message(77), action="withdraw", fields=SECTION.withdrawn)], NoJob())
    assert rows(service)[3]["Status"] == "CANCELLED"
    assert (missing.state, "to withdraw" in missing.reply) == ("refused", True)


def test_an_entity_that_was_changed_meanwhile_is_read_again():
    service = sap()
    with sink(service) as (one, _):
        delivered(one, [message(1)])
        entities = service.sets["Notifications"]

        def before(asked):
            if asked.path.endswith("$batch"):
                entities.versions[entities.key_of(entities.rows[0])] = 7

        service.before = before
        (first,) = one.deliver([mapped(message(1, hours=5))], NoJob())
        service.before = lambda _: None
        (second,) = one.deliver([mapped(message(1, hours=5))], NoJob())
    assert (first.state, second.state) == ("busy", "accepted")
    assert rows(service)[0]["Hours"] == 5


def test_a_mapping_that_fits_is_told_by_silence_and_one_that_does_not_thing_by_thing():
    wrong = SinkSection(
        to="odata+https://sap::Notifications",
        key="Equipment",
        fields={"Equipmnt": "machine", "Notification": "decided_at", "RequiredStart": "acts"},
        constants={"NotifType": "M1X", "Hours": "many", "Urgent": True},
        withdrawn={"ExternalReference": "x", "Nothing": 1},
    )
    with sink(sap()) as (one, _):
        assert one.check() == []
    with sink(sap(), wrong) as (one, _):
        sentences = "\n".join(one.check())
    for words in (
        "fields: Notifications has no property 'Equipmnt'; is it 'Equipment'?",
        "fields: Notification cannot be given a value when an entity is created",
        "key: Equipment is Edm.String of 18 characters; the message's key is a text of 32 characters",
        "constants: NotifType takes 2 characters, and 'M1X' has 3",
        "constants: Hours takes Edm.Int64, and 'many' is none",
        "fields: RequiredStart is Edm.DateTimeOffset, and 'acts' is a truth",
        "withdrawn: ExternalReference cannot be changed",
        "withdrawn: Notifications has no property 'Nothing'",
    ):
        assert words in sentences
    with sink(sap(), name="Notification") as (one, _):
        assert "no entity set 'Notification'; is it 'Notifications'?" in one.check()[0]


V4_KINDS = {
    "ID": {"type": "Edm.Int32", "nullable": False},
    "ExternalReference": {"type": "Edm.String", "max_length": 32},
    "Equipment": {"type": "Edm.String", "max_length": 18},
    "Probability": {"type": "Edm.Decimal", "precision": 5, "scale": 4},
    "DecidedAt": {"type": "Edm.DateTimeOffset", "precision": 3},
    "Status": {"type": "Edm.String"},
}


@pytest.mark.parametrize("batch", [True, False])
def test_a_service_of_v4_takes_them_as_well(batch):
    section = SinkSection(
        to="odata+https://host::Orders",
        key="ExternalReference",
        fields={
            "ID": "hours",
            "Equipment": "machine",
            "Probability": "predicted_probability",
            "DecidedAt": "decided_at",
        },
        withdrawn={"Status": "CANCELLED"},
    )
    service = v4_service("Orders", V4_KINDS, ["ID"], [])
    ones = [message(1, hours=1), message(2, hours=2), message(3, hours="x")]
    with sink(service, section, path="/odata", name="Orders", query={}, batch=batch) as (one, _):
        assert one.check() == []
        fill = [replace(message, fields=section.fields_of(message.record, message.key)) for message in ones]
        results = {result.message.key: result for result in one.deliver(fill, NoJob())}
        assert [results[message.key].state for message in ones] == ["accepted", "accepted", "refused"]
        assert results[ones[1].key].reference == "2"
        withdrawal = replace(ones[1], action="withdraw", fields=section.withdrawn)
        assert one.present([ones[0], withdrawal]) == {ones[0].key: "1"}
        assert [result.state for result in one.deliver([withdrawal], NoJob())] == ["accepted"]
        assert one.present([ones[0], withdrawal]) == {ones[0].key: "1", withdrawal.id: "2"}


class Clock:
    """Time that passes only when somebody sleeps."""

    now = 1_000_000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


FATES = st.sampled_from(["done", "done", "lost", "drop", "busy", "fails", "expired", "slow"])


@given(number=st.integers(1, 12), fates=st.lists(FATES, max_size=8), batch=st.booleans(), size=st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_whatever_is_lost_refused_or_late_each_decision_is_there_once(number, fates, batch, size):
    service, waiting, clock = sap(), list(fates), Clock()
    lost, late = [], []

    def before(asked):
        for due, change in [one for one in late if one[0] <= clock()]:
            late.remove((due, change))
            service._answered(change)
        if asked.method == "GET" or not waiting:
            return None
        fate = waiting.pop(0)
        if fate == "slow":  # it is done long after we gave up
            late.append((clock() + 60, asked))
            return Answer(drop=True)
        lost[:] = [fate] if fate == "lost" else []
        if fate == "expired":
            service.expire_sessions()
        return {"drop": Answer(drop=True), "busy": Answer(429), "fails": Answer(500)}.get(fate)

    def after(asked):
        if lost and asked.method != "GET":
            lost.clear()
            raise ConnectionError

    service.before, service.after = before, after
    with TemporaryDirectory() as folder, sink(service, batch=batch, batch_size=size) as (one, _):
        outbox = SqliteOutbox(Path(folder) / "toy.sqlite", clock)
        outbox.put(message(each) for each in range(number))
        sending = Delivery(
            outbox=outbox,
            sink=one,
            name="notifications",
            fields_of=SECTION.fields_of,
            clock=clock,
            sleep=clock.sleep,
            spread=lambda: 0.0,
        )
        counts = sending.run(["ulm"], within_s=3600)
        states = Counter(kept.state for kept in outbox.find(limit=100))
        outbox.close()
    assert states == Counter(accepted=number)
    assert counts["ulm"]["accepted"] == number
    assert sorted(row["ExternalReference"] for row in rows(service)) == sorted(
        message(each).key for each in range(number)
    )


def target(section):
    address, _, thing = section.to.rpartition("::")
    return Target(
        line="machines",
        name="notifications",
        address=address or thing,
        thing=thing if address else "",
        section=section,
        project=Path(),
    )


def test_a_lines_file_names_the_sink_by_its_place(tmp_path):
    place = "odata+https://host/sap/opu/odata/sap/API_X::Notifications"
    access = {"kind": "basic", "user": "me", "password": "env:SAP_PASSWORD"}
    section = SinkSection(to=place, key="ExternalReference", access=access, options={"query": {"sap-client": "100"}})
    assert isinstance(sink_of(target(section)), ODataSink)
    for wrong, words in (
        ({"key": ""}, "key: say the property"),
        ({"to": "odata+https://host/service"}, "to: say the entity set"),
        ({"access": {"kind": "basic", "user": "me", "password": "word"}}, "password is a secret"),
        ({"options": {"batches": 3}}, "options: batches"),
    ):
        with pytest.raises(LineError, match=words):
            odata_sink(target(replace(section, **wrong)))


def test_json_of_numbers_is_exact():
    service = sap()
    with sink(service, batch=False) as (one, host):
        delivered(one, [message(1, predicted_probability=0.1)])
        (asked,) = [asked for asked in host.asked if asked.method == "POST"]
    assert json.loads(asked.body)["Probability"] == "0.1"
    assert json.loads(asked.body)["Hours"] == "9007199254740993"

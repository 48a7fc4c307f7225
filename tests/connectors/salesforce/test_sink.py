"""Decisions written into Salesforce through the outbox: each makes one record once, or is visibly waiting."""

import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import pytest

from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.connectors.salesforce.jobs import Looks
from factory.connectors.salesforce.sink import SalesforceOptions, SalesforceSink
from factory.connectors.sinks.kinds import sink_of as sink_of_target
from factory.connectors.web.access import OAuth
from factory.connectors.web.session import Patience
from factory.errors import LineError
from factory.line.sinks import SinkSection
from tests.connectors.outbox.receiver import message
from tests.connectors.salesforce.org import of_field
from tests.connectors.sinks.targets import target

SECTION = SinkSection(
    to="env:SALESFORCE::Alert__c",
    key="Key__c",
    fields={"Order__c": "order", "Risk__c": "predicted_probability"},
    constants={"Status__c": "New"},
    withdrawn={"Status__c": "Withdrawn", "Risk__c": 0.0},
)
CALLS, JOB = 10**6, 1


class Clock:
    """Time that passes only when somebody sleeps."""

    now = 1_000_000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def alerts(salesforce):
    """The object that takes decisions; its records."""
    choices = [{"value": name, "active": True} for name in ("New", "Withdrawn")]
    fields = [
        of_field("Key__c", "string", externalId=True, idLookup=True, length=40),
        of_field("Order__c", "double"),
        of_field("Risk__c", "percent"),
        of_field("Status__c", "picklist", restrictedPicklist=True, picklistValues=choices),
        of_field("Note__c", "string", length=20),
    ]
    return salesforce.org.add_object("Alert__c", fields)


def sink_of(salesforce, access, *, job_above=CALLS, section=SECTION, looks=None, wait_s=300.0, tries=1):
    return SalesforceSink(
        salesforce.address,
        "Alert__c",
        section,
        access=access,
        options=SalesforceOptions(job_above=job_above, wait_s=wait_s),
        looks=looks or Looks(sleep=lambda s: None),
        patience=Patience(tries=tries, read_s=5),
        sleep=lambda s: None,
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(tmp_path, clock):
    box = SqliteOutbox(tmp_path / "toy.sqlite", clock)
    yield box
    box.close()


def run(outbox, sink, clock, within_s=60.0, section=SECTION):
    delivery = Delivery(
        outbox=outbox,
        sink=sink,
        name="orders",
        fields_of=section.fields_of,
        withdrawn=section.withdrawn,
        clock=clock,
        sleep=clock.sleep,
        spread=lambda: 0.0,
    )
    return delivery.run(["ulm"], within_s=within_s)["ulm"]


def states(outbox):
    return Counter(kept.state for kept in outbox.find(limit=100_000))


@pytest.mark.parametrize("job_above", [CALLS, JOB])
@pytest.mark.parametrize("number", [1, 3, 210])
def test_each_decision_makes_one_record_and_its_receipt_is_the_records_id(
    salesforce, access, alerts, outbox, clock, number, job_above
):
    outbox.put(message(n) for n in range(number))
    assert run(outbox, sink_of(salesforce, access, job_above=job_above), clock) == Counter(accepted=number)
    assert len(alerts.records) == number
    by_key = {record["Key__c"]: record for record in alerts.records}
    for kept in outbox.find(limit=1000):
        record = by_key[kept.message.key]
        assert kept.reference == record["Id"]
        assert (float(record["Risk__c"]), record["Status__c"]) == (0.75, "New")


@pytest.mark.parametrize("job_above", [CALLS, JOB])
def test_a_refused_record_is_kept_with_the_reply_and_the_others_go_through(
    salesforce, access, alerts, outbox, clock, job_above
):
    alerts.fields["Order__c"] |= {"type": "string", "length": 1}
    outbox.put(message(n) for n in range(12))
    assert run(outbox, sink_of(salesforce, access, job_above=job_above), clock) == Counter(accepted=10, refused=2)
    assert {kept.message.identity["order"] for kept in outbox.find(states=["refused"])} == {10, 11}
    assert "STRING_TOO_LONG" in outbox.find(states=["refused"])[0].reply


DOORS = [(1, CALLS), (210, CALLS), (210, JOB)]
KINDS = ["expired", "busy", "before", "limit", "html"]


@pytest.mark.parametrize("skip", range(5))
@pytest.mark.parametrize(("number", "job_above"), DOORS)
def test_whatever_answer_is_lost_each_decision_is_written_once(
    salesforce, access, alerts, outbox, clock, number, job_above, skip
):
    """Not once is a record written a second time, by which the company's own automation would run again."""
    written_once(salesforce, access, outbox, clock, number, job_above, ("after", skip))


@pytest.mark.slow
@pytest.mark.parametrize("trouble", list(product(KINDS, range(5))))
@pytest.mark.parametrize(("number", "job_above"), DOORS)
def test_whatever_call_fails_each_decision_is_written_once(
    salesforce, access, alerts, outbox, clock, number, job_above, trouble
):
    written_once(salesforce, access, outbox, clock, number, job_above, trouble)


def written_once(salesforce, access, outbox, clock, number, job_above, trouble):
    written = count_writes(salesforce)
    outbox.put(message(n) for n in range(number))
    salesforce.trouble("/services/data", trouble[0], skip=trouble[1], retry_after="20", status=503)
    sink = sink_of(salesforce, access, job_above=job_above)
    for _ in range(4):
        run(outbox, sink, clock)
        clock.sleep(2000)
    assert states(outbox) == Counter(accepted=number)
    assert len(salesforce.org.objects["Alert__c"].records) == number
    assert set(written.values()) == {1}


def count_writes(salesforce):
    """Count how often each key is written from now on."""
    written, upsert = Counter(), salesforce.org.upsert

    def counted(name, key, value, values):
        told = upsert(name, key, value, values)
        written[value] += 1
        return told

    salesforce.org.upsert = counted
    return written


def test_a_job_that_takes_long_is_asked_the_next_time_and_sent_once(salesforce, access, alerts, outbox, clock):
    salesforce.looks_until_done = 8
    seconds = iter(range(0, 100_000, 100))
    looks = Looks(sleep=lambda s: None, clock=lambda: next(seconds))
    sink = sink_of(salesforce, access, job_above=JOB, looks=looks, wait_s=250)
    outbox.put(message(n) for n in range(5))
    assert run(outbox, sink, clock, within_s=0.5)["unknown"] == 5
    assert "InProgress" in outbox.find()[0].reply
    for _ in range(6):
        clock.sleep(1000)
        run(outbox, sink, clock)
    assert states(outbox) == Counter(accepted=5)
    assert salesforce.count("POST .*/jobs/ingest") == 1


def test_records_that_a_failed_job_did_not_get_to_are_sent_again(salesforce, access, alerts, outbox, clock):
    written = count_writes(salesforce)
    salesforce.job_ends = "Failed"
    outbox.put(message(n) for n in range(8))
    sink = sink_of(salesforce, access, job_above=JOB)
    assert run(outbox, sink, clock, within_s=0.5)["accepted"] == 4
    assert states(outbox) == Counter(accepted=4, waiting=4)
    salesforce.job_ends = "JobComplete"
    clock.sleep(100)
    run(outbox, sink, clock)
    assert states(outbox) == Counter(accepted=8)
    assert set(written.values()) == {1}


@pytest.mark.parametrize("number", [1, 5])
def test_a_withdrawal_sets_what_the_line_says(salesforce, access, alerts, outbox, clock, number):
    outbox.put(message(n) for n in range(number))
    sink = sink_of(salesforce, access)
    run(outbox, sink, clock)
    outbox.withdraw("orders", "ulm", 1)
    salesforce.trouble("PATCH", "after")
    for _ in range(3):
        clock.sleep(100)
        run(outbox, sink, clock)
    assert {(record["Status__c"], float(record["Risk__c"])) for record in alerts.records} == {("Withdrawn", 0.0)}
    assert len(alerts.records) == number


@pytest.mark.parametrize("key", [None, {"type": "double"}, {"filterable": False}])
def test_a_key_that_cannot_be_asked_for_leaves_what_is_unknown_so(salesforce, access, alerts, outbox, clock, key):
    outbox.put([message(1)])
    salesforce.trouble("PATCH", "after")
    run(outbox, sink_of(salesforce, access), clock, within_s=0.1)
    if key is None:
        del alerts.fields["Key__c"]
    else:
        alerts.fields["Key__c"] |= key
    clock.sleep(100)
    run(outbox, sink_of(salesforce, access), clock, within_s=0.1)
    (kept,) = outbox.find()
    assert kept.state == "unknown"
    assert "cannot be asked for Key__c" in kept.reply


def test_a_value_that_a_job_would_take_for_none_goes_by_calls(salesforce, access, alerts, outbox, clock):
    section = SinkSection(
        to="env:S::Alert__c", key="Key__c", fields={"Order__c": "order"}, constants={"Note__c": "#N/A"}
    )
    outbox.put(message(n) for n in range(3))
    sink = sink_of(salesforce, access, job_above=JOB, section=section)
    run(outbox, sink, clock, section=section)
    assert {record["Note__c"] for record in alerts.records} == {"#N/A"}


def test_a_mapping_that_fits_is_told_so_and_what_does_not_is_named(salesforce, access, alerts):
    assert sink_of(salesforce, access).check() == []
    alerts.fields["Order__c"]["updateable"] = False
    alerts.fields["Key__c"] |= {"externalId": False, "idLookup": False, "length": 20}
    alerts.fields["Owner__c"] = of_field("Owner__c", "reference", nillable=False)
    section = SinkSection(
        to="env:S::Alert__c",
        key="Key__c",
        fields={"Order__c": "order", "risk": "predicted_probability"},
        constants={"Status__c": "Newish", "Note__c": "x" * 21},
        withdrawn={"Risk__c": "none"},
    )
    told = "\n".join(sink_of(salesforce, access, section=section).check())
    for words in (
        "Key__c is no external id",
        "Key__c must be a text of 32 characters or more; it is a string of 20",
        "Order__c cannot be written",
        "no field 'risk'; is it Risk__c?",
        "Status__c does not take 'Newish': it takes New, Withdrawn",
        "Note__c does not take",
        "Risk__c does not take 'none': it takes numbers",
        "Owner__c is required and filled by nothing",
    ):
        assert words in told


KILLED = """
import sys, time
from pathlib import Path
from tests.connectors.salesforce.test_sink import deliver_elsewhere
deliver_elsewhere(*sys.argv[1:])
"""


def deliver_elsewhere(address, authority, box, job_above):
    """Deliver in this process, as the one that is killed does."""
    access = OAuth(
        token_url=f"{address}/services/oauth2/token",
        client_id="env:SF_CLIENT",
        client_secret="env:SF_SECRET",
        certificate_authority=authority,
    )

    class There:
        """Where a Salesforce is that runs in another process."""

    There.address = address
    outbox = SqliteOutbox(Path(box))
    sink = sink_of(There, access, job_above=int(job_above))
    Delivery(
        outbox=outbox, sink=sink, name="orders", fields_of=SECTION.fields_of, withdrawn=SECTION.withdrawn, lease_s=0.3
    ).run(["ulm"], within_s=5)
    outbox.close()


def test_a_process_that_is_killed_leaves_nothing_lost_and_nothing_doubled(salesforce, access, alerts, tmp_path):
    killed(salesforce, alerts, tmp_path, 2, JOB)


@pytest.mark.slow
@pytest.mark.parametrize("job_above", [CALLS, JOB])
def test_fifty_kills_leave_nothing_lost_and_nothing_doubled(salesforce, access, alerts, tmp_path, job_above):
    killed(salesforce, alerts, tmp_path, 50, job_above)


def killed(salesforce, alerts, tmp_path, kills, job_above):
    """Kill a process at every other moment of its calls, and let the last one end."""
    written, calls = count_writes(salesforce), salesforce.calls
    box = SqliteOutbox(tmp_path / "killed.sqlite")
    sent = 0
    for kill in range(kills + 1):
        box.put(message(n) for n in range(sent, sent + 210))
        sent += 210
        before = len(calls)
        command = [
            sys.executable,
            "-c",
            KILLED,
            salesforce.address,
            str(salesforce.authority),
            str(box.file),
            str(job_above),
        ]
        with subprocess.Popen(command) as process:
            while kill < kills and process.poll() is None and len(calls) - before < 1 + kill % 7:
                time.sleep(0.002)
            if kill < kills:
                process.kill()
    time.sleep(0.5)
    for _ in range(20):
        if set(states(box)) == {"accepted"}:
            break
        with subprocess.Popen(command) as process:
            process.wait()
    assert states(box) == Counter(accepted=sent)
    assert len(alerts.records) == sent
    assert set(written.values()) == {1}
    box.close()


def test_a_lines_file_names_the_object_its_external_id_and_how_we_are_known(salesforce, access, alerts, monkeypatch):
    monkeypatch.setenv("SALESFORCE", f"salesforce+{salesforce.address}")
    said = {key: value for key, value in asdict(access).items() if value}
    place = target(f"salesforce+{salesforce.address}", "Alert__c", key="Key__c", access=said, options={"job_above": 5})
    assert sink_of_target(place).check() == []
    for wrong, words in (
        (replace(place, thing=""), "say the object"),
        (target(place.address, "Alert__c"), "say `key`"),
        (target(place.address, "Alert__c", key="Key__c", options={"job_above": 0}), "job_above is 1 or more"),
    ):
        with pytest.raises(LineError, match=words):
            sink_of_target(wrong)

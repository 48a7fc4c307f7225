"""Decisions as messages of a broker: each arrives with its key, at least once, and is one by it."""

import json
import time
from collections import Counter

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

from factory.connectors.mqtt.sink import mqtt_sink
from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.errors import FactoryError, LineError
from tests.connectors.https import certificates
from tests.connectors.mqtt.broker import PASSWORD, USER, needs_broker, running
from tests.connectors.outbox.receiver import message
from tests.connectors.sinks.targets import target

pytestmark = needs_broker


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    with running(folder) as one:
        yield one


@pytest.fixture
def outbox(tmp_path):
    box = SqliteOutbox(tmp_path / "toy.sqlite")
    yield box
    box.close()


@pytest.fixture
def subscriber(broker):
    """What a subscriber of all decisions was sent."""
    came = []
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.on_message = lambda client, told, one: came.append((one.topic, json.loads(one.payload), one.properties))
    subscribed = []
    client.on_subscribe = lambda *told: subscribed.append(told)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("decisions/#", qos=1)
    while not subscribed:
        time.sleep(0.01)
    yield came
    client.disconnect()
    client.loop_stop()


def sink_of(broker, address="", **section):
    said = {"key": "KEY", "fields": {"ORDER": "order"}, "withdrawn": {"STATUS": "withdrawn"}, **section}
    return mqtt_sink(target(address or broker.address, "decisions/{site}", **said))


def run(outbox, sink, within_s=5.0):
    section = sink.target.section
    delivery = Delivery(
        outbox=outbox, sink=sink, name="orders", fields_of=section.fields_of, withdrawn=section.withdrawn
    )
    return delivery.run(["ulm"], within_s=within_s)["ulm"]


def wait_for(came, number):
    for _ in range(400):
        if len(came) >= number:
            return
        time.sleep(0.01)


def test_each_decision_is_published_with_its_key_and_its_withdrawal_too(broker, outbox, subscriber):
    outbox.put(message(n) for n in range(250))
    assert run(outbox, sink_of(broker)) == Counter(accepted=250)
    wait_for(subscriber, 250)
    assert {topic for topic, _, _ in subscriber} == {"decisions/ulm"}
    assert Counter(record["KEY"] for _, record, _ in subscriber) == Counter(message(n).key for n in range(250))
    _, record, properties = subscriber[0]
    assert properties.UserProperty == [("message-key", record["KEY"])]
    outbox.withdraw("orders", "ulm", 1)
    assert run(outbox, sink_of(broker))["accepted"] == 250
    wait_for(subscriber, 500)
    assert subscriber[-1][1]["STATUS"] == "withdrawn"


def test_while_the_broker_is_down_messages_wait_and_then_arrive(broker, outbox, subscriber):
    broker.stop()
    outbox.put([message(1)])
    run(outbox, sink_of(broker), within_s=0.1)
    (kept,) = outbox.find()
    assert kept.state == "waiting"
    assert "cannot be reached" in kept.reply
    with pytest.raises(FactoryError, match="cannot be reached"):
        sink_of(broker).check()
    broker.start()
    assert sink_of(broker).check() == []
    for _ in range(3):
        run(outbox, sink_of(broker), within_s=5)
    assert {kept.state for kept in outbox.find()} == {"accepted"}


def test_who_is_not_let_in_waits_visibly_and_who_is_publishes_over_tls(broker, outbox, monkeypatch):
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    monkeypatch.setenv("WRONG", "wrong-password")
    access = {
        "kind": "basic",
        "user": USER,
        "password": "env:WRONG",
        "certificate_authority": str(certificates().authority),
    }
    address = f"mqtts://127.0.0.1:{broker.tls_port}"
    outbox.put([message(1)])
    run(outbox, sink_of(broker, address, access=access), within_s=0.1)
    assert "does not let us in" in outbox.find()[0].reply
    right = sink_of(broker, address, access={**access, "password": "env:BROKER_PASSWORD"})
    for _ in range(3):
        run(outbox, right, within_s=5)
    assert outbox.find()[0].state == "accepted"


@pytest.mark.parametrize("topic", ["", "decisions/#", "decisions/+/x"])
def test_a_topic_that_is_none_is_refused(topic):
    with pytest.raises(LineError, match="wildcards"):
        mqtt_sink(target("mqtt://127.0.0.1:1", topic))

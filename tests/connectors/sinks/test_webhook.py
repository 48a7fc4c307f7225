"""Decisions to a web address over TLS: signed, each taken once by who knows its key, whatever goes wrong between."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.connectors.sinks.kinds import sink_of
from factory.connectors.sinks.webhook import signature
from factory.errors import EnvironmentRefused, LineError
from tests.connectors.https import Answer, Asked, certificates, serving
from tests.connectors.sinks.targets import NoJob, filled, target

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  of the specification's own example


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)


@dataclass
class Receiver:
    """A system that checks signatures, takes each key once, and answers as its plan says."""

    plan: list[Answer | str] = field(default_factory=list)
    had: Counter = field(default_factory=Counter)
    forged: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Answer:
        with self.lock:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Answer:
        name, at = asked.headers["webhook-id"], asked.headers["webhook-timestamp"]
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, f"{name}.{at}.".encode() + asked.body, hashlib.sha256).digest())
        if asked.headers["webhook-signature"] != f"v1,{wanted.decode()}" or abs(time.time() - int(at)) > 300:
            self.forged.append(name)
        answer = self.plan.pop(0) if self.plan else Answer(200)
        if answer == "take and go away":
            self._take(name)
            return Answer(drop=True)
        if answer.status < 300:
            self._take(name)
            return Answer(answer.status, b'{"id": "N-%d"}' % len(self.had), slow_s=answer.slow_s)
        return answer

    def _take(self, name: str) -> None:
        self.had[name] += name not in self.had


@pytest.fixture
def hook():
    """What makes a sink of a host's address."""
    made = []

    def make(host, **options):
        access = {"kind": "none", "certificate_authority": str(certificates().authority)}
        said = {"secret": "env:HOOK_SECRET", **options}
        made.append(sink_of(target(f"{host.address}/decisions", access=access, options=said)))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


def states(results):
    return Counter(result.state for result in results)


def test_the_signature_is_that_of_the_specification():
    body = b'{"test": 2432232314}'
    assert signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_decision_is_posted_signed_with_its_key_and_the_answers_id_is_its_reference(hook):
    receiver = Receiver()
    with serving(receiver) as host:
        sink = hook(host)
        (result,) = sink.deliver([filled(sink, 1)], NoJob())
    (asked,) = host.asked
    said = json.loads(asked.body)
    assert (result.state, result.reference, receiver.forged) == ("accepted", "N-1", [])
    assert asked.headers["idempotency-key"] == asked.headers["webhook-id"] == filled(sink, 1).key
    assert (said["type"], said["data"]["order"], said["data"]["predicted_probability"]) == ("decision.made", 1, 0.75)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer(429, headers={"Retry-After": "7"}), "busy"),
        (Answer(503), "busy"),
        (Answer(401), "busy"),
        (Answer(404), "busy"),
        (Answer(422, b"qty must be even"), "refused"),
        (Answer(500), "unknown"),
        (Answer(drop=True, status=500), "unknown"),
    ],
)
def test_what_an_answer_means(answer, state, hook):
    with serving(Receiver(plan=[answer])) as host:
        sink = hook(host)
        (result,) = sink.deliver([filled(sink, 1)], NoJob())
    assert result.state == state
    assert result.retry_after_s == (7.0 if answer.status == 429 else None)


def test_an_answer_that_does_not_come_in_time_leaves_it_open(hook):
    with serving(Receiver(plan=[Answer(200, slow_s=0.6)])) as host:
        sink = hook(host, timeout_s=0.2)
        (result,) = sink.deliver([filled(sink, 1)], NoJob())
    assert result.state == "unknown"


def test_a_host_that_nobody_vouches_for_gets_nothing(hook):
    with serving(Receiver(), tls=certificates("another")) as host:
        sink = hook(host)
        (result,) = sink.deliver([filled(sink, 1)], NoJob())
        assert (result.state, host.asked) == ("busy", [])


def test_after_busy_the_rest_is_not_sent(hook):
    with serving(Receiver(plan=[Answer(429)] * 99)) as host:
        sink = hook(host, at_once=2)
        results = list(sink.deliver([filled(sink, number) for number in range(20)], NoJob()))
    assert (states(results), len(host.asked)) == (Counter(busy=2), 2)


def test_whatever_the_system_answers_each_decision_is_taken_once(tmp_path, hook):
    plan = [
        *(Answer(429, headers={"Retry-After": "1"}), "take and go away", Answer(500), Answer(200, slow_s=0.5)),
        *(Answer(503), "take and go away", Answer(502), Answer(drop=True, status=500)),
    ]
    receiver, outbox = Receiver(plan=plan), SqliteOutbox(tmp_path / "toy.sqlite")
    with serving(receiver) as host:
        sink = hook(host, at_once=1, timeout_s=0.3)
        outbox.put(filled(sink, number) for number in range(10))
        delivery = Delivery(
            outbox=outbox, sink=sink, name="orders", fields_of=sink.target.section.fields_of, spread=lambda: 1.0
        )
        counts = delivery.run(["ulm"], within_s=30)
    assert counts["ulm"]["accepted"] == 10
    assert receiver.had == Counter({filled(sink, number).key: 1 for number in range(10)})
    assert len(host.asked) > 10  # it was asked again, and knew the keys
    assert receiver.forged == []
    outbox.close()


def test_a_withdrawal_says_so(hook):
    with serving(Receiver()) as host:
        sink = hook(host)
        list(sink.deliver([filled(sink, 1, action="withdraw")], NoJob()))
    said = json.loads(host.asked[0].body)
    assert (said["type"], said["data"]) == ("decision.withdrawn", {"message_key": filled(sink, 1).key})


def test_while_a_secret_is_replaced_both_sign(monkeypatch, hook):
    monkeypatch.setenv("HOOK_SECRET", f"{SECRET} whsec_b3RoZXItc2VjcmV0LW9mLW91cnM=")
    with serving(lambda _: Answer(204)) as host:
        sink = hook(host)
        list(sink.deliver([filled(sink, 1)], NoJob()))
    assert len(host.asked[0].headers["webhook-signature"].split()) == 2


def test_a_secret_is_asked_from_the_environment_and_an_address_must_be_private(monkeypatch):
    with pytest.raises(LineError, match="env:VARIABLE"):
        sink_of(target("https://example.com/x", options={"secret": "abc"}))
    with pytest.raises(LineError, match="openly"):
        sink_of(target("http://example.com/x", options={"secret": "env:HOOK_SECRET"})).check()
    monkeypatch.delenv("HOOK_SECRET")
    with pytest.raises(EnvironmentRefused, match="HOOK_SECRET"):
        sink_of(target("https://example.com/x", options={"secret": "env:HOOK_SECRET"})).check()

"""Delivery through the outbox: each decision arrives once, or is visibly waiting."""

import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.connectors.outbox.delivery import Delivery, delay_s
from factory.connectors.outbox.outbox import Settled
from factory.connectors.outbox.postgres import PostgresOutbox
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.errors import EnvironmentRefused, OutboxError
from factory.line.sinks import SinkSection
from tests.connectors.outbox.receiver import Receiver, message
from tests.connectors.tables import postgres

SECTION = SinkSection(to="test:", key="KEY", fields={"ORDER": "order"}, constants={"TYPE": "M1"})


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


Outbox = SqliteOutbox | PostgresOutbox
KINDS = ["sqlite", pytest.param("postgres", marks=postgres.needs_postgres)]


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outbox]:
    """Return what opens a new outbox of a kind, by a clock."""
    if request.param == "sqlite":
        return lambda *clock: SqliteOutbox(tmp_path_factory.mktemp("outbox") / "outbox" / "toy.sqlite", *clock)
    url = request.getfixturevalue("postgres_url")
    return lambda *clock: PostgresOutbox(url, f"toy-{secrets.token_hex(4)}", *clock)


@pytest.fixture
def outbox(opened: Callable[..., Outbox], clock: Clock) -> Iterator[Outbox]:
    box = opened(clock)
    yield box
    box.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Receiver:
    return Receiver(tmp_path / "taken.jsonl")


def delivery(outbox: Outbox, receiver: Receiver, clock: Clock, **others: object) -> Delivery:
    return Delivery(
        outbox=outbox,
        sink=receiver,
        name="orders",
        fields_of=SECTION.fields_of,
        withdrawn={"STATUS": "withdrawn"},
        clock=clock,
        sleep=clock.sleep,
        spread=lambda: 0.0,
        **others,
    )


def states(outbox: Outbox) -> Counter:
    return Counter(kept.state for kept in outbox.find(limit=100_000))


def test_a_decision_is_sent_once_with_the_systems_fields_and_its_receipt_is_kept(outbox, receiver, clock):
    assert outbox.put([message(1), message(2)]) == 2
    counts = delivery(outbox, receiver, clock).run(["ulm"], within_s=1)
    assert counts == {"ulm": Counter(accepted=2)}
    assert receiver.taken()[0]["fields"] == {"KEY": message(1).key, "ORDER": 1, "TYPE": "M1"}
    (kept, _) = outbox.find()
    assert (kept.state, kept.reference) == ("accepted", f"no. {message(1).key[:3]}")
    assert kept.message.content == {}  # the system has it; the outbox need not


def test_the_same_decision_put_again_is_no_second_message(outbox, receiver, clock):
    outbox.put([message(1)])
    delivery(outbox, receiver, clock).run(["ulm"], within_s=1)
    assert outbox.put([message(1)]) == 0
    delivery(outbox, receiver, clock).run(["ulm"], within_s=1)
    assert len(receiver.taken()) == 1


def test_a_busy_system_is_left_alone_as_long_as_it_asks_and_then_gets_all(outbox, receiver, clock):
    outbox.put(message(number) for number in range(5))
    receiver.plan = ["accept", "busy"]
    begun = clock.now
    counts = delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert counts["ulm"]["accepted"] == 5
    assert clock.now - begun >= 30
    assert len(receiver.taken()) == 5


def test_what_is_not_due_in_time_waits_visibly(outbox, receiver, clock):
    outbox.put([message(1)])
    receiver.plan = ["busy"]
    delivery(outbox, receiver, clock).run(["ulm"], within_s=10)
    (standing,) = outbox.standing()
    assert (standing.state, standing.count, standing.oldest) == ("waiting", 1, 1_000_000.0)
    assert outbox.find()[0].reply == "429"


def test_a_refused_message_stays_with_the_reply_until_a_person_replays_it(outbox, receiver, clock):
    outbox.put([message(1), message(2)])
    receiver.plan = ["refuse"]
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    (letter,) = outbox.find(states=["refused"])
    assert letter.reply == "qty must be even"
    assert outbox.replay([letter.message.id]) == 1
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert states(outbox) == Counter(accepted=2)


@pytest.mark.parametrize("fate", ["lose", "drop", "raise"])
def test_where_no_answer_came_the_system_is_asked_for_the_key(outbox, receiver, clock, fate):
    outbox.put([message(1)])
    receiver.plan = [fate]
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert states(outbox) == Counter(accepted=1)
    assert len(receiver.taken()) == 1


def test_while_the_system_cannot_be_asked_an_unknown_message_stays_unknown(outbox, receiver, clock):
    outbox.put([message(1)])
    receiver.plan, receiver.askable = ["drop"], False
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert states(outbox) == Counter(unknown=1)
    assert "cannot be asked" in outbox.find()[0].reply
    receiver.askable = True
    clock.sleep(2000)
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert (states(outbox), len(receiver.taken())) == (Counter(accepted=1), 1)


def test_what_another_process_sends_nobody_else_gets_until_its_lease_ends(outbox, receiver, clock):
    outbox.put([message(1)])
    (claimed,) = outbox.claim("orders", ["ulm"], by="another", limit=10, lease_s=100)
    delivery(outbox, receiver, clock).run(["ulm"], within_s=50)
    assert receiver.taken() == []
    receiver._take(claimed)  # the other one sent it, and died
    clock.sleep(100)
    delivery(outbox, receiver, clock).run(["ulm"], within_s=50)
    assert (states(outbox), len(receiver.taken())) == (Counter(accepted=1), 1)


def test_a_receipt_counts_whoever_has_the_message_meanwhile(outbox, receiver, clock):
    outbox.put([message(1)])
    slow = delivery(outbox, receiver, clock)
    (claimed,) = outbox.claim("orders", ["ulm"], by=slow._by, limit=10, lease_s=10)
    clock.sleep(11)
    outbox.abandoned("orders")
    outbox.unknown("orders", ["ulm"], by="another", limit=10, lease_s=100)
    slow._store([receiver._each([claimed]).__next__()], {"ulm": Counter()})
    assert states(outbox) == Counter(accepted=1)


def test_held_messages_wait_for_a_person(outbox, receiver, clock):
    outbox.put([message(1)], held="900 new messages are more than max_messages, 500")
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert states(outbox) == Counter(held=1)
    assert outbox.let_go("orders", "ulm") == 1
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert states(outbox) == Counter(accepted=1)


def test_a_release_taken_back_cancels_what_was_not_sent_and_withdraws_what_was(outbox, receiver, clock):
    outbox.put([message(1), message(2, release=2)])
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    outbox.put([message(3, release=2)], held="too many")
    assert outbox.withdraw("orders", "ulm", 2) == (1, 1)
    assert outbox.withdraw("orders", "ulm", 2) == (0, 0)
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    last = receiver.taken()[-1]
    assert (last["action"], last["fields"], last["id"]) == (
        "withdraw",
        {"STATUS": "withdrawn"},
        f"{message(2).key}.withdraw",
    )
    assert states(outbox) == Counter(accepted=3, cancelled=1)


def test_a_message_of_a_decision_that_was_never_taken_is_not_withdrawn_from_the_system(outbox, receiver, clock):
    outbox.put([message(1)])
    outbox.claim("orders", ["ulm"], by="another", limit=1, lease_s=10)
    assert outbox.withdraw("orders", "ulm", 1) == (0, 1)
    clock.sleep(20)
    receiver.plan = ["refuse"]
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert (states(outbox), receiver.taken()) == (Counter(refused=1, cancelled=1), [])


def test_a_message_without_a_column_that_the_file_asks_for_is_refused_by_name(outbox, receiver, clock):
    outbox.put([message(1)])
    sending = delivery(outbox, receiver, clock)
    sending.fields_of = SinkSection(to="test:", fields={"X": "newer"}).fields_of
    sending.run(["ulm"], within_s=1)
    assert "'newer'" in outbox.find(states=["refused"])[0].reply


def test_other_sites_and_sinks_are_left_alone(outbox, receiver, clock):
    outbox.put([message(1), message(1, site="hof"), message(1, sink="others")])
    delivery(outbox, receiver, clock).run(["ulm"], within_s=60)
    assert states(outbox) == Counter(accepted=1, waiting=2)


def test_receipts_are_given_until_they_are_marked_as_recorded_and_again_when_they_change(outbox, receiver, clock):
    outbox.put([message(1)])
    receiver.plan = ["refuse"]
    delivery(outbox, receiver, clock).run(["ulm"], within_s=1)
    letters = outbox.receipts(["ulm"], 10)
    assert [letter.state for letter in letters] == ["refused"]
    outbox.mark_recorded(letters)
    assert outbox.receipts(["ulm"], 10) == []
    outbox.replay([letters[0].message.id])
    delivery(outbox, receiver, clock).run(["ulm"], within_s=1)
    assert [kept.state for kept in outbox.receipts(["ulm"], 10)] == ["accepted"]


def test_a_reply_is_kept_without_secrets_and_in_bounds(outbox, clock):
    outbox.put([message(1)])
    (one,) = outbox.claim("orders", ["ulm"], by="me", limit=1, lease_s=10)
    outbox.settle("me", [Settled(id=one.id, state="refused", reply="token=abcdefgh " + "x" * 9000)])
    assert "abcdefgh" not in outbox.find()[0].reply
    assert len(outbox.find()[0].reply) == 2000


def test_an_outbox_of_a_later_version_is_refused_and_left_alone(outbox):
    outbox.put([message(1)])
    if isinstance(outbox, SqliteOutbox):
        outbox._opened().execute("PRAGMA user_version = 9")
    else:
        outbox.note("layout", "9")
    outbox.close()
    with pytest.raises(OutboxError, match="layout 9"):
        outbox.standing()


def test_the_file_is_its_owners_alone(tmp_path):
    outbox = SqliteOutbox(tmp_path / "outbox" / "toy.sqlite")
    outbox.put([message(1)])
    outbox.close()
    assert outbox.file.stat().st_mode & 0o077 == 0
    assert outbox.file.parent.stat().st_mode & 0o077 == 0


OPENS_NEW_FILES = """
import sys, time
from pathlib import Path
from factory.connectors.outbox.sqlite import SqliteOutbox

begin = float(sys.argv[2])
for number in range(100):
    time.sleep(max(0.0, begin + number / 50 - time.time()))
    SqliteOutbox(Path(sys.argv[1]) / f"{number}.sqlite").standing()
"""


def test_processes_that_open_a_new_file_at_once_all_have_it(tmp_path):
    words = [sys.executable, "-c", OPENS_NEW_FILES, str(tmp_path), str(time.time() + 3)]
    at_once = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[1] for process in at_once] == [""] * 3


def test_those_who_claim_at_once_never_get_the_same_message(outbox):
    outbox.put(message(number) for number in range(200))
    claimed: list[str] = []

    def claim(other: Outbox) -> None:
        while messages := other.claim("orders", ["ulm"], by=secrets.token_hex(4), limit=3, lease_s=60):
            claimed.extend(one.id for one in messages)
        other.close()

    threads = [threading.Thread(target=claim, args=(again(outbox),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One that finds every message taken may give up while another holds a claim; nothing is left for long.
    claim(again(outbox))
    assert sorted(claimed) == sorted(message(number).id for number in range(200))


def test_those_who_put_the_same_at_once_put_it_once(outbox):
    counts: list[int] = []
    assert outbox.standing() == []

    def put(other: Outbox, numbers: range) -> None:
        counts.append(other.put(message(number) for number in numbers))
        other.close()

    every = range(300)
    threads = [threading.Thread(target=put, args=(again(outbox), order)) for order in (every, every[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(outbox.find()) == 300


def test_messages_about_somebody_go_and_words_of_others_texts(outbox):
    outbox.put([message(1), message(2)])
    outbox.claim("orders", ["ulm"], by="me", limit=2, lease_s=10)
    outbox.settle("me", [Settled(id=message(2).id, state="refused", reply="asked by Jane\0 Doe")])
    gone = outbox.forget(lambda site, identity: site == "ulm" and '"order":1,' in identity, _without_jane)
    assert gone == 1
    (kept,) = outbox.find()
    assert (kept.message.id, kept.reply) == (message(2).id, "asked by X Doe")


def _without_jane(text: str) -> str:
    return text.replace("Jane", "X")


def again(outbox: Outbox) -> Outbox:
    """Return the same outbox, opened by another process."""
    if isinstance(outbox, SqliteOutbox):
        return SqliteOutbox(outbox.file, outbox.clock)
    return PostgresOutbox(outbox.url, outbox.schema, outbox._own_clock)


@postgres.needs_postgres
def test_an_outbox_in_postgresql_goes_by_the_servers_clock_and_survives_a_lost_connection(postgres_url):
    outbox = PostgresOutbox(postgres_url, "skewed")
    outbox.put([message(1)])
    (now,) = outbox._opened().execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert abs(outbox.clock() - now) < 60
    outbox._ahead = 5000.0  # as of a machine whose clock is far behind; the next transaction finds how it is
    assert outbox.claim("orders", ["ulm"], by="me", limit=1, lease_s=60)
    assert abs(outbox.clock() - time.time()) < 60
    with pytest.raises(OutboxError, match="FACTORY_OUTBOX_URL"):
        outbox._rows("SELECT pg_terminate_backend(pg_backend_pid())")
    assert [kept.state for kept in outbox.find()] == ["sending"]
    outbox.close()


def test_a_database_that_is_away_is_named_without_its_password():
    away = PostgresOutbox("postgresql://boss:horse-battery@127.0.0.1:9/x", "toy")
    with pytest.raises(OutboxError, match="what it holds is kept") as refusal:
        away.standing()
    assert "horse-battery" not in str(refusal.value)
    with pytest.raises(EnvironmentRefused, match="no URL of a PostgreSQL"):
        PostgresOutbox("mysql://boss:horse-battery@127.0.0.1/x", "toy")


def test_waits_double_and_a_system_that_names_its_own_is_obeyed_up_to_a_day():
    assert [delay_s(attempts, None, 0.0) for attempts in (1, 2, 3, 99)] == [1, 2, 4, 900]
    assert delay_s(3, None, 1.0) == 2
    assert delay_s(1, 500, 0.0) == 500
    assert delay_s(1, 10**9, 0.0) == 86_400


FATES = st.sampled_from(["accept", "refuse", "busy", "lose", "drop", "raise", "die before", "die after"])


class Killed(BaseException):
    """The process is gone: nothing of it runs on."""


class Mortal(Receiver):
    """A receiver whose sender dies as the plan says."""

    def _each(self, messages):
        for one in messages:
            if self.plan and self.plan[0].startswith("die"):
                if self.plan.pop(0) == "die after":
                    self._take(one)
                raise Killed
            yield from super()._each([one])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(FATES, max_size=25), repeatable=st.booleans(), rounds=st.integers(1, 4))
def test_whatever_fails_or_dies_each_decision_arrives_once_or_is_visibly_waiting(
    tmp_path_factory, opened, plan, repeatable, rounds
):
    folder, clock = tmp_path_factory.mktemp("receiver"), Clock()
    outbox = opened(clock)
    # One that is sent again knows keys, one that is asked need not.
    receiver = Mortal(folder / "taken.jsonl", plan=list(plan), repeatable=repeatable, knows_keys=repeatable)
    outbox.put(message(number) for number in range(7))
    for _ in range(rounds):
        try:
            deliver = delivery(outbox, receiver, clock)
            deliver._store = _dead_store(deliver, receiver)
            deliver.run(["ulm"], within_s=40)
        except Killed:
            clock.sleep(200)  # until the lease of the dead has ended
    taken = Counter(line["id"] for line in receiver.taken())
    by_state = {kept.message.id: kept.state for kept in outbox.find()}
    assert set(by_state) == {message(number).id for number in range(7)}
    assert max(taken.values(), default=1) == 1
    assert {one for one, state in by_state.items() if state == "accepted"} <= set(taken)
    assert {one for one in taken if by_state[one] not in ("accepted", "sending", "unknown", "waiting")} == set()
    outbox.close()


def _dead_store(deliver: Delivery, receiver: Mortal):
    """Return a store that a dead process does not reach: what it would write while it unwinds is not written."""
    store = Delivery._store

    def stored(results, counts):
        if not isinstance(sys.exc_info()[1], Killed):
            store(deliver, results, counts)

    return stored

"""Kills a process that delivers, again and again, and says what arrived: `python -m tests.connectors.outbox.killing`.

Arguments: folder, kind of system, kills, seed, address. A program of its own, for it forks, which a process with
threads must not. Killed processes are its children alone.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.outbox import Outbox
from factory.connectors.outbox.store import OUTBOX_URL, OutboxStore
from factory.connectors.sinks.files import FilesSink
from factory.connectors.sinks.kinds import sink_of
from factory.connectors.sinks.message import Message, Result
from factory.line.sinks import SinkSection
from tests.connectors.outbox.receiver import Receiver, message
from tests.connectors.sinks.targets import target

SHARED = OUTBOX_URL in os.environ
"""Whether the outbox is in PostgreSQL; then two processes deliver at once, and both are killed."""
LEASE_S = 3.0 if SHARED else 0.3
SECTION: dict[str, Any] = {"key": "message_key", "fields": {"order_no": "order"}}


class Slow(Receiver):
    """A system that needs a while for each message, and takes whatever comes, twice if it comes twice."""

    def _each(self, messages: Sequence[Message]) -> Iterator[Result]:
        for one in messages:
            time.sleep(0.001)
            yield from super()._each([one])


def system(kind: str, folder: Path, address: str) -> Any:
    """Return the sink of a kind."""
    if kind == "asked":
        return Slow(folder / "taken.jsonl")
    if kind == "files":
        return FilesSink(folder=folder / "out", name="toy-orders", key="message_key", batch_size=10)
    sink = sink_of(target(address, "decisions", **SECTION))
    sink.batch_size = 10
    return sink


def outbox_in(folder: Path) -> Outbox:
    """Return the outbox in a folder, or in the database that the environment names."""
    return OutboxStore(root=folder, models=folder, url=os.environ.get(OUTBOX_URL, "")).of("toy")


def delivers(kind: str, folder: Path, address: str, within_s: float) -> None:
    """Deliver what is due."""
    delivery = Delivery(
        outbox=outbox_in(folder),
        sink=system(kind, folder, address),
        name="orders",
        fields_of=SinkSection(to="x", **SECTION).fields_of,
        lease_s=LEASE_S,
    )
    delivery.run(["ulm"], within_s)


def started(kind: str, folder: Path, address: str) -> int:
    """Let a process of its own deliver; return its number."""
    child = os.fork()
    if child == 0:
        delivers(kind, folder, address, within_s=20)
        os._exit(0)
    return child


def take_away(folder: Path, taken: Counter) -> None:
    """Read the files that are there and remove them, as who gets them does."""
    for file in sorted((folder / "out").glob("[!.]*.jsonl")):
        taken.update(json.loads(line)["message_key"] for line in file.read_text().splitlines())
        file.unlink()


def arrived(kind: str, folder: Path, address: str, taken: Counter) -> Counter:
    """Return how often each key arrived."""
    if kind == "asked":
        return Counter(line["fields"]["message_key"] for line in Receiver(folder / "taken.jsonl").taken())
    if kind == "files":
        take_away(folder, taken)
        return taken
    import sqlalchemy as sa

    sink = system(kind, folder, address)
    with sink._engine.connect() as connection:
        return Counter(key for (key,) in connection.execute(sa.text("SELECT message_key FROM decisions")))


def main(folder: Path, kind: str, kills: int, seed: int, address: str) -> dict[str, Any]:
    """Kill so many deliveries, let one finish, and return what was put, arrived, and how it stands."""
    chance, taken = random.Random(seed), Counter[str]()  # noqa: S311
    outbox, put, killed, usual_s = outbox_in(folder), 0, 0, 0.0
    while killed < kills:
        outbox.put(message(put + number) for number in range(30))
        put += 30
        outbox.close()  # a child must not inherit what is open
        begun = time.monotonic()
        if not usual_s:  # how long it takes here, and all that is imported on the way
            delivers(kind, folder, address, within_s=20)
            usual_s = time.monotonic() - begun
            continue
        for child in [started(kind, folder, address) for _ in range(1 + SHARED)]:
            time.sleep(chance.uniform(0.0, usual_s / (1 + SHARED)))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            killed += os.WIFSIGNALED(status)
        if kind == "files":
            take_away(folder, taken)
    delivers(kind, folder, address, within_s=60)
    counts = arrived(kind, folder, address, taken)
    keys = {message(number).key for number in range(put)}
    return {
        "put": put,
        "killed": killed,
        "lost": len(keys - set(counts)),
        "doubled": sum(count > 1 for count in counts.values()),
        "strange": len(set(counts) - keys),
        "states": Counter(kept.state for kept in outbox.find(limit=10**6)),
        "tried_again": sum(kept.message.attempts > 1 for kept in outbox.find(limit=10**6)),
    }


if __name__ == "__main__":
    where, what, how_often, start, at = sys.argv[1:]
    print(json.dumps(main(Path(where), what, int(how_often), int(start), at)))  # noqa: T201  its answer

"""How many decisions a second are stored, and delivered with a receipt each, beside the bare driver that keeps none.

    python benchmarks/write_back.py [--rows 20000] [--postgres] [--webhook]

Peer: `executemany` of the same insert by the database's own driver, one transaction for a thousand rows, without an
outbox. What the outbox adds is a stored message before, a receipt after, and both on the disk (`fsync`). The webhook is
a server on loopback over TLS that answers at once; its peer is the same client posting the same bodies.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import sqlalchemy as sa  # noqa: E402  found through the line above

from factory.connectors.outbox.delivery import Delivery  # noqa: E402
from factory.connectors.outbox.sqlite import SqliteOutbox  # noqa: E402
from factory.connectors.sinks.kinds import sink_of  # noqa: E402
from tests.connectors.outbox.receiver import message  # noqa: E402
from tests.connectors.sinks.targets import NoJob, filled, target  # noqa: E402

TABLE = "CREATE TABLE decisions (message_key VARCHAR(32) PRIMARY KEY, order_no INTEGER, chance FLOAT)"
SECTION: dict[str, Any] = {"key": "message_key", "fields": {"order_no": "order", "chance": "predicted_probability"}}


class Both(tuple):
    """Seconds on the clock and of the processor, with what was before taken off."""

    def __sub__(self, other: "Both") -> "Both":
        return Both(mine - its for mine, its in zip(self, other, strict=True))


def clock() -> Both:
    """Return seconds on the clock, and of the processor."""
    return Both((time.perf_counter(), time.process_time()))


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--postgres", action="store_true", help="into a PostgreSQL that is started for it")
    parser.add_argument("--webhook", action="store_true", help="to a web server over TLS on loopback")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.webhook:
            posted(Path(folder), asked.rows)
        else:
            with database(Path(folder), postgres=asked.postgres) as address:
                inserted(Path(folder), address, asked.rows)


@contextmanager
def database(folder: Path, *, postgres: bool) -> Iterator[str]:
    """Give the address of a database."""
    if not postgres:
        yield f"sqlite:///{folder}/shop.db"
        return
    from tests.connectors.tables import postgres as server

    with server.running() as port:
        yield f"postgresql://boss:{server.PASSWORD}@127.0.0.1:{port}/postgres"


def inserted(folder: Path, address: str, rows: int) -> None:
    """Deliver rows into a table, by the bare driver first."""
    sink: Any = sink_of(target(address, "decisions", **SECTION))
    with sink._engine.begin() as connection:
        connection.execute(sa.text(TABLE))
    bare_s = bare(sink._engine, address, rows)
    with sink._engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM decisions"))
    print(f"{address.partition(':')[0]}, {rows:,} decisions")
    told(folder, sink, rows, bare_s)
    with sink._engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM decisions")).scalar() == rows
    sink.close()


def bare(engine: sa.Engine, address: str, rows: int) -> Both:
    """Return the seconds that the driver itself takes, a thousand rows a transaction."""
    values = [(f"{number:032d}", number, 0.75) for number in range(rows)]
    begun = clock()
    if address.startswith("sqlite"):
        with closing(sqlite3.connect(engine.url.database or "")) as plain:
            for start in range(0, rows, 1000):
                with plain:
                    plain.executemany("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?)", values[start : start + 1000])
    else:
        with closing(engine.raw_connection()) as plain, closing(plain.cursor()) as cursor:
            for start in range(0, rows, 1000):
                statement = "INSERT INTO decisions VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
                cursor.executemany(statement, values[start : start + 1000])
                plain.commit()
    return clock() - begun


def posted(folder: Path, rows: int) -> None:
    """Post rows to a web server, by the sink alone first."""
    from tests.connectors.https import Answer, certificates, serving

    os.environ["HOOK_SECRET"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  the specification's own
    access = {"kind": "none", "certificate_authority": str(certificates().authority)}
    with serving(lambda _: Answer(204)) as host:
        sink = sink_of(target(host.address, access=access, options={"secret": "env:HOOK_SECRET"}))
        bodies = [filled(sink, number) for number in range(rows)]
        begun = clock()
        for start in range(0, rows, sink.batch_size):
            list(sink.deliver(bodies[start : start + sink.batch_size], NoJob()))
        bare_s = clock() - begun
        print(f"webhook, {rows:,} decisions")
        told(folder, sink, rows, bare_s)
        sink.close()


def told(folder: Path, sink: Any, rows: int, bare_s: Both) -> None:
    """Put and deliver, and print the rates and their ratio to what keeps no receipts."""
    outbox = SqliteOutbox(folder / "outbox.sqlite")
    messages = [message(number) for number in range(rows)]
    begun = clock()
    for start in range(0, rows, 10_000):
        outbox.put(messages[start : start + 10_000])
    stored_s = clock() - begun
    delivery = Delivery(outbox=outbox, sink=sink, name="orders", fields_of=sink.target.section.fields_of)
    begun = clock()
    counts = delivery.run(["ulm"], within_s=3600)
    delivered_s = clock() - begun
    assert counts["ulm"]["accepted"] == rows, counts
    for what, seconds in (
        ("stored", stored_s),
        ("delivered, with receipts", delivered_s),
        ("no outbox, no receipt", bare_s),
    ):
        print(f"  {what:26} {rows / seconds[0]:10,.0f} /s, {seconds[1] / rows * 1e6:8.1f} us of a processor each")
    print(f"  ratio of seconds {delivered_s[0] / bare_s[0]:.1f}, of processor time {delivered_s[1] / bare_s[1]:.1f}")
    outbox.close()


if __name__ == "__main__":
    main()

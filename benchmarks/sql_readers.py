"""Reading SQL tables: ours against the bare driver and Polars, which neither count nor keep what does not fit a type.

    python benchmarks/sql_readers.py [--rows 2000000] [--rounds 3]

Two tables of made-up orders, one in a PostgreSQL that is started for it, one in an SQLite file. Bare for PostgreSQL is
ADBC's batches as Polars' frames, for SQLite `fetchmany` and `pl.DataFrame`. Each reading is a process of its own, of
which time, CPU time (its start left out) and peak memory are taken; rounds are interleaved, the least is shown, for
whatever else ran on the machine only adds. Then the newest row of each site: by reading, and as the database finds it.
"""

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import polars as pl
import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.connectors.tables.databases.reader import DatabaseReader  # noqa: E402  found through the line above
from factory.connectors.tables.place import Place  # noqa: E402
from factory.connectors.tables.reader import Narrowing  # noqa: E402
from tests.connectors.tables.postgres import PASSWORD, running  # noqa: E402

PLAIN = ("order_id", "plant", "ordered_at", "weight", "late")
COLUMNS = (*PLAIN, "amount")
BATCH = 50_000
UNTIL = datetime(2100, 1, 1)


def ours(url: str, columns: tuple[str, ...]) -> int:
    """Read a table as a line does."""
    return sum(map(len, _reader(url).batches(columns, Narrowing())))


def bare_postgres(url: str, columns: tuple[str, ...]) -> int:
    """Read a table by ADBC, batch by batch."""
    from adbc_driver_postgresql import dbapi
    from arro3.core import RecordBatchReader

    with closing(dbapi.connect(url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM orders")  # noqa: S608  the names above
        return sum(len(pl.DataFrame(batch)) for batch in RecordBatchReader.from_stream(cursor.fetch_arrow()))


def bare_sqlite(url: str, columns: tuple[str, ...]) -> int:
    """Read a table by `fetchmany`; a column's type is that of its first batch, and other values are refused."""
    rows = 0
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        cursor = connection.execute(f"SELECT {', '.join(columns)} FROM orders")  # noqa: S608  the names above
        while batch := cursor.fetchmany(BATCH):
            rows += len(pl.DataFrame(batch, schema=list(columns), orient="row", infer_schema_length=None))
    return rows


def newest_by_reading(url: str, _columns: tuple[str, ...]) -> int:
    """Find the newest row of each site among all rows."""
    frames = _reader(url).batches(("plant", "ordered_at"), Narrowing())
    return len(pl.concat(frame.group_by("plant").agg(pl.col("ordered_at").max()) for frame in frames)["plant"].unique())


def newest_asked(url: str, _columns: tuple[str, ...]) -> int:
    """Have the database find the newest row of each site."""
    newest = _reader(url).newest("plant", "ordered_at", UNTIL)
    assert newest is not None
    return len(newest)


def _reader(url: str) -> DatabaseReader:
    return DatabaseReader(Place(kind="sql", at=url, table="orders"))


READINGS: dict[str, Callable[[str, tuple[str, ...]], int]] = {
    reading.__name__: reading for reading in (ours, bare_postgres, bare_sqlite, newest_by_reading, newest_asked)
}


def one(name: str, url: str, columns: str) -> None:
    """Read once, in this process, and print what it took."""
    start, cpu = time.perf_counter(), time.process_time()
    rows = READINGS[name](url, tuple(columns.split(",")))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "peak_mb": peak}))


def measured(names: list[str], url: str, columns: tuple[str, ...], rounds: int) -> dict[str, dict[str, float]]:
    """Return the least that each reading took, each time in a process of its own."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, __file__, "--one", name, "--url", url, "--columns", ",".join(columns)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
            taken[name].append(json.loads(done.stdout))
    return {name: {key: min(one[key] for one in some) for key in some[0]} for name, some in taken.items()}


def show(title: str, taken: dict[str, dict[str, float]]) -> None:
    """Print a table of readings, the last one's ratio to the first."""
    print(f"\n{title}\n\n| | seconds | CPU seconds | rows/s | peak MB |\n|---|---|---|---|---|")
    for name, of in taken.items():
        print(
            f"| {name} | {of['seconds']:.2f} | {of['cpu']:.2f} | {of['rows'] / of['seconds']:,.0f} "
            f"| {of['peak_mb']:.0f} |"
        )
    first, *_, last = taken.values()
    print(
        f"\nrows/s {first['seconds'] / last['seconds']:.2f} times the first, CPU {last['cpu'] / first['cpu']:.2f} times"
    )


def fill_postgres(url: str, rows: int) -> None:
    """Make the table of orders."""
    made = sql.SQL(
        "CREATE TABLE orders AS SELECT n::bigint AS order_id, 'plant ' || n % 50 AS plant, "
        "timestamp '2024-01-01' + n * interval '1 second' AS ordered_at, n * 1.1::float8 AS weight, "
        "n % 3 = 0 AS late, (n * 0.01)::numeric(12, 2) AS amount FROM generate_series(1, {rows}) n"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(made.format(rows=sql.Literal(rows)))
        connection.execute("VACUUM ANALYZE orders")


def fill_sqlite(file: Path, rows: int) -> None:
    """Make the table of orders; `amount` holds whole numbers beside fractions, as SQLite keeps a NUMERIC."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, plant TEXT, ordered_at DATETIME, weight REAL, "
            "late BOOLEAN, amount NUMERIC)"
        )
        connection.execute(
            "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?) "
            "INSERT INTO orders SELECT n, 'plant ' || n % 50, datetime('2024-01-01', n || ' seconds'), n * 1.1, "
            "n % 3 = 0, n * 0.01 FROM counted",
            (rows,),
        )
        connection.commit()


def main() -> None:
    """Make both tables and read them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=READINGS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--columns", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.url, asked.columns)
        return
    with running() as port:
        url = f"postgresql://boss:{PASSWORD}@127.0.0.1:{port}/postgres"
        fill_postgres(url, asked.rows)
        show("PostgreSQL, five columns", measured(["bare_postgres", "ours"], url, PLAIN, asked.rounds))
        show("PostgreSQL, with a NUMERIC", measured(["bare_postgres", "ours"], url, COLUMNS, asked.rounds))
        newest = measured(["newest_by_reading", "newest_asked"], url, COLUMNS, asked.rounds)
        show("PostgreSQL, the newest of each site", newest)
    with tempfile.TemporaryDirectory() as folder:
        fill_sqlite(Path(folder) / "shop.db", asked.rows)
        url = f"sqlite:///{folder}/shop.db"
        show("SQLite, five columns", measured(["bare_sqlite", "ours"], url, PLAIN, asked.rounds))
        show("SQLite, with a column of two types", measured(["bare_sqlite", "ours"], url, COLUMNS, asked.rounds))


if __name__ == "__main__":
    main()

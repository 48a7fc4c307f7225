"""What it costs that a text file's values are typed in the contract and not while reading: CPU seconds, as a ratio.

Run: `python -m benchmarks.typing_speed [--rows N] [--rounds N]`. Both read the same CSV file of numbers, moments, texts
and missing values with Polars, in the same batches: one as the declared types at once, the other as texts, which the
contract's typing then reads, each value exactly or none. Reading the texts alone is shown too: what it could at best
come to. Before anything is timed, both tables are compared.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.data.contract.typing import BATCH_ROWS, typed_rows  # noqa: E402  found through the line above
from factory.line.line import Table  # noqa: E402
from factory.line.parsing import Parse  # noqa: E402
from factory.storage.columns import type_named  # noqa: E402

COLUMNS = {
    "load": "Int64",
    "plant": "String",
    "left_at": "Datetime[us, UTC]",
    "pieces": "Int64",
    "weight": "Float64",
    "height": "Float64",
    "late": "Int64",
    "remark": "String",
}
TABLE = Table(
    name="loads",
    columns=COLUMNS,
    key=("load",),
    site_column="plant",
    contract=(),
    repair=lambda rows: rows,
    parse=Parse(null_values=("NA",)),
)


def write(place: Path, rows: int) -> None:
    """Write a file of loads."""
    rng, start = random.Random(7), datetime(2024, 1, 1)  # noqa: S311  example data
    with place.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        for row in range(rows):
            pieces = "NA" if row % 40 == 0 else rng.randint(1, 900)
            moment = start + timedelta(seconds=row)
            file.write(
                f"{row},plant {row % 12},{moment:%Y-%m-%dT%H:%M:%SZ},{pieces},{rng.gauss(80, 9):.3f},"
                f"{rng.random():.6f},{row % 3 == 0:d},remark {rng.randint(0, 9999)}\n"
            )


def in_batches(plan: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield what a plan reads, in the batches in which the contract types."""
    yield from plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)


def typed_while_reading(place: Path) -> pl.DataFrame:
    """Return the table as a reader that types gives it."""
    schema = {name: type_named(kind) for name, kind in COLUMNS.items()}
    rows = pl.scan_csv(place, schema={**schema, "left_at": pl.String()}, null_values=["NA"])
    read = pl.col("left_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", cache=False)
    return pl.concat(in_batches(rows.with_columns(read.dt.replace_time_zone("UTC"))))


def texts(place: Path) -> int:
    """Read the table as texts, and type nothing."""
    return sum(map(len, in_batches(pl.scan_csv(place, infer_schema=False))))


def typed_in_the_contract(place: Path) -> pl.DataFrame:
    """Return the table as raw texts that the contract types."""
    return typed_rows(pl.scan_csv(place, infer_schema=False), TABLE, tuple(COLUMNS)).select(list(COLUMNS)).collect()


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU seconds of one run, of all threads."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Compare, then time in turns, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "loads.csv"
        write(place, asked.rows)
        assert typed_while_reading(place).equals(typed_in_the_contract(place)), "the two tables differ"
        runs = [
            [cpu_seconds(partial(read, place)) for read in (typed_while_reading, texts, typed_in_the_contract)]
            for _ in range(asked.rounds)
        ]
    reading, untyped, contract = (statistics.median(times) for times in zip(*runs, strict=True))
    print(f"{asked.rows:,} rows: typed while reading {reading:.2f} CPU s, as texts {untyped:.2f} CPU s")
    print(f"in the contract {contract:.2f} CPU s / while reading = {contract / reading:.2f}")


if __name__ == "__main__":
    main()

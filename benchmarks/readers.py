"""Rows a second of each reader of files against the bare library in the same run, and the memory each takes.

    python benchmarks/readers.py [--rows 1000000] [--rounds 3]

Ours reads every value untyped, tells file and line of each row, and holds what it read against a second count; the bare
library does none of that. Each measurement is a process of its own, which has read a small table of the kind before, so
that neither side pays for imports and for starting threads; rounds are interleaved and the fastest of each side is
compared, in time on the clock and in CPU time. Memory is the peak while reading, over what the process held before.

A peer must do the same job. The keys of JSON lines are those of the whole file, as ours are: Polars by itself looks at
its first 100 lines alone, which is shown too. The Arrow file is compressed, as pandas writes it: of one that is not,
Polars only maps the pages, and values that nobody looks at are never read.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.connectors.tables.arguments import TableAt  # noqa: E402  found through the line above
from factory.connectors.tables.place import place_of  # noqa: E402
from factory.connectors.tables.reader import Narrowing  # noqa: E402
from factory.connectors.tables.readers import reader_of  # noqa: E402

BATCH_ROWS = 50_000
EXCEL_ROWS = 100_000
SMALL_ROWS = 1_000


def table(rows: int) -> pl.DataFrame:
    """Return a table of numbers, texts and moments, as an export has them."""
    number = pl.int_range(rows)
    return pl.select(
        id=number,
        plant=pl.concat_str(pl.lit("plant "), number % 17),
        at=pl.datetime(2024, 1, 1) + pl.duration(seconds=number),
        weight=(number * 7919 % 100_003) / 97,
        pressure=(number * 104_729 % 9_973) / 1_000,
        note=pl.when(number % 5 > 0).then(pl.concat_str(pl.lit("order "), number * 31 % 1_000_003)),
        scrap=number % 2,
    )


def quoted(frame: pl.DataFrame, path: Path) -> None:
    """Write a CSV file with every field in quote marks."""
    frame.write_csv(path, quote_style="always")


def workbook(frame: pl.DataFrame, path: Path) -> None:
    """Write the first rows as a workbook."""
    frame.head(EXCEL_ROWS).with_columns(pl.col("at").cast(pl.String)).write_excel(path)


def lazily(plan: pl.LazyFrame) -> int:
    """Return how many rows Polars gives in batches."""
    return sum(map(len, plan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)))


def by_arrow(path: str) -> int:
    """Return how many rows Arrow's CSV parser gives as texts, as frames of Polars."""
    from pyarrow import csv, large_string

    kinds = dict.fromkeys(table(1).columns, large_string())
    batches = csv.open_csv(path, convert_options=csv.ConvertOptions(column_types=kinds, strings_can_be_null=True))
    return sum(len(pl.DataFrame(pl.from_arrow(batch))) for batch in batches)


def by_calamine(path: str) -> int:
    """Return how many rows Calamine gives, as a frame of Polars."""
    from python_calamine import CalamineWorkbook

    heading, *rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    return len(pl.DataFrame(rows, schema=[str(name) for name in heading], orient="row", strict=False))


WRITE: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "plain.csv": pl.DataFrame.write_csv,
    "quoted.csv": quoted,
    "orders.jsonl": pl.DataFrame.write_ndjson,
    "orders.parquet": pl.DataFrame.write_parquet,
    "orders.feather": lambda frame, path: frame.write_ipc(path, compression="lz4"),
    "delta": pl.DataFrame.write_delta,
    "orders.xlsx": workbook,
}
BARE: dict[str, dict[str, Callable[[str], int]]] = {
    "plain.csv": {"Polars": lambda at: lazily(pl.scan_csv(at, infer_schema=False)), "Arrow": by_arrow},
    "quoted.csv": {"Polars": lambda at: lazily(pl.scan_csv(at, infer_schema=False)), "Arrow": by_arrow},
    "orders.jsonl": {
        "Polars, all keys": lambda at: lazily(pl.scan_ndjson(at, infer_schema_length=None)),
        "Polars": lambda at: lazily(pl.scan_ndjson(at)),
    },
    "orders.parquet": {"Polars": lambda at: lazily(pl.scan_parquet(at))},
    "orders.feather": {"Polars": lambda at: lazily(pl.scan_ipc(at))},
    "delta": {"Polars": lambda at: lazily(pl.scan_delta(at))},
    "orders.xlsx": {"Calamine": by_calamine},
}


def ours(at: str) -> int:
    """Return how many rows our reader gives."""
    reader = reader_of(place_of(at, Path(at).parent), TableAt(at=at))
    batches: Iterable[pl.DataFrame] = reader.batches(list(reader.schema()), Narrowing())
    return sum(map(len, batches))


def measure(kind: str, who: str, at: str) -> dict[str, float]:
    """Read once in this process, which has read a small table so before."""
    read = ours if who == "ours" else BARE[kind][who]
    read(str(small(Path(at))))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_kib("VmRSS")
    clock, cpu = time.perf_counter(), time.process_time()
    rows = read(at)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return {"rows": rows, "clock_s": clock, "cpu_s": cpu, "mib": (memory_kib("VmHWM") - before) / 1024}


def memory_kib(name: str) -> int:
    """Return what Linux says of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def small(at: Path) -> Path:
    """Return the place of the small table that is read before one is measured."""
    return at.parent / "small" / at.name


def in_a_process(kind: str, who: str, at: Path) -> dict[str, float]:
    """Read once in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, who, str(at)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(said.stdout)
    return result


def compare(kind: str, at: Path, rounds: int) -> None:
    """Print a reader's figures beside those of each bare library."""
    runs: dict[str, list[dict[str, float]]] = {who: [] for who in ("ours", *BARE[kind])}
    for _ in range(rounds):
        for who, results in runs.items():
            results.append(in_a_process(kind, who, at))
    best = {
        who: {name: min(one[name] for one in results) for name in ("rows", "clock_s", "cpu_s", "mib")}
        for who, results in runs.items()
    }
    mine = best.pop("ours")
    for who, other in best.items():
        assert mine["rows"] == other["rows"], (kind, who, mine, other)
        print(
            f"{kind:15} {mine['rows']:>9,.0f} rows  {mine['rows'] / mine['clock_s']:>11,.0f} rows/s  "
            f"{other['clock_s'] / mine['clock_s']:5.2f} x {who} by the clock, {other['cpu_s'] / mine['cpu_s']:5.2f} x "
            f"by CPU  {mine['mib']:6.0f} MiB (it: {other['mib']:.0f})",
            flush=True,
        )


def main() -> None:
    """Write the tables, and read each with everybody."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=WRITE, default=list(WRITE), metavar="KIND")
    parser.add_argument("--measure", nargs=3, metavar=("KIND", "WHO", "AT"))
    said = parser.parse_args()
    if said.measure:
        print(json.dumps(measure(*said.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        frame = table(said.rows)
        for kind in said.kinds:
            at, write = Path(folder) / kind, WRITE[kind]
            write(frame, at)
            small(at).parent.mkdir(exist_ok=True)
            write(frame.head(SMALL_ROWS), small(at))
            compare(kind, at, said.rounds)


if __name__ == "__main__":
    main()

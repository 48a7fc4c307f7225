"""Business rows at the gateway's door: what it costs that the gateway builds their features.

    python -m benchmarks.serving.business HOME [--line departure_delay] [--site UA] [--rows 1,32,200] [--seconds 5]

HOME is one in which `factory run` of the line has ended. The newest raw rows of the site that the line's snapshot
answers are asked about as `records`; beside it the same rows' features as `rows`, by name, which is the bound of a
gateway that builds nothing; and, without a gateway, the line's own feature code on the same rows and snapshot alone,
neither judged by the contract nor sent. Prints requests per second, p50 and p99 in milliseconds, CPU milliseconds a
request, and what a request of records takes as a multiple of the feature code alone. Needs `wrk`.
"""

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars.selectors as cs

from benchmarks.serving.compare import PORT, ROOT, Server, gateway, started
from benchmarks.serving.load import loaded
from factory.features.online.builder import Builder
from factory.features.online.serving import ServedSnapshots
from factory.storage.columns import LOAD, ROW
from factory.storage.home import Home
from factory.storage.lake_store import LakeStore

CONCURRENCY = (1, 4)
ROUNDS = 15


def newest(home: Path, builder: Builder, site: str, count: int) -> list[dict[str, Any]]:
    """Return the newest raw rows of the site that the snapshot answers, as a client writes them."""
    path = builder.snapshot.row_path
    raw = LakeStore.at(Home.at(home)).of(builder.snapshot.line).scan(f"raw/{path.table}", [site])
    rows = raw.sort(LOAD, ROW).unique(path.key, keep="last", maintain_order=True).tail(2 * count).collect()
    written = rows.select(list(path.columns)).with_columns(cs.temporal().dt.to_string("iso:strict")).to_dicts()
    places = builder.build(site, written).places[-count:]
    assert len(places) == count, f"the snapshot answers {len(places)} of the newest rows of {site}, not {count}"
    return [written[place] for place in places]


def features(builder: Builder, site: str, records: Sequence[Mapping[str, Any]]) -> list[dict[str, float | None]]:
    """Return the same rows' features by their names."""
    built = builder.build(site, records)
    return [
        {name: None if math.isnan(value) else value for name, value in zip(builder.feature_names, row, strict=True)}
        for row in built.features.tolist()
    ]


def alone_ms(builder: Builder, site: str, records: Sequence[Mapping[str, Any]]) -> float:
    """Return the median milliseconds of the line's repair and features on these rows, and nothing else."""
    rows, took = builder.typed(site, records).drop(ROW), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        builder.features(site, rows)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1_000


def asked(server: Server, pid: int, body: str, connections: int, seconds: int) -> tuple[float, str]:
    """Ask for some seconds; return p50 in milliseconds, and the figures as text."""
    headers = "".join(f'wrk.headers["{name}"]="{value}"\n' for name, value in server.headers.items())
    script = f'wrk.method="POST"\n{headers}wrk.body=[==[{body}]==]\n'
    found = loaded(
        pid, f"http://127.0.0.1:{PORT}{server.path}", script, concurrency=connections, seconds=seconds, timeout_s=30
    )
    text = f"{found.per_s:10,.1f} {found.p50_ms:9.2f} {found.p99_ms:9.2f} {found.cpu_us / 1_000:11.2f}"
    return found.p50_ms, text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--line", default="departure_delay")
    parser.add_argument("--site", default="UA")
    parser.add_argument("--rows", default="1,32,200")
    parser.add_argument("--seconds", type=int, default=5)
    given = parser.parse_args()
    assert shutil.which("wrk"), "wrk is not installed"
    sys.path.insert(0, str(ROOT))
    place = Home.at(given.home)
    builder = ServedSnapshots(place.models, place.public_key, ROOT).builder(given.line)
    print(
        f"{'rows':>5} {'asked as':>9} {'conns':>5} {'req/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'CPU ms/req':>11}  ratio"
    )
    with served(given.home, f"/v1/lines/{given.line}/sites/{given.site}/predict") as server:
        for count in map(int, given.rows.split(",")):
            records = newest(given.home, builder, given.site, count)
            compared(server, builder, given.site, records, given.seconds)


@contextmanager
def served(home: Path, path: str) -> Iterator[Server]:
    """Yield a gateway over a copy of what the home serves: its own keys stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        there, here = Home.at(home), Home.at(copy)
        shutil.copytree(there.models, here.models, symlinks=True)
        here.keys.mkdir()
        shutil.copy(there.public_key, here.public_key)
        yield replace(gateway(copy), path=path)


def compared(server: Server, builder: Builder, site: str, records: list[dict[str, Any]], seconds: int) -> None:
    """Measure one number of rows in each way, and print."""
    alone, count = alone_ms(builder, site, records), len(records)
    print(f"{count:5} {'alone':>9} {'':5} {1_000 / alone:10,.1f} {alone:9.2f}")
    bodies = {"records": records, "rows": features(builder, site, records)}
    with started(replace(server, first=json.dumps({"records": records}))) as (pid, _):
        for name, content in bodies.items():
            for connections in CONCURRENCY:
                p50, text = asked(server, pid, json.dumps({name: content}), connections, seconds)
                print(f"{count:5} {name:>9} {connections:5} {text}  {p50 / alone:.2f}", flush=True)


if __name__ == "__main__":
    main()

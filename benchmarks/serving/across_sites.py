"""What could one call of a model over many sites gain? The gateway's cost a request over few sites and many.

    python -m benchmarks.serving.across_sites [--seconds 3] [--models small,departure] [--sites 1,16,250,1000]

The same file is released at every site, and `wrk` goes round them with the same question of one row, so that what
differs is the calls: over one site the gateway asks the model once for all that came in a turn of its loop, over many
each site's model by itself. Were they one network with each site's weights beside it, a request could not cost less
than over one site: that is the bound. A gateway of its own for each number of sites. At most 256 models are awake, so
over 1,000 in turn each question wakes a model: that is what waking costs, no call over many sites would spare it.
Prints CPU microseconds a request, also as a multiple of one site's, and rows a call of the model.

Then, without a server, what the model's calls alone cost: the same rows as one site's, as each site's own, and by one
network with all sites' weights stacked in it, which a call over many sites would have to be.
"""

import argparse
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnxruntime

from benchmarks.serving.compare import PORT, Server, gateway, question, started
from benchmarks.serving.load import Figures, loaded
from benchmarks.serving.models import DEPARTURE_FEATURES, FEATURES, departure_sized, network, released

CONCURRENCY = (64, 256)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network, and how many features it takes."""

    made: Callable[[], bytes]
    features: int


MODELS = {
    "small": Model(made=network, features=FEATURES),
    "departure": Model(made=departure_sized, features=DEPARTURE_FEATURES),
}


def names(sites: int) -> list[str]:
    """The sites' names; the first is the one that is asked whether the gateway is up."""
    return ["UA", *(f"S{number}" for number in range(1, sites))]


def script(server: Server, sites: int) -> str:
    """Have wrk go round the sites, with requests written before it begins."""
    headers = "".join(f'wrk.headers["{name}"]="{value}"\n' for name, value in server.headers.items())
    paths = ",".join(f'"/v2/models/toy.{name}/infer"' for name in names(sites))
    return (
        f'wrk.method="POST"\n{headers}wrk.body=[==[{question(server, 1)}]==]\n'
        f"local paths, requests, turn = {{{paths}}}, {{}}, 0\n"
        "init = function(args) for i, path in ipairs(paths) do requests[i] = wrk.format(nil, path) end end\n"
        "request = function() turn = turn % #requests + 1; return requests[turn] end\n"
    )


def calls_and_rows(server: Server) -> tuple[float, float]:
    """Return how often models were called, and with how many rows in all."""
    text = httpx.get(f"http://127.0.0.1:{PORT}/metrics", headers=server.headers, timeout=30).text
    found = (re.findall(rf"^factory_batch_rows_{kind}{{.*}} ([\d.e+]+)$", text, re.M) for kind in ("count", "sum"))
    calls, rows = (sum(map(float, numbers)) for numbers in found)
    return calls, rows


def measured(server: Server, pid: int, asked: str, concurrency: int, seconds: int) -> tuple[Figures, float]:
    """Ask for some seconds; return what came of it, and the rows of one call of a model."""
    calls, rows = calls_and_rows(server)
    found = loaded(pid, f"http://127.0.0.1:{PORT}{server.path}", asked, concurrency=concurrency, seconds=seconds)
    calls_after, rows_after = calls_and_rows(server)
    return found, (rows_after - rows) / (calls_after - calls)


def over(sites: int, model: Model, content: bytes, seconds: int) -> dict[int, tuple[Figures, float]]:
    """Return what was measured of a gateway with so many sites, by concurrency."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        released(home, content, sites=names(sites), features=model.features)
        server = gateway(home, model.features)
        asked = script(server, sites)
        with started(server) as (pid, _):
            measured(server, pid, asked, 64, 2)  # to warm up
            return {connections: measured(server, pid, asked, connections, seconds) for connections in CONCURRENCY}


def calls_alone(sites: int, each: int) -> dict[str, float]:
    """Return the CPU microseconds a row of each way to ask about some rows of each site."""
    rows = np.random.default_rng(7).normal(size=(sites, each, FEATURES)).astype(np.float32)
    own, stacked, flat = session(network()), session(network(stack=(sites,))), rows.reshape(-1, FEATURES)
    each_its_own = [session(network()) for _ in range(sites)]
    ways = {
        "one site": lambda: own.run(None, {"features": flat}),
        "each its own": lambda: [one.run(None, {"features": of}) for one, of in zip(each_its_own, rows, strict=True)],
        "stacked": lambda: stacked.run(None, {"features": rows}),
    }
    return {name: min(cpu_us(way) for _ in range(5)) / len(flat) for name, way in ways.items()}


def session(content: bytes) -> onnxruntime.InferenceSession:
    """One session on one thread, as the gateway has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def cpu_us(way: Callable[[], object], times: int = 200) -> float:
    """Return the CPU microseconds of one call."""
    before = time.process_time()
    for _ in range(times):
        way()
    return (time.process_time() - before) / times * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument(
        "--sites", default="1,16,250,1000", help="numbers of sites; the first is what the others are of"
    )
    given = parser.parse_args()
    assert shutil.which("wrk"), "wrk is not installed"
    served(given.models.split(","), list(map(int, given.sites.split(","))), given.seconds)
    print("\nthe small network's calls alone, CPU µs a row")
    for sites, each in ((16, 1), (16, 4), (16, 16), (64, 1), (256, 1)):
        found = ", ".join(f"{name} {us:.2f}" for name, us in calls_alone(sites, each).items())
        print(f"{sites:4} sites, {each:3} rows each: {found}", flush=True)


def served(models: list[str], numbers: list[int], seconds: int) -> None:
    """Measure the gateway over so many sites, and print."""
    columns = f"{'CPU µs/req':>11} {'of one':>7} {'rows/call':>9} {'req/s':>9} {'p99 ms':>8} {'wrk cores':>9}"
    print(f"{'model':10} {'sites':>6} {'conns':>5} {columns}")
    for name in models:
        model, first = MODELS[name], dict[int, float]()
        content = model.made()
        for sites in numbers:
            for connections, (found, rows) in over(sites, model, content, seconds).items():
                one = first.setdefault(connections, found.cpu_us)
                print(
                    f"{name:10} {sites:6} {connections:5} {found.cpu_us:11,.0f} {found.cpu_us / one:7.2f} {rows:9.1f} "
                    f"{found.per_s:9,.0f} {found.p99_ms:8.2f} {found.wrk_cores:9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

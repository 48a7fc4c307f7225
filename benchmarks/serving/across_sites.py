"""What could one call of a model over many sites gain at most? The gateway's cost a request over few sites and many.

    python -m benchmarks.serving.across_sites [--seconds 3] [--models small,departure] [--sites 1,16,1000]

The same file is released at every site, and `wrk` goes round them with the same question of one row, so that what
differs is the calls: over one site the gateway asks the model once for all that came in a turn of its loop, over many
each site's model by itself. Were they one network with each site's weights beside it, a request could not cost less
than over one site. A gateway of its own for each number of sites; beyond 256 models it has to wake those asleep.
Prints CPU microseconds a request, rows a call of the model, requests per second, and CPU as a multiple of one site's.
"""

import argparse
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--sites", default="1,16,1000", help="numbers of sites; the first is what the others are of")
    given = parser.parse_args()
    assert shutil.which("wrk"), "wrk is not installed"
    columns = f"{'CPU µs/req':>11} {'of one':>7} {'rows/call':>9} {'req/s':>9} {'p99 ms':>8} {'wrk cores':>9}"
    print(f"{'model':10} {'sites':>6} {'conns':>5} {columns}")
    for name in given.models.split(","):
        model, first = MODELS[name], {}
        content = model.made()
        for sites in map(int, given.sites.split(",")):
            for connections, (found, rows) in over(sites, model, content, given.seconds).items():
                one = first.setdefault(connections, found.cpu_us)
                print(
                    f"{name:10} {sites:6} {connections:5} {found.cpu_us:11,.0f} {found.cpu_us / one:7.2f} {rows:9.1f} "
                    f"{found.per_s:9,.0f} {found.p99_ms:8.2f} {found.wrk_cores:9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

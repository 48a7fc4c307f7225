"""The gateway beside other servers: same model, same payloads, same client, one run.

    python -m benchmarks.serving.compare [--seconds 3] [--servers gateway,echo,…] [--python kserve=<its python>,…]

The gateway runs with everything on: keys, range guard, metrics, records; `gateway2` is two workers of it, `gateway4`
four. Needs `wrk`. Prints requests per second, p50
and p99 in milliseconds, CPU microseconds a request (all processes of the server), memory and start-up; on a machine
that others use too, CPU a request is the figure that can be compared.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper

from factory.gateway.key_file import add_key
from factory.repository import Guard, ModelRepository
from factory.signature import Signature
from factory.signing import signing_key
from factory.verdict import Verdict, digest_of

FEATURES, HIDDEN = 12, 64
CONCURRENCY, BATCHES = (1, 16, 64), (1, 32, 256)
PORT = 8091
ROOT = Path(__file__).parents[2]
PATH = "/v2/models/toy.UA/infer"
IN_PROCESS = ("gateway", "echo", "raw_asgi", "fastapi", "mlflow")


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server to measure: how it is started, and how it wants to be asked."""

    name: str
    words: list[str]
    path: str = PATH
    headers: dict[str, str]
    mlflow: bool = False


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of one server at one load."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def network(hidden: int = HIDDEN) -> bytes:
    """A network of two hidden layers on 12 features."""
    rng = np.random.default_rng(7)
    sizes = [FEATURES, hidden, hidden, 1]
    constants, nodes, last = [], [], "features"
    for layer, (before, after) in enumerate(pairwise(sizes)):
        weights = rng.normal(0, 0.3, (before, after)).astype(np.float32)
        constants.append(onnx.numpy_helper.from_array(weights, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"z{layer}"]))
        last = "probability" if after == 1 else f"a{layer}"
        nodes.append(helper.make_node("Sigmoid" if after == 1 else "Relu", [f"z{layer}"], [last]))
    takes = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", FEATURES])
    gives = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1])
    graph = helper.make_graph(nodes, "network", [takes], [gives], constants)
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def released(home: Path, content: bytes) -> None:
    """Release the model as a line would."""
    names = tuple(f"f{number}" for number in range(FEATURES))
    verdict = Verdict(line="toy", site="UA", digest=digest_of(content), passed=True, reasons=(), figures={})
    ModelRepository(home / "models").release(
        content,
        line="toy",
        site="UA",
        version=1,
        verdict=verdict,
        signature=Signature(task="binary", features=names, output="probability", answers=("probability",)),
        threshold=0.5,
        provenance={},
        example=(0.0,) * FEATURES,
        key=signing_key(home / "keys"),
        guard=Guard(ranges=dict.fromkeys(names, (-3.0, 3.0))),
    )


def question(rows: int, *, mlflow: bool) -> str:
    """The request's body, in the protocol's words or in MLflow's."""
    generator = random.Random(7)  # noqa: S311  numbers to ask about
    data = [[round(generator.uniform(-2, 2), 4) for _ in range(FEATURES)] for _ in range(rows)]
    if mlflow:
        return json.dumps({"inputs": data})
    return json.dumps({"inputs": [{"name": "features", "shape": [rows, FEATURES], "datatype": "FP32", "data": data}]})


def servers(home: Path, model: Path, chosen: list[str], pythons: dict[str, str]) -> Iterator[Server]:
    """Yield what is to be measured."""
    json_only = {"content-type": "application/json"}
    for name in chosen:
        if workers := re.fullmatch(r"gateway(\d*)", name):
            secret = add_key(home / "keys" / "gateway.json", "benchmark", sites=["UA"])
            words = [str(Path(sys.executable).with_name("factory")), "serve", "--port", str(PORT), "--home", str(home)]
            words += ["--workers", workers[1] or "1"]
            yield Server(name=name, words=words, headers={**json_only, "authorization": f"Bearer {secret}"})
        elif name == "mlflow":
            words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(mlflow_model(home, model))]
            words += ["--env-manager", "local", "--port", str(PORT)]
            yield Server(name=name, words=words, path="/invocations", headers=json_only, mlflow=True)
        else:
            python = pythons.get(name, sys.executable)
            words = [python, str(ROOT / "benchmarks" / "serving" / "peers.py"), name, str(PORT), str(model)]
            yield Server(name=name, words=words, headers=json_only)


def mlflow_model(home: Path, model: Path) -> Path:
    """Save the same file as an MLflow model."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    place = home / "mlflow"
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("float32"), (-1, FEATURES), "features")]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 1), "probability")]),
    )
    requirements = ["onnxruntime"]
    mlflow.onnx.save_model(
        onnx.load(model), str(place), signature=signature, pip_requirements=requirements, save_as_external_data=False
    )
    return place


@contextmanager
def started(server: Server) -> Iterator[tuple[int, float]]:
    """Run a server until it answers the question; yield its process id and how many seconds that took."""
    start = time.perf_counter()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow looks for uvicorn there
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(server.words, cwd=ROOT, env={**os.environ, "PATH": path}, **silent) as process:
        try:
            while not answers(server):
                assert process.poll() is None, f"{server.name} ended with {process.returncode}: {server.words}"
                assert time.perf_counter() - start < 120, f"{server.name} never answered"
                time.sleep(0.02)
            yield process.pid, time.perf_counter() - start
        finally:
            for one in family(process.pid)[1:]:
                subprocess.run(["kill", str(one)], check=False, stderr=subprocess.DEVNULL)  # noqa: S607
            process.terminate()
    wait_until_free()


def answers(server: Server) -> bool:
    """Whether the server answers the question now."""
    try:
        body = question(1, mlflow=server.mlflow)
        answer = httpx.post(f"http://127.0.0.1:{PORT}{server.path}", content=body, headers=server.headers, timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200


def wait_until_free() -> None:
    """Return once nothing listens on the port."""
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{PORT}/", timeout=1)
        except httpx.ConnectError:
            return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


def measured(server: Server, pid: int, *, concurrency: int, rows: int, seconds: int) -> Figures:
    """Ask for some seconds, and return what came of it."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        headers = "".join(f'wrk.headers["{name}"]="{value}"\n' for name, value in server.headers.items())
        script.write(f'wrk.method="POST"\n{headers}wrk.body=[==[{question(rows, mlflow=server.mlflow)}]==]\n')
        script.flush()
        words = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--latency", "-s", script.name]
        before = cpu_s(pid)
        done = subprocess.run(
            [*words, f"http://127.0.0.1:{PORT}{server.path}"], capture_output=True, text=True, check=True
        )
        after = cpu_s(pid)
    assert "Non-2xx" not in done.stdout, f"{server.name}: {done.stdout}"
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])  # type: ignore[index]
    return Figures(
        per_s=float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]),  # type: ignore[index]
        p50_ms=milliseconds(done.stdout, "50%"),
        p99_ms=milliseconds(done.stdout, "99%"),
        cpu_us=(after - before) / max(1, requests) * 1e6,
    )


def milliseconds(text: str, line: str) -> float:
    """Return a percentile that wrk printed."""
    number, unit = re.search(rf"{line}\s+([\d.]+)(us|ms|s|m)\b", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]


def family(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    if not Path(f"/proc/{pid}").exists():
        return found
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process and all that it started have used."""
    return (
        sum(
            sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]))
            for one in family(pid)
        )
        / 100
    )


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and all that it started."""
    statuses = [Path(f"/proc/{one}/status").read_text() for one in family(pid)]
    return sum(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) for status in statuses) / 1024  # type: ignore[index]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--servers", default=",".join(IN_PROCESS))
    parser.add_argument("--python", default="", help="name=path of the python that has the peer, comma-separated")
    given = parser.parse_args()
    assert shutil.which("wrk"), "wrk is not installed"
    pythons = dict(pair.split("=", 1) for pair in given.python.split(",") if pair)
    with tempfile.TemporaryDirectory() as folder:
        home, content = Path(folder), network()
        model = home / "model.onnx"
        model.write_bytes(content)
        released(home, content)
        print(f"{'server':10} {'conns':>5} {'rows':>5} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs/req':>11}")
        for server in servers(home, model, given.servers.split(","), pythons):
            with started(server) as (pid, start_s):
                measured(server, pid, concurrency=16, rows=1, seconds=2)  # to warm up
                for concurrency in CONCURRENCY:
                    for rows in BATCHES:
                        found = measured(server, pid, concurrency=concurrency, rows=rows, seconds=given.seconds)
                        print(
                            f"{server.name:10} {concurrency:5} {rows:5} {found.per_s:9,.0f} {found.p50_ms:8.2f} "
                            f"{found.p99_ms:8.2f} {found.cpu_us:11,.0f}",
                            flush=True,
                        )
                print(f"{server.name:10} up in {start_s:.2f} s, {memory_mb(pid):.0f} MB", flush=True)


if __name__ == "__main__":
    main()

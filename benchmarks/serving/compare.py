"""The gateway beside other servers: same model, same payloads, same client, one run.

    python -m benchmarks.serving.compare [--seconds 3] [--servers gateway,triton,…] [--python triton=<its python>,…]

The gateway runs with everything on: keys, range guard, metrics, records; `gateway2` is two workers of it, `gateway4`
four. Triton runs over the gateway's own repository. Needs `wrk`. Prints requests per second, p50 and p99 in
milliseconds, CPU microseconds a request (all processes of the server), how many cores wrk took beside it, memory, and
the time from the start to the first answer; on a machine that others use too, CPU a request is the figure that can be
compared. triton, kserve, litserve, bentoml and ray each want an environment of their own, with onnxruntime in it.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx

from benchmarks.serving.load import Figures, family, loaded, memory_mb, runs
from benchmarks.serving.models import FEATURES, network, released
from factory.gateway.access.key_file import add_key
from factory.storage.home import Home

CONCURRENCY, BATCHES = (1, 16, 64), (1, 32, 256)
PORT = 8091
ROOT = Path(__file__).parents[2]
SERVING = ROOT / "benchmarks" / "serving"
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
    features: int = FEATURES
    first: str = ""
    """What is asked to learn whether it answers; a question of one row where nothing is said."""


def question(server: Server, rows: int) -> str:
    """The request's body, in the protocol's words or in MLflow's."""
    generator = random.Random(7)  # noqa: S311  numbers to ask about
    data = [[round(generator.uniform(-2, 2), 4) for _ in range(server.features)] for _ in range(rows)]
    if server.mlflow:
        return json.dumps({"inputs": data})
    tensor = {"name": "features", "shape": [rows, server.features], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]})


def servers(home: Path, model: Path, chosen: list[str], pythons: dict[str, str]) -> Iterator[Server]:
    """Yield what is to be measured."""
    json_only = {"content-type": "application/json"}
    for name in chosen:
        python = pythons.get(name, sys.executable)
        if workers := re.fullmatch(r"gateway(\d*)", name):
            yield gateway(home, workers=int(workers[1] or 1))
        elif name == "mlflow":
            words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(mlflow_model(home, model))]
            words += ["--env-manager", "local", "--port", str(PORT)]
            yield Server(name=name, words=words, path="/invocations", headers=json_only, mlflow=True)
        elif name == "triton":
            words = [python, str(SERVING / "triton" / "start.py"), str(Home.at(home).models), f"--http-port={PORT}"]
            words += ["--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]
            yield Server(name=name, words=words, headers=json_only)
        else:
            words = [python, str(SERVING / "peers.py"), name, str(PORT), str(model)]
            yield Server(name=name, words=words, headers=json_only)


def gateway(home: Path, features: int = FEATURES, workers: int = 1) -> Server:
    """The gateway, and a key to all of its sites."""
    secret = add_key(Home.at(home).api_keys, "benchmark")
    words = [str(Path(sys.executable).with_name("factory")), "serve", "--port", str(PORT), "--home", str(home)]
    words += ["--workers", str(workers)]
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
    return Server(
        name=f"gateway{workers}" if workers > 1 else "gateway", words=words, headers=headers, features=features
    )


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
    assert not listens(), f"port {PORT} is taken; {server.name} would not be what answers"
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
            end(family(process.pid))
    while listens():
        time.sleep(0.1)


def answers(server: Server) -> bool:
    """Whether the server answers the question now."""
    try:
        body = server.first or question(server, 1)
        answer = httpx.post(f"http://127.0.0.1:{PORT}{server.path}", content=body, headers=server.headers, timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200


def end(processes: list[int]) -> None:
    """End a server and all that it started; what will not end would be measured beside the next one."""
    for sent, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 1.0)):
        for one in filter(runs, reversed(processes)):
            with suppress(ProcessLookupError):
                os.kill(one, sent)
        until = time.perf_counter() + patience_s
        while any(map(runs, processes)) and time.perf_counter() < until:
            time.sleep(0.05)


def listens() -> bool:
    """Whether something listens on the port."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", PORT)) == 0


def measured(server: Server, pid: int, *, concurrency: int, rows: int, seconds: int) -> Figures:
    """Ask for some seconds, and return what came of it."""
    headers = "".join(f'wrk.headers["{name}"]="{value}"\n' for name, value in server.headers.items())
    script = f'wrk.method="POST"\n{headers}wrk.body=[==[{question(server, rows)}]==]\n'
    url = f"http://127.0.0.1:{PORT}{server.path}"
    return loaded(pid, url, script, concurrency=concurrency, seconds=seconds)


def compared(server: Server, seconds: int) -> None:
    """Measure one server at each load, and print."""
    with started(server) as (pid, start_s):
        measured(server, pid, concurrency=16, rows=1, seconds=2)  # to warm up
        for concurrency in CONCURRENCY:
            for rows in BATCHES:
                found = measured(server, pid, concurrency=concurrency, rows=rows, seconds=seconds)
                print(
                    f"{server.name:10} {concurrency:5} {rows:5} {found.per_s:9,.0f} {found.p50_ms:8.2f} "
                    f"{found.p99_ms:8.2f} {found.cpu_us:11,.0f} {found.wrk_cores:9.2f}",
                    flush=True,
                )
        print(f"{server.name:10} first answer after {start_s:.2f} s, {memory_mb(pid):.0f} MB", flush=True)


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
        columns = f"{'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs/req':>11} {'wrk cores':>9}"
        print(f"{'server':10} {'conns':>5} {'rows':>5} {columns}")
        for server in servers(home, model, given.servers.split(","), pythons):
            compared(server, given.seconds)


if __name__ == "__main__":
    main()

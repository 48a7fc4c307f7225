"""A real `factory serve` of several workers, and what is asked of it."""

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.gateway.builders import Shop, eventually, onnx_model, question

ROOT = Path(__file__).resolve().parents[2]
INFER = "/v2/models/toy.UA/infer"
ONE_ROW = question([[1, 2, 3]])
LABELS = 'line="toy",model="toy.UA",role="champion",site="UA",version="3"'
WORKERS = 2


class Served:
    """A running `factory serve --workers 2`."""

    def __init__(self, process):
        self.process = process
        self.log = []
        self.port = self.grpc_port = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)

    def begin(self):
        """Wait until all workers answer."""
        eventually(lambda: self.told("workers answer on"))
        told = self.told("workers answer on")
        self.port = int(re.search(r"http://\S+:(\d+)", told)[1])
        self.grpc_port = int(re.search(r"gRPC on port (\d+)|$", told)[1] or 0)

    def told(self, words):
        return next((line for line in self.log if words in line), None)

    @property
    def workers(self):
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(worker) for task in tasks for worker in task.read_text().split()]

    @contextmanager
    def client(self):
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            yield client

    @contextmanager
    def one_client_a_worker(self, **headers):
        """Connections that stay with the worker that took them: one for each worker, by the prefix of its names."""
        clients = {}
        try:
            for _ in range(100):
                client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, headers=headers)
                kept = clients.setdefault(worker_of(client), client)
                if kept is not client:
                    client.close()
                if len(clients) == WORKERS:
                    break
            assert len(clients) == WORKERS, "one worker took a hundred connections"
            yield list(clients.values())
        finally:
            for client in clients.values():
                client.close()


def worker_of(client):
    """The worker that a connection sits on: what its predictions' names begin with."""
    answer = client.post(INFER, json=ONE_ROW)
    assert answer.status_code == 200, answer.text
    return answer.json()["parameters"]["prediction_id"].partition("-")[0]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def words(shop, *more):
    command = "from factory.cli import main; main()"
    return [sys.executable, "-c", command, "serve", "--workers", str(WORKERS), "--home", str(shop.home), *more]


@contextmanager
def starting(shop, *more):
    """A gateway whose workers need not answer yet."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(
        words(shop, "--port", "0", *more), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True, **silent
    ) as process:
        try:
            yield Served(process)
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def serving(shop, *more):
    """A gateway that answers."""
    with starting(shop, *more) as served:
        served.begin()
        yield served


def refused(shop, *more):
    """What a gateway says that cannot begin; it must end by itself."""
    ended = subprocess.run(
        words(shop, *more), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


def released(home):
    made = Shop(home)
    made.release(onnx_model(), version=3)
    return made


def metric(client, name):
    for line in client.get("/metrics").text.splitlines():
        if line.startswith((f"{name} ", f"{name}{{{LABELS}")):
            return float(line.rpartition(" ")[2])
    return 0.0


def success(client):
    return metric(client, "nv_inference_request_success")


def came_back(served, killed):
    with served.client() as client:
        return killed not in served.workers and metric(client, "factory_workers") == WORKERS

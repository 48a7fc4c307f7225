"""Several processes answer on one port, as one gateway; whatever happens to one of them, the others go on."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc

from factory.gateway.key_file import add_key
from factory.gateway.ports import held_port
from tests.factory.gateway.builders import Shop, eventually, onnx_model, question

ROOT = Path(__file__).parents[3]
INFER = "/v2/models/toy.UA/infer"
ONE_ROW = question([[1, 2, 3]])
LABELS = 'model="toy.UA",version="3",line="toy",site="UA",role="champion"'
WORKERS = 2
HEAVY = {"numpy", "onnxruntime", "cryptography", "uvloop", "httptools", "grpc"}


class Served:
    """A running `factory serve --workers 2`."""

    def __init__(self, process):
        self.process = process
        self.log = []
        threading.Thread(target=self._read, daemon=True).start()
        eventually(lambda: self.told("workers answer on"), within_s=30)
        told = self.told("workers answer on")
        self.port = int(re.search(r"http://127.0.0.1:(\d+)", told)[1])
        self.grpc_port = int(re.search(r"gRPC on port (\d+)|$", told)[1] or 0)

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)

    def told(self, words):
        return next((line for line in self.log if words in line), None)

    @property
    def workers(self):
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(worker) for task in tasks for worker in task.read_text().split()]

    @contextmanager
    def client(self):
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10) as client:
            yield client

    @contextmanager
    def one_client_a_worker(self, **headers):
        """Connections that stay with the worker that took them: one for each worker, by the prefix of its names."""
        clients = {}
        try:
            for _ in range(100):
                client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, headers=headers)
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


def words(shop, *more):
    command = "from factory.cli import main; main()"
    return [sys.executable, "-c", command, "serve", "--workers", str(WORKERS), "--home", str(shop.home), *more]


@contextmanager
def serving(shop, *more):
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words(shop, "--port", "0", *more), cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, **silent
    ) as process:
        try:
            yield Served(process)
        finally:
            process.terminate()
            process.wait(30)


def refused(shop, *more):
    """What a gateway says that cannot begin; it must end by itself."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        words(shop, *more), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


def released(home):
    made = Shop(home)
    made.release(onnx_model(), version=3)
    return made


def status(served, secret):
    with served.client() as client:
        return client.post(INFER, json=ONE_ROW, headers={"x-api-key": secret}).status_code


def metric(client, name):
    for line in client.get("/metrics").text.splitlines():
        if line.startswith((f"{name} ", f"{name}{{{LABELS}")):
            return float(line.rpartition(" ")[2])
    return 0.0


def success(client):
    return metric(client, "nv_inference_request_success")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return released(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def served(shop):
    with serving(shop, "--grpc-port", "0") as made:
        yield made


def test_every_worker_answers_on_the_one_port(served):
    with served.one_client_a_worker() as clients:
        assert len({worker_of(client) for client in clients}) == WORKERS
    assert len(served.workers) == WORKERS


def test_whichever_worker_is_asked_tells_what_all_have_counted(served):
    with served.one_client_a_worker() as clients:
        before = success(clients[0])
        for client, requests in zip(clients, (3, 4), strict=True):
            for _ in range(requests):
                assert client.post(INFER, json=question([[1, 2, 3]] * 5)).status_code == 200
            client.post(INFER, json={})
        for client in clients:
            assert success(client) == before + 7
            assert metric(client, "factory_inference_duration_seconds_count") == before + 7
            assert metric(client, "factory_workers") == WORKERS
            assert metric(client, "factory_models_awake") == WORKERS
            cells = re.findall(r"<td>(.*?)</td>", client.get("/").text)
            assert cells[6] == f"{before + 7:,.0f}"
            assert f"Processes that answer: {WORKERS}." in client.get("/").text


def test_a_worker_that_is_silent_is_left_out_and_what_it_told_before_still_counts(served):
    with served.one_client_a_worker() as clients:
        before = [success(client) for client in clients]
        stopped = served.workers[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            found = []

            def ask(client):
                with suppress(httpx.TimeoutException):
                    found.append((client.get("/metrics", timeout=1.5).status_code, success(client)))
                    found.append(metric(client, "factory_workers"))

            asking = [threading.Thread(target=ask, args=(client,)) for client in clients]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert found == [(200, before[0]), WORKERS - 1]
        assert served.told("did not tell their counts")


def test_what_one_worker_is_told_to_unload_and_load_all_of_them_do(served):
    with served.one_client_a_worker() as clients:
        for client in clients:
            assert client.post("/v2/repository/models/toy.UA/unload").status_code == 200
            assert [other.get("/v2/models/toy.UA/ready").status_code for other in clients] == [503] * WORKERS
            assert client.post("/v2/repository/models/toy.UA/load").status_code == 200
            assert [other.get("/v2/models/toy.UA/ready").status_code for other in clients] == [200] * WORKERS


def test_many_loads_at_once_are_all_done_and_hold_nothing_up(served):
    with served.one_client_a_worker() as clients, ThreadPoolExecutor(24) as threads:
        asked = [client for client in clients for _ in range(12)]
        loaded = threads.map(lambda client: client.post("/v2/repository/models/toy.UA/load").status_code, asked)
        assert set(loaded) == {200}


def test_over_grpc_too_all_workers_do_it(served):
    with served.one_client_a_worker() as clients:
        triton = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{served.grpc_port}")
        triton.unload_model("toy.UA")
        assert [client.get("/v2/models/toy.UA/ready").status_code for client in clients] == [503] * WORKERS
        triton.load_model("toy.UA")
        assert triton.is_model_ready("toy.UA")
        triton.close()


def test_who_asks_to_load_what_is_refused_is_told_so_by_any_worker(served, shop):
    kept = shop.file().read_bytes()
    shop.tamper(b"other")
    try:
        with served.one_client_a_worker() as clients:
            for client in clients:
                assert client.post("/v2/repository/models/toy.UA/load").status_code == 400
    finally:
        shop.tamper(kept)
        with served.client() as client:
            assert client.post("/v2/repository/models/toy.UA/load").status_code == 200


def test_a_keys_rate_holds_for_the_gateway_as_a_whole_and_a_client_of_one_worker_has_all_of_it(served, shop):
    keys = shop.home / "keys" / "gateway.json"
    try:
        other = add_key(keys, "slow", rows_per_s=5)
        secret = add_key(keys, "erp")
        eventually(lambda: all(status(served, "wrong") == 401 for _ in range(12)))  # every worker has looked
        eventually(lambda: all(status(served, secret) == 200 for _ in range(12)))
        with served.one_client_a_worker(**{"x-api-key": secret}) as clients:
            slow = {"x-api-key": other}
            statuses = [
                client.post(INFER, json=question([[1, 2, 3]] * 10), headers=slow).status_code for client in clients
            ]
            assert statuses == [200, 429]
    finally:
        keys.write_text("[]")


def test_a_killed_worker_comes_back_and_nobody_on_another_one_sees_it(tmp_path):
    shop = released(tmp_path)
    shop.release(onnx_model(), version=1, site="DL")
    with serving(shop) as served, served.one_client_a_worker() as clients, served.client() as other:
        assert other.post("/v2/repository/models/toy.DL/unload").status_code == 200
        with Load(clients) as load:
            time.sleep(0.1)
            before = success(other)
            killed = served.workers[0]
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: served.told("was killed by SIGKILL"))
            for _ in range(20):
                with served.client() as new:
                    assert new.post(INFER, json=ONE_ROW).status_code == 200
                    assert success(new) >= before
            eventually(lambda: came_back(served, killed))
        assert sorted(load.undisturbed) == [False, True]  # on the killed worker, and on the other one
        with served.client() as new:
            before = success(new)
        killed = served.workers[0]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: came_back(served, killed))
        with served.client() as new:
            assert success(new) == before
        with served.one_client_a_worker() as again:
            assert [one.get("/v2/models/toy.DL/ready").status_code for one in again] == [503] * WORKERS


def came_back(served, killed):
    with served.client() as client:
        return killed not in served.workers and metric(client, "factory_workers") == WORKERS


class Load:
    """Each client asks again and again, in a thread of its own, until it fails or the block ends."""

    def __init__(self, clients):
        self.clients = clients
        self.undisturbed = [True] * len(clients)
        """Whether all was answered, on one connection: a new worker answers for who has to connect anew."""
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(place,)) for place in range(len(clients))]

    def _ask(self, place):
        client = self.clients[place]
        worker = worker_of(client)
        while not self.over.is_set() and self.undisturbed[place]:
            time.sleep(0.001)
            try:
                self.undisturbed[place] = worker_of(client) == worker
            except (httpx.TransportError, AssertionError):
                self.undisturbed[place] = False

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_told_to_end_all_workers_answer_what_is_under_way_and_leave_nothing(tmp_path):
    with tempfile.TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", temporary)
        with serving(released(tmp_path)) as served:
            (folder,) = Path(temporary).glob("gateway-*")
            assert folder.stat().st_mode & 0o777 == 0o700
            workers, body = served.workers, str(ONE_ROW).replace("'", '"').encode()
            head = f"POST {INFER} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            with socket.create_connection(("127.0.0.1", served.port)) as under_way:
                under_way.sendall(head + body[:5])
                time.sleep(0.2)
                served.process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
                under_way.sendall(body[5:])
                answer = b"".join(iter(lambda: under_way.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200")
            assert served.process.wait(20) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
        assert not folder.exists()
        assert not served.told("Traceback")


def test_workers_end_when_their_supervisor_is_killed(tmp_path):
    with serving(released(tmp_path)) as served:
        workers = served.workers
        served.process.kill()
        served.process.wait()
        try:
            eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("shared", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_that_another_program_has_is_told_once(shop, shared):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, shared, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (said,) = refused(shop, "--port", str(port)).splitlines()
    assert re.match(rf"CannotListen: cannot listen on 127.0.0.1:{port}: .*in use; choose another --port", said)


def test_a_port_whose_last_connections_fade_away_can_be_had_at_once():
    with socket.socket() as before:
        before.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        before.bind(("127.0.0.1", 0))
        before.listen()
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            before.accept()[0].close()  # who closes first keeps the port for a minute
            assert client.recv(1) == b""
    with held_port("127.0.0.1", port) as held, socket.socket() as worker:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            worker.setsockopt(socket.SOL_SOCKET, option, 1)
        worker.bind(("127.0.0.1", held))
        worker.listen()


def test_what_keeps_the_workers_from_beginning_is_told_once(tmp_path):
    shop = released(tmp_path)
    shop.public.unlink()
    (said,) = refused(shop, "--port", "0").splitlines()
    assert re.match(r"ModelRefused: .*release\.pub", said)


def test_the_supervisor_loads_nothing_that_answers():
    code = "import sys, factory.cli, factory.gateway.supervisor; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not HEAVY & set(told.stdout.split())


@pytest.mark.slow
def test_a_worker_that_cannot_come_back_is_tried_again_ever_more_seldom(tmp_path):
    shop = released(tmp_path)
    with serving(shop) as served:
        key = shop.public.read_bytes()
        shop.public.unlink()
        os.kill(served.workers[0], signal.SIGKILL)
        eventually(lambda: len(pauses(served)) == 4, within_s=30)
        assert pauses(served) == ["0.2", "0.4", "0.8", "1.6"]
        assert served.told("release.pub")
        for _ in range(50):
            with served.client() as new:
                assert new.post(INFER, json=ONE_ROW).status_code == 200
        shop.public.write_bytes(key)
        eventually(lambda: came_back(served, 0), within_s=30)


def pauses(served):
    return [found[1] for line in served.log if (found := re.search(r"the next one starts in ([\d.]+) s", line))]

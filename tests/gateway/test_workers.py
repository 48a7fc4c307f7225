"""Several processes answer on one port, as one gateway; whatever happens to one of them, the others go on."""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
import tritonclient.grpc

from factory.gateway.access.key_file import add_key
from tests.gateway.builders import eventually, onnx_model, question
from tests.gateway.several_workers import (
    INFER,
    ONE_ROW,
    WORKERS,
    came_back,
    metric,
    released,
    serving,
    success,
    worker_of,
)


def status(served, secret):
    with served.client() as client:
        return client.post(INFER, json=ONE_ROW, headers={"x-api-key": secret}).status_code


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
            cells = re.findall(r"<td[^>]*>(.*?)</td>", client.get("/").text)
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

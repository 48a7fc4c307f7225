"""A release changes, is tampered with or goes away while requests come in."""

import gc
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import onnx
import pytest

from factory.errors import ModelRefused, ReleaseRefused
from factory.gateway.models.served_model import ServedModel
from factory.gateway.models.trials import read_whole
from factory.gateway.processes.server import Server
from factory.gateway.settings import Settings
from factory.release import ModelRepository
from factory.release.history import Event
from factory.release.signing import signing_key
from tests.gateway.builders import Shop, eventually, expected, gateway, onnx_model, question, running, verdict

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = onnx_model(), onnx_model(bias=3.0)
ONE_ROW = question([[1.0, 2.0, 3.0]])
LOADING = "/v2/repository/models"


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(OLD, version=1)
    return made


def version(client, site="UA"):
    answer = client.post(f"/v2/models/toy.{site}/infer", json=ONE_ROW)
    return int(answer.json()["model_version"]) if answer.status_code == 200 else answer.status_code


def refused(client, site="UA") -> bool:
    return f'factory_release_refused_total{{model="toy.{site}"}} 1.0\n' in client.get("/metrics").text


class Load:
    """Requests without a pause from threads of their own, and every answer's status and version."""

    def __init__(self, client: httpx.Client) -> None:
        self.seen: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._client = client
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._client.base_url) as client:
            while not self._stop.is_set():
                answer = client.post("/v2/models/toy.UA/infer", json=ONE_ROW)
                self.seen.append((answer.status_code, answer.json().get("model_version", "")))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_new_release_is_served_without_a_failed_request(shop):
    with gateway(shop) as client:
        with Load(client) as load:
            eventually(lambda: len(load.seen) > 20)
            for number in range(2, 6):
                shop.release((OLD, NEW)[number % 2], version=number)
                eventually(lambda number=number: version(client) == number)
            enough = len(load.seen) + 20
            eventually(lambda: len(load.seen) > enough)
        assert {status for status, _ in load.seen} == {200}
        assert {"1", "5"} <= {served for _, served in load.seen}


def test_a_tampered_release_is_refused_and_the_old_one_goes_on_without_a_failed_request(shop, caplog):
    shop.release(NEW, version=2)
    shop.tamper(onnx_model(bias=9.0))
    switch(shop, 1)
    with gateway(shop) as client:
        with Load(client) as load:
            eventually(lambda: len(load.seen) > 20)
            switch(shop, 2)
            eventually(lambda: refused(client))
            enough = len(load.seen) + 50
            eventually(lambda: len(load.seen) > enough)
        assert set(load.seen) == {(200, "1")}
        assert refused(client)  # counted once, though it was looked at many times
        assert len([r for r in caplog.records if "version 1 goes on serving" in r.message]) == 1
        assert "newer release was refused" in client.get("/").text
        shop.release(NEW, version=3)
        eventually(lambda: version(client) == 3)


def switch(shop: Shop, sequence: int) -> None:
    """Point the link to a release by hand, in one rename as `release` does."""
    link = shop.home / "models" / ".releases" / "link"
    link.symlink_to(f".releases/toy.UA/{sequence}")
    link.replace(shop.home / "models" / "toy.UA")


def test_a_model_tampered_with_before_the_start_is_not_served_and_the_others_are(shop):
    shop.release(OLD, site="DL")
    shop.tamper(NEW)
    with gateway(shop) as client:
        assert version(client, "DL") == 1
        assert version(client, "UA") == 503
        assert client.get("/v2/models/toy.UA/ready").status_code == 503
        assert client.get("/v2/models/toy.DL/ready").status_code == 200
        assert client.get("/v2/health/ready").status_code == 200
        states = {model["name"]: model["state"] for model in client.post("/v2/repository/index").json()}
        assert states == {"toy.DL": "READY", "toy.UA": "UNAVAILABLE"}
        assert [m["name"] for m in client.post("/v2/repository/index", json={"ready": True}).json()] == ["toy.DL"]
        assert "nothing is served" in client.get("/").text


def test_a_release_signed_by_a_stranger_is_refused_and_the_old_one_stays(shop, tmp_path):
    key = signing_key(tmp_path / "stranger")
    with gateway(shop) as client:
        with pytest.raises(ReleaseRefused, match="its history was changed"):  # for the stranger's key it was
            shop.release(NEW, version=2, key=key)
        allowance = Event(kind="allowance", actor="a stranger", reason="let me in")
        shop.repository.site_history.append("toy.UA", allowance, key)
        shop.release(NEW, version=2, key=key)
        eventually(lambda: refused(client))
        assert version(client) == 1


def with_output(name):
    """The model with one more of its values among its outputs."""
    model = onnx.load_from_string(OLD)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3]))
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (b"no model", 3),
        (onnx_model((1.0, 2.0)), 3),
        (onnx_model(batch=1), 3),
        (onnx_model(bias=float("nan")), 3),
        (with_output("features"), 3),
    ],
    ids=["no ONNX", "other width", "one row only", "no number", "another output"],
)
def test_a_file_that_passed_but_cannot_serve_is_refused_and_the_old_one_stays(shop, content, columns):
    with gateway(shop) as client:
        shop.release(content, version=2, columns=columns, verdict=verdict(content))
        eventually(lambda: refused(client))
        assert version(client) == 1


def test_a_model_that_is_no_longer_released_is_unloaded(shop):
    shop.release(OLD, site="DL")
    with gateway(shop) as client:
        assert version(client) == 1
        (shop.home / "models" / "toy.UA").unlink()
        eventually(lambda: version(client) == 404)
        assert version(client, "DL") == 1


def test_while_a_model_is_loaded_again_who_asks_or_loads_too_is_not_told_that_there_is_none(shop):
    shop.release(OLD, site="DL")
    with gateway(shop) as client:
        with Load(client) as load, ThreadPoolExecutor(4) as threads:
            for _ in range(5):
                assert client.post(f"{LOADING}/toy.UA/unload").status_code == 200
                again = threads.map(lambda _: client.post(f"{LOADING}/toy.UA/load").status_code, range(4))
                assert list(again) == [200] * 4
            eventually(lambda: len(load.seen) > 20)
        assert {status for status, _ in load.seen} <= {200, 503}


def test_what_was_unloaded_and_is_released_no_longer_cannot_be_loaded(shop):
    with gateway(shop) as client:
        client.post(f"{LOADING}/toy.UA/unload")
        (shop.home / "models" / "toy.UA").unlink()
        assert client.post(f"{LOADING}/toy.UA/load").status_code == 400


def test_while_the_repository_is_away_nothing_is_loaded_and_what_is_served_stays(shop):
    with gateway(shop) as client:
        models = shop.home / "models"
        models.rename(shop.home / "away")
        refused = client.post(f"{LOADING}/toy.UA/load")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert version(client) == 1


def test_a_repository_that_goes_away_while_it_is_read_has_told_nothing(tmp_path):
    there, gone = ModelRepository(tmp_path / "there"), ModelRepository(tmp_path / "gone")
    for repository in (there, gone):
        repository.root.mkdir()
    assert read_whole(there, there.models) == []
    assert read_whole(gone, lambda: gone.root.rmdir() or gone.models()) is None
    assert read_whole(gone, gone.models) is None


def test_a_repository_that_is_away_retires_no_model(shop):
    with gateway(shop) as client:
        models = shop.home / "models"
        models.rename(shop.home / "away")
        assert not models.exists()
        end = time.monotonic() + 0.4  # eight looks at the repository
        while time.monotonic() < end:
            assert version(client) == 1
        (shop.home / "away").rename(models)
        shop.release(NEW, version=2)
        eventually(lambda: version(client) == 2)


def test_the_first_release_is_served_by_a_gateway_that_began_with_none(tmp_path):
    shop = Shop(tmp_path)
    with gateway(shop) as client:
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        assert version(client) == 503
        shop.release(OLD, version=4)
        eventually(lambda: version(client) == 4)
        assert client.get("/v2/health/ready").status_code == 200


def test_the_gateway_needs_the_public_key_alone(shop):
    (shop.home / "keys" / "release.key").unlink()
    with gateway(shop) as client:
        assert version(client) == 1
    shutil.rmtree(shop.home / "keys")
    with pytest.raises(ModelRefused, match=r"release\.pub"):
        Server(shop.home / "models", shop.public, Settings())


def test_the_command_serves_on_the_loopback_and_ends_when_told_to(shop):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys; from pathlib import Path; from factory.gateway.settings import Settings; "
        "from factory.cli.serving import serve; "
        "serve(Path(sys.argv[1]), Path(sys.argv[2]), Settings(port=int(sys.argv[3])))"
    )
    words = [sys.executable, "-c", code, str(shop.home / "models"), str(shop.public), str(port)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: listens(port))
            assert version(client) == 1
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "toy.UA serves version 1" in log
    assert "Traceback" not in log


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_of_many_models_a_few_are_awake_and_all_of_them_answer(tmp_path):
    shop = Shop(tmp_path)
    sites = [f"S{number}" for number in range(12)]
    for number, site in enumerate(sites):
        shop.release(onnx_model(bias=float(number)), version=number + 1, site=site)
    with gateway(shop, max_awake=3) as client:
        for _ in range(2):
            for number, site in enumerate(sites):
                answer = client.post(f"/v2/models/toy.{site}/infer", json=ONE_ROW).json()
                assert answer["model_version"] == str(number + 1)
                assert answer["outputs"][0]["data"][0] == pytest.approx(
                    expected([[1, 2, 3]], bias=float(number))[0], abs=1e-6
                )
            assert "\nfactory_models_awake 3.0\n" in client.get("/metrics").text
        shop.release(NEW, version=99, site="S0")
        eventually(lambda: version(client, "S0") == 99)


def test_a_sleeping_model_whose_file_was_changed_is_not_woken_and_the_others_answer(tmp_path, caplog):
    shop = Shop(tmp_path)
    shop.release(OLD, site="DL")
    shop.release(OLD, site="UA")
    with gateway(shop, max_awake=1) as client:
        assert version(client, "DL") == 1
        shop.tamper(NEW, "UA")
        assert [version(client, "UA") for _ in range(3)] == [503, 503, 503]
        assert version(client, "DL") == 1
        assert "toy.UA cannot be woken" in caplog.text
        shop.release(OLD, version=2, site="UA")
        eventually(lambda: version(client, "UA") == 2)


def test_many_questions_to_sleeping_models_at_once_are_all_answered(tmp_path):
    shop = Shop(tmp_path)
    sites = [f"S{number}" for number in range(6)]
    for site in sites:
        shop.release(OLD, site=site)
    with gateway(shop, max_awake=2) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: version(client, sites[number % 6]), range(300)))
    assert set(answers) == {1}


def test_a_replaced_model_leaves_nothing_behind_but_its_numbers(shop):
    with running(shop) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        for number in range(1, 8):
            shop.release((OLD, NEW)[number % 2], version=number, site="ONCE")
            eventually(lambda number=number: version(client, "ONCE") == number)
        eventually(lambda: versions_in_memory("ONCE") == [7])
        assert len(re.findall(r'nv_inference_request_success\{.*model="toy.ONCE"', client.get("/metrics").text)) == 7


def versions_in_memory(site: str) -> list[int]:
    gc.collect()
    models = [one for one in gc.get_objects() if type(one) is ServedModel]  # isinstance asks odd objects odd things
    return [model.manifest.version for model in models if model.manifest.site == site]

"""Business rows, built by somebody of our own: which rows are meant, how many wait, and one line's fault is its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import numpy as np
import pytest

from factory.errors import SnapshotRefused
from factory.gateway.endpoints.bodies import MAX_CONTEXT
from factory.gateway.models import feature_builders as row_builders
from factory.release import Guard
from tests.gateway.builders import Shop, eventually, gateway, onnx_model, running
from tests.gateway.triton_clients import client_of

DOOR = "/v1/lines/toy/sites/UA/predict"


@dataclass
class Built:
    """What is built of rows: their one field thrice, or nothing where it is missing."""

    features: np.ndarray
    places: list
    subjects: list
    refused: dict
    known_until: str | None = None


class Builder:
    """Builds features of `x`, once it may."""

    feature_names = ("f0", "f1", "f2")
    known_until = None
    shut = {}  # noqa: RUF012  nobody changes it

    def __init__(self):
        self.free, self.began = threading.Event(), threading.Event()
        self.free.set()

    def build(self, _site, records, context=(), known_until=None):
        """Return what was built."""
        self.began.set()
        self.free.wait(10)
        places = [place for place, one in enumerate(records) if "x" in one]
        with np.errstate(over="ignore"):
            features = np.array([[records[place]["x"]] * 3 for place in places], np.float32).reshape(-1, 3)
        refused = dict.fromkeys(set(range(len(records))) - set(places), "has no x")
        return Built(features, places, ["{}"] * len(places), refused)


class Source:
    """Snapshots of some lines; what is an error is raised."""

    def __init__(self, **lines):
        self.lines = lines

    def marks(self):
        """Return a token for each."""
        return dict.fromkeys(self.lines, "1")

    def builder(self, line):
        """Return it, or raise."""
        if isinstance(self.lines[line], Exception):
            raise self.lines[line]
        return self.lines[line]


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(onnx_model(), guard=Guard(ranges={"f1": (0.0, 1.0)}))
    return made


def ask(client, rows):
    """The answer, once the snapshots are loaded."""
    found = []
    asked = {"records": rows}
    eventually(lambda: found.append(client.post(DOOR, json=asked)) or found[-1].status_code != 503)
    return found[-1]


def test_rows_are_named_as_the_client_has_them_though_some_were_refused_before(shop):
    with gateway(shop, snapshots=Source(toy=Builder())) as client:
        told = ask(client, [{"y": 1}, {"x": 0.5}, {"x": 7}]).json()
        assert [row["outside"] for row in told["rows"]] == [False, False, True]
        assert told["outside"] == "row 2: f1 is 7, training saw 0 to 1"
        refused = client.post(DOOR, json={"records": [{"y": 1}, {"x": 1e39}]})
        assert (refused.status_code, refused.json()["detail"]) == (400, "row 1: f0 is beyond the range of FP32")


@pytest.mark.parametrize("fault", [SyntaxError("not so"), ZeroDivisionError(), SnapshotRefused("another code")])
def test_a_line_whose_snapshot_cannot_be_loaded_keeps_no_other_from_its_own(shop, fault):
    with gateway(shop, snapshots=Source(broken=fault, toy=Builder())) as client:
        assert ask(client, [{"x": 0.5}]).status_code == 200
        assert "its snapshot was refused" in client.get("/").text
        assert 'factory_online_snapshot_refused_total{line="broken"} 1.0\n' in client.get("/metrics").text


def test_a_site_whose_features_cannot_be_told_here_answers_features_alone_and_says_which(shop):
    builder = Builder()
    builder.shut = {"UA": "site UA: f1 cannot be told at the gateway's door"}
    with gateway(shop, snapshots=Source(toy=builder)) as client:
        refused = ask(client, [{"x": 0.5}])
        assert refused.status_code == 409
        assert "business rows are not answered here: site UA: f1 cannot be told" in refused.json()["detail"]
        assert client.post(DOOR, json={"rows": [{"f0": 1, "f1": 1, "f2": 1}]}).status_code == 200
        assert "toy.UA: features alone are answered: site UA: f1" in client.get("/").text


def test_rows_beside_those_that_are_asked_are_handed_on_and_bounded(shop):
    builder, handed = Builder(), []
    build, builder.build = builder.build, lambda *asked: handed.append(asked) or build(*asked)
    with gateway(shop, snapshots=Source(toy=builder)) as client:
        assert ask(client, [{"x": 0.5}]).status_code == 200
        until = "2024-05-01T00:00:00+00:00"
        body = {"records": [{"x": 0.5}], "context": [{"y": 1}], "known_until": until}
        assert client.post(DOOR, json=body).status_code == 200
        assert handed[-1] == ("UA", [{"x": 0.5}], [{"y": 1}], until)
        many = client.post(DOOR, json={"records": [{"x": 0.5}], "context": [{"y": 1}] * (MAX_CONTEXT + 1)})
        assert (many.status_code, many.json()["detail"]) == (400, "4097 rows of context; send at most 4096")
        alone = client.post(DOOR, json={"rows": [{"f0": 1, "f1": 1, "f2": 1}], "context": [{"y": 1}]})
        assert "stand beside `records`" in alone.json()["detail"]


def test_the_gateway_is_ready_once_what_it_announces_can_be_answered(shop):
    """Whoever is told that it is ready sends business rows, which 503 met while the snapshots were being loaded."""
    source = Source(toy=Builder())
    loads, builder = threading.Event(), source.builder
    source.builder = lambda line: loads.wait(10) and builder(line)
    with (
        running(shop, source, grpc_port=0) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client,
        client_of("grpc", server) as triton,
    ):
        assert client.get("/v2/models/toy.UA/ready").status_code == 200  # of features it is asked already
        for path in ("/v2/health/ready", "/readyz"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "the snapshots, on which features of business rows are built, are being loaded" in answer.text
        assert client.get("/v2/health/live").status_code == 200
        assert not triton.is_server_ready()
        loads.set()
        eventually(lambda: client.get("/v2/health/ready").status_code == 200)
        assert client.post(DOOR, json={"records": [{"x": 0.5}]}).status_code == 200
        assert triton.is_server_ready()


@pytest.mark.parametrize("fault", [SnapshotRefused("another code"), OSError("the disk is away")])
def test_a_snapshot_that_cannot_be_used_does_not_keep_the_gateway_from_being_ready(shop, fault):
    with gateway(shop, snapshots=Source(toy=fault)) as client:
        eventually(lambda: client.get("/v2/health/ready").status_code == 200)


def test_a_disk_that_is_away_for_a_moment_is_looked_at_again(shop):
    source = Source(toy=OSError("the disk is away"))
    with gateway(shop, snapshots=source) as client:
        eventually(lambda: "the disk is away" in client.get("/").text)
        source.lines["toy"] = Builder()
        eventually(lambda: client.post(DOOR, json={"records": [{"x": 0.5}]}).status_code == 200)
        assert "refused" not in client.get("/").text.partition("<table>")[2]


def test_no_more_rows_wait_than_the_limit_says(shop, monkeypatch):
    monkeypatch.setattr(row_builders, "MAX_WAITING_ROWS", 100)
    builder = Builder()
    with gateway(shop, snapshots=Source(toy=builder)) as client, ThreadPoolExecutor(1) as threads:
        assert ask(client, [{"x": 0.5}]).status_code == 200
        builder.free.clear()
        builder.began.clear()
        first = threads.submit(client.post, DOOR, json={"records": [{"x": 0.5}] * 60})
        assert builder.began.wait(10)
        refused = client.post(DOOR, json={"records": [{"x": 0.5}] * 60})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        builder.free.set()
        assert first.result().status_code == 200
        assert client.post(DOOR, json={"records": [{"x": 0.5}] * 60}).status_code == 200

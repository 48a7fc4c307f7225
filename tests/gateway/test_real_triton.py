"""NVIDIA's own Triton over the gateway's repository, unchanged: the same answers, to Triton's own client.

`make triton` makes the environment and runs this. The server is the one that PyPI's `nvidia-pytriton` carries, with its
Python backend (benchmarks/serving/triton); it and the gateway run ONNX Runtime on one thread.
"""

import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tritonclient.utils import InferenceServerException

from benchmarks.serving.models import DEPARTURE_FEATURES, departure_sized
from factory.model.signature import Signature
from factory.release import Terms
from tests.gateway.builders import Shop, eventually, onnx_model, running, sums_model
from tests.gateway.triton_clients import KINDS, client_at

PYTHON = os.environ.get("FACTORY_TRITON_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON,
        reason="FACTORY_TRITON_PYTHON names no python with nvidia-pytriton, numpy<2 and onnxruntime; see `make triton`",
    ),
]
START = Path(__file__).resolve().parents[2] / "benchmarks" / "serving" / "triton" / "start.py"
SEQUENCE = Signature(task="regression", features=("a", "b"), steps=4, output="estimate", answers=("low", "mid", "high"))
BOTH = ("gateway", "triton")
SHAPES = {"toy.UA": (DEPARTURE_FEATURES,), "toy.DL": (3,), "toy.SEQ": SEQUENCE.input_shape}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A network as its recipe makes it; a small one, beside which an older release is on trial; one of sequences."""
    made = Shop(tmp_path_factory.mktemp("home"))
    made.release(departure_sized(), version=3, columns=DEPARTURE_FEATURES)
    made.release(onnx_model(bias=1.0), version=4, site="DL")
    made.release(onnx_model(), version=5, site="DL")
    made.repository.start_trial("toy.DL", 1, Terms(mode="shadow", share=1.0, by="lena", reason="look"), key=made.key)
    made.release(sums_model(4, 2, 3, "estimate"), version=2, site="SEQ", signature=SEQUENCE)
    return made


@pytest.fixture(scope="module")
def ports(shop):
    """Both servers over the one repository: the port of each door."""
    with running(shop, grpc_port=0) as gateway, triton(shop.home / "models") as theirs:
        yield {"gateway": {"http": gateway.port, "grpc": gateway.grpc_port}, "triton": theirs}


@contextmanager
def triton(repository):
    """Run Triton until it is ready; say what it said where it never is."""
    ports, log = {kind: free_port() for kind in KINDS}, repository.parent / "triton.log"
    words = [PYTHON, str(START), str(repository), "--allow-metrics=false", "--http-address=127.0.0.1"]
    words += ["--grpc-address=127.0.0.1", *(f"--{kind}-port={port}" for kind, port in ports.items())]
    with log.open("w") as output, subprocess.Popen(words, stdout=output, stderr=output) as process:
        try:
            with client_at("http", ports["http"]) as client:
                eventually(lambda: process.poll() is not None or is_up(client), within_s=60)
            assert process.poll() is None, log.read_text()
            yield ports
        finally:
            process.terminate()
            process.wait(30)


def is_up(client):
    try:
        return client.is_server_ready()
    except (ConnectionError, OSError):
        return False


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def clients(kind, ports):
    """A client for each server, by its name."""
    with client_at(kind, ports["gateway"][kind]) as ours, client_at(kind, ports["triton"][kind]) as theirs:
        yield {"gateway": ours, "triton": theirs}


@pytest.fixture(scope="module")
def allowed():
    """How far answers may differ: not at all where both run the same ONNX Runtime."""
    asked = [PYTHON, "-c", "import onnxruntime; print(onnxruntime.__version__)"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return 0.0 if version == onnxruntime.__version__ else 1e-6


def answered(kind, client, model, rows):
    tensor = KINDS[kind].InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    answer = client.infer(model, [tensor], request_id="a-1")
    said = answer.get_response()
    said = said if kind == "http" else {"id": said.id, "model_version": said.model_version, "outputs": said.outputs}
    assert said["id"] == "a-1"
    output = said["outputs"][0]
    name = output["name"] if kind == "http" else output.name
    return said["model_version"], name, answer.as_numpy(name)


def states(kind, client):
    index = client.get_model_repository_index()
    if kind == "http":
        return {model["name"]: model.get("state", "") for model in index}
    return {model.name: model.state for model in index.models}


@pytest.mark.parametrize("model", SHAPES)
def test_both_answer_the_same_rows_alike(kind, clients, allowed, model):
    chance = np.random.default_rng(7)
    for count in (1, 2, 33, 500):
        rows = chance.normal(size=(count, *SHAPES[model])).astype(np.float32)
        rows[chance.random(rows.shape) < 0.1] = np.nan
        ours, theirs = (answered(kind, clients[name], model, rows) for name in BOTH)
        assert ours[:2] == theirs[:2]
        assert ours[2].shape == theirs[2].shape == (count, 3 if model == "toy.SEQ" else 1)
        np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=allowed)


@pytest.mark.parametrize("model", SHAPES)
def test_both_say_the_same_of_what_goes_in_and_out(kind, clients, model):
    as_json = {"as_json": True} if kind == "grpc" else {}
    ours, theirs = (clients[name].get_model_metadata(model, **as_json) for name in BOTH)
    assert ours["versions"] == theirs["versions"]
    assert ours["inputs"] == theirs["inputs"]
    assert ours["outputs"] == theirs["outputs"]


def test_both_are_ready_and_say_for_which_models(clients):
    for client in clients.values():
        assert client.is_server_live()
        assert client.is_server_ready()
        assert all(client.is_model_ready(model) for model in SHAPES)
        assert client.is_model_ready("toy.DL", "5")
        assert not client.is_model_ready("toy.DL", "4")
        assert not client.is_model_ready("toy.ZZ")


def test_both_unload_and_load_and_their_index_says_so(kind, clients):
    for client in clients.values():
        assert {model: states(kind, client)[model] for model in SHAPES} == dict.fromkeys(SHAPES, "READY")
        client.unload_model("toy.SEQ")
        eventually(lambda client=client: states(kind, client)["toy.SEQ"] == "UNAVAILABLE")
        assert not client.is_model_ready("toy.SEQ")
        client.load_model("toy.SEQ")
        assert client.is_model_ready("toy.SEQ")
        with pytest.raises(InferenceServerException):
            client.load_model("toy.ZZ")


def test_both_refuse_rows_of_another_shape_and_a_model_that_is_not_there(kind, clients):
    for client in clients.values():
        with pytest.raises(InferenceServerException):
            answered(kind, client, "toy.DL", np.zeros((1, 2), np.float32))
        with pytest.raises(InferenceServerException):
            answered(kind, client, "toy.ZZ", np.zeros((1, 3), np.float32))


def test_a_new_release_is_what_triton_answers_with_once_it_is_told_to_load(shop, ports, allowed):
    rows = np.array([[1.0, np.nan, 3.0]], np.float32)
    with client_at("http", ports["gateway"]["http"]) as ours, client_at("http", ports["triton"]["http"]) as theirs:
        shop.release(onnx_model(), version=1, site="AA")
        theirs.load_model("toy.AA")
        before = answered("http", theirs, "toy.AA", rows)
        shop.release(onnx_model(bias=2.0), version=2, site="AA")
        theirs.load_model("toy.AA")
        eventually(lambda: ours.is_model_ready("toy.AA", "2"))
        versions_and_answers = [answered("http", client, "toy.AA", rows) for client in (ours, theirs)]
    assert before[0] == "1"
    assert [version for version, _, _ in versions_and_answers] == ["2", "2"]
    np.testing.assert_allclose(versions_and_answers[0][2], versions_and_answers[1][2], rtol=0, atol=allowed)
    assert (versions_and_answers[1][2] > before[2]).all()

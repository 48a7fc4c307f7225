"""Parameters of the Open Inference Protocol, over HTTP and gRPC: each is done, or refused by its name."""

import copy

import grpc
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from factory.gateway.endpoints.grpc.messages import CLASSES, SERVICE
from factory.model.signature import Signature
from factory.release import Guard
from tests.gateway.builders import Shop, onnx_model, question, running, sums_model
from tests.gateway.triton_clients import KINDS, client_of

ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 8.0]], np.float32)
CLASSED = Signature(
    task="multiclass",
    features=("f0", "f1"),
    output="probabilities",
    answers=("calm", "warm", "hot: very"),
    steps=2,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model())
    content = sums_model(2, 2, 3, "probabilities")
    shop.release(content, site="classes", signature=CLASSED, example=(1.0, 2.0, 3.0, 4.0))
    guard = Guard(ranges={"f0": (0.0, 5.0)}, outside="abstain")
    shop.release(onnx_model(), site="guarded", guard=guard)
    with running(shop, grpc_port=0) as made:
        yield made


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def client(kind, server):
    with client_of(kind, server) as made:
        yield made


def asked(kind, rows=ROWS):
    tensor = KINDS[kind].InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    return [tensor]


def wanted(kind, name="probability", **how):
    return [KINDS[kind].InferRequestedOutput(name, **how)]


class TestClassification:
    @pytest.mark.parametrize("count", [1, 2, 3, 9])
    def test_the_highest_values_of_each_row_come_as_texts_with_place_and_name(self, kind, client, count):
        rows = np.ones((2, 2, 2), np.float32)
        output = wanted(kind, "probabilities", class_count=count)
        answer = client.infer("toy.classes", asked(kind, rows), outputs=output).as_numpy("probabilities")
        best = [b"12.000000:2:hot: very", b"8.000000:1:warm", b"4.000000:0:calm"][:count]
        assert answer.dtype == object
        assert answer.tolist() == [best] * 2

    def test_of_a_probability_it_is_the_one_there_is(self, kind, client):
        answer = client.infer("toy.UA", asked(kind), outputs=wanted(kind, class_count=1)).as_numpy("probability")
        numbers = client.infer("toy.UA", asked(kind)).as_numpy("probability")
        assert answer.tolist() == [[f"{value:.6f}:0:probability".encode()] for value in numbers[:, 0].tolist()]

    def test_a_row_that_is_not_answered_has_no_value(self, kind, client):
        rows = np.array([[1.0, 2.0, 3.0], [9.0, 2.0, 3.0]], np.float32)
        answer = client.infer("toy.guarded", asked(kind, rows), outputs=wanted(kind, class_count=1))
        assert [text.startswith(b"nan") for text in answer.as_numpy("probability").ravel()] == [False, True]

    def test_as_json_they_are_strings(self, server):
        body = {**question([[1, 2, 3]]), "outputs": [{"name": "probability", "parameters": {"classification": 1}}]}
        output = posted(server, body).json()["outputs"][0]
        assert (output["datatype"], output["shape"]) == ("BYTES", [1, 1])
        assert output["data"][0].endswith(":0:probability")


def posted(server, body, path="/v2/models/toy.UA/infer"):
    return httpx.post(f"http://127.0.0.1:{server.port}{path}", json=body)


REFUSED = {
    "sequence_id": {"sequence_id": 7},
    "sequence of a text": {"sequence_id": "seven"},
    "priority": {"priority": 1},
    "headers": {"parameters": {"headers": "x"}},
    "unknown": {"parameters": {"colour": "red"}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_client_asks_that_is_not_done_is_refused_by_name(kind, client, name):
    asking = REFUSED[name]
    parameter = next(iter(asking.get("parameters", asking)))
    with pytest.raises(InferenceServerException, match=f"parameter '{parameter}' of the request is not done here"):
        client.infer("toy.UA", asked(kind), **asking)


def test_shared_memory_is_refused_for_inputs_and_outputs(kind, client):
    output = wanted(kind)
    output[0].set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match=r"parameter 'shared_memory_.*' of an output is not done here"):
        client.infer("toy.UA", asked(kind), outputs=output)
    tensor = asked(kind)
    tensor[0].set_shared_memory("region", ROWS.nbytes)
    with pytest.raises(InferenceServerException, match=r"parameter 'shared_memory_.*' of an input is not done here"):
        client.infer("toy.UA", tensor)


DONE = [
    {"request_id": "a-1"},
    {"model_version": "1"},
    {"sequence_id": 0},
    {"priority": 0},
    {"timeout": 0},
    {"timeout": 30_000_000},
    {"headers": {"x-request-id": "a"}},
    {"parameters": {}},
]


@pytest.mark.parametrize("arguments", DONE)
def test_what_changes_nothing_or_is_done_is_answered(kind, client, arguments):
    assert client.infer("toy.UA", asked(kind), **copy.deepcopy(arguments)).as_numpy("probability").shape == (2, 1)


def test_a_timeout_that_is_over_before_the_model_has_time_is_told(kind, client):
    with pytest.raises(InferenceServerException, match="within its timeout"):
        client.infer("toy.UA", asked(kind), timeout=1)


NAMES = st.sampled_from(
    ["sequence_id", "priority", "timeout", "classification", "binary_data", "binary_data_output", "binary_data_size"]
) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=9),
)
PLACES = ("request", "input", "output")
NEUTRAL = {"sequence_id": (0, ""), "priority": (0,)}
UNDERSTOOD = {
    "request": {"timeout": int, "binary_data_output": bool},
    "input": {"binary_data_size": int},
    "output": {"binary_data": bool, "classification": int},
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.sampled_from(PLACES), name=NAMES, value=VALUES)
def test_no_parameter_is_passed_over_and_both_doors_say_the_same(server, where, name, value):
    parameters = {name: value}
    told = [by_http(server, where, parameters), by_grpc(server, where, parameters)]
    kind = UNDERSTOOD[where].get(name)
    if kind is not type(value) and value not in NEUTRAL.get(name, ()):
        assert all(repr(name) in error for error in told), told
        assert told[0] == told[1]
    elif kind is int and value < 0:
        assert all(f"'{name}' is" in error for error in told)


def by_http(server, where, parameters):
    """What the door says of a request with these parameters, empty where it answers."""
    body = question(ROWS.tolist())
    body["outputs"] = [{"name": "probability"}]
    place = {"request": body, "input": body["inputs"][0], "output": body["outputs"][0]}[where]
    place["parameters"] = parameters
    answer = posted(server, body)
    assert answer.status_code in (200, 400, 504), answer.text
    return answer.json()["error"] if answer.status_code != 200 else ""


def by_grpc(server, where, parameters):
    message = CLASSES["ModelInferRequest"](
        model_name="toy.UA",
        inputs=[{"name": "features", "datatype": "FP32", "shape": ROWS.shape}],
        outputs=[{"name": "probability"}],
        raw_input_contents=[ROWS.tobytes()],
    )
    place = {"request": message, "input": message.inputs[0], "output": message.outputs[0]}[where]
    fields = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in parameters.items():
        setattr(place.parameters[name], fields[type(value)], value)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        try:
            channel.unary_unary(f"/{SERVICE}/ModelInfer")(message.SerializeToString(), timeout=60)
        except grpc.RpcError as error:
            return error.details()
    return ""


class TestManagement:
    def test_a_configuration_or_files_are_refused(self, kind, client):
        with pytest.raises(InferenceServerException, match="parameter 'config' of a load is not done here"):
            client.load_model("toy.UA", config="{}")
        client.unload_model("toy.UA", unload_dependents=True)
        client.load_model("toy.UA")

    def test_a_file_is_refused_over_grpc(self, server):
        message = CLASSES["RepositoryModelLoadRequest"](model_name="toy.UA")
        message.parameters["file:1/model.onnx"].bytes_param = b"\x08"
        assert "parameter 'file:1/model.onnx' of a load" in refused(server, "RepositoryModelLoad", message)

    def test_another_repository_is_refused(self, server):
        message = CLASSES["RepositoryIndexRequest"](repository_name="other")
        assert "repository_name is 'other'" in refused(server, "RepositoryIndex", message)

    def test_a_body_that_is_none_is_refused(self, server):
        answer = httpx.post(f"http://127.0.0.1:{server.port}/v2/repository/models/toy.UA/load", content=b"[")
        assert answer.status_code == 400


def refused(server, method, message):
    with (
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        channel.unary_unary(f"/{SERVICE}/{method}")(message.SerializeToString(), timeout=60)
    return error.value.details()


NOT_DONE = {
    "get_model_config": ("toy.UA",),
    "get_inference_statistics": ("toy.UA",),
    "get_trace_settings": (),
    "update_trace_settings": (),
    "get_log_settings": (),
    "get_system_shared_memory_status": (),
    "register_system_shared_memory": ("region", "/key", 8),
    "unregister_cuda_shared_memory": ("region",),
}


@pytest.mark.parametrize("method", NOT_DONE)
def test_an_extension_that_is_not_done_is_refused_by_name(kind, client, method):
    settings = {"settings": {}} if method.startswith("update") else {}
    with pytest.raises(InferenceServerException, match=r"the extension '.*' is not done here"):
        getattr(client, method)(*NOT_DONE[method], **settings)


def test_the_server_lists_what_is_done(server):
    extensions = httpx.get(f"http://127.0.0.1:{server.port}/v2").json()["extensions"]
    assert extensions == ["binary_tensor_data", "classification", "model_repository"]

"""Triton's own client, unchanged, over HTTP and gRPC."""

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from factory.gateway.access.key_file import add_key
from tests.gateway.builders import Shop, expected, onnx_model, running
from tests.gateway.triton_clients import KINDS, client_of

ROWS = np.array([[1.0, np.nan, 3.0], [-1.0, 0.5, 8.0]], np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model(), version=3)
    shop.release(onnx_model(), version=5, site="DL")
    with running(shop, grpc_port=0) as made:
        yield made


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def client(kind, server):
    with client_of(kind, server) as made:
        yield made


def asked(kind, rows=ROWS, **how):
    tensor = KINDS[kind].InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, **how)
    return [tensor]


def test_server_and_models_say_that_they_are_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy.UA")
    assert client.is_model_ready("toy.UA", "3")
    assert not client.is_model_ready("toy.UA", "4")
    assert not client.is_model_ready("toy.ZZ")


def test_metadata_say_what_goes_in_and_out(kind, client):
    as_json = {"as_json": True} if kind == "grpc" else {}
    assert client.get_server_metadata(**as_json)["name"] == "ai-factory"
    found = client.get_model_metadata("toy.UA", **as_json)
    assert found["versions"] == ["3"]
    assert [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in found["inputs"]] == [
        ("features", "FP32", [-1, 3])
    ]
    assert [(t["name"], [int(n) for n in t["shape"]]) for t in found["outputs"]] == [("probability", [-1, 1])]


def test_rows_are_answered(kind, client):
    answer = client.infer("toy.UA", asked(kind), request_id="a-1")
    np.testing.assert_allclose(answer.as_numpy("probability")[:, 0], expected(ROWS), atol=1e-6)
    response = answer.get_response()
    assert (response["id"] if kind == "http" else response.id) == "a-1"
    said = response["parameters"]["unknown"] if kind == "http" else response.parameters["unknown"].string_param
    assert said == ",".join(str(int(count)) for count in np.isnan(ROWS).sum(axis=1))


def test_rows_sent_and_wanted_as_json_are_answered(server):
    with client_of("http", server) as client:
        output = [tritonclient.http.InferRequestedOutput("probability", binary_data=False)]
        tensors = asked("http", np.nan_to_num(ROWS), binary_data=False)
        answer = client.infer("toy.UA", tensors, outputs=output)
    np.testing.assert_allclose(answer.as_numpy("probability"), expected(np.nan_to_num(ROWS))[:, None], atol=1e-6)


def test_a_wrong_question_is_an_error_that_says_what_was_expected(kind, client):
    with pytest.raises(InferenceServerException, match=r"\[rows, 3\]"):
        client.infer("toy.UA", asked(kind, np.zeros((1, 2), np.float32)))
    with pytest.raises(InferenceServerException, match="no model"):
        client.infer("toy.ZZ", asked(kind))
    with pytest.raises(InferenceServerException, match="beyond the range"):
        client.infer("toy.UA", asked(kind, np.full((1, 3), np.inf, np.float32)))


def test_a_model_is_unloaded_and_loaded_again_and_the_index_says_so(kind, client):
    assert states(kind, client) == {"toy.UA": "READY", "toy.DL": "READY"}
    client.unload_model("toy.DL")
    assert not client.is_model_ready("toy.DL")
    assert states(kind, client) == {"toy.UA": "READY", "toy.DL": "UNAVAILABLE"}
    client.load_model("toy.DL")
    assert client.is_model_ready("toy.DL")
    with pytest.raises(InferenceServerException, match="no model"):
        client.load_model("toy.ZZ")


def states(kind, client):
    index = client.get_model_repository_index()
    if kind == "http":
        return {model["name"]: model["state"] for model in index}
    return {model.name: model.state for model in index.models}


def test_a_key_opens_its_sites_alone(kind, tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model())
    shop.release(onnx_model(), site="DL")
    keys = tmp_path / "keys" / "gateway.json"
    secret = add_key(keys, "erp", sites=["UA"])
    headers = {"authorization": f"Bearer {secret}"}
    with running(shop, grpc_port=0, keys=keys) as server, client_of(kind, server) as client:
        assert client.is_server_ready()
        assert client.infer("toy.UA", asked(kind), headers=headers).as_numpy("probability").shape == (2, 1)
        with pytest.raises(InferenceServerException, match="no key"):
            client.infer("toy.UA", asked(kind))
        with pytest.raises(InferenceServerException, match="not for line toy, site DL"):
            client.infer("toy.DL", asked(kind), headers=headers)
        with pytest.raises(InferenceServerException, match="may not load"):
            client.unload_model("toy.UA", headers=headers)


def test_bytes_that_are_no_message_are_refused_without_a_word_in_the_log(tmp_path, caplog):
    shop = Shop(tmp_path)
    shop.release(onnx_model())
    with (
        running(shop, grpc_port=0) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "the message is no ModelInferRequest"
    assert "DecodeError" not in caplog.text

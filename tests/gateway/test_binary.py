"""The binary tensor extension: numbers as bytes, in and out."""

import json

import numpy as np
import pytest

from tests.gateway.builders import Shop, expected, gateway, onnx_model

ROWS = np.array([[1.0, np.nan, 3.0], [-1.0, 0.5, 8.0]], np.float32)
TENSOR = ROWS.tobytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model())
    with gateway(shop) as made:
        yield made


def ask(client, tensor=TENSOR, *, head_length=None, shape=(2, 3), size=None, **changed):
    size = len(tensor) if size is None else size
    told = {"name": "features", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [told], **changed}).encode()
    length = len(head) if head_length is None else head_length
    headers = {"inference-header-content-length": str(length)}
    return client.post("/v2/models/toy.UA/infer", content=head + tensor, headers=headers)


def test_bytes_in_are_the_same_question_as_numbers(client):
    (output,) = ask(client).json()["outputs"]
    np.testing.assert_allclose(output["data"], expected(ROWS), atol=1e-6)


@pytest.mark.parametrize(
    "wish",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]},
    ],
    ids=["for all outputs", "for this output"],
)
def test_bytes_come_back_to_who_wants_them(client, wish):
    answer = ask(client, **wish)
    length = int(answer.headers["inference-header-content-length"])
    head, tensor = json.loads(answer.content[:length]), answer.content[length:]
    assert head["outputs"][0]["parameters"] == {"binary_data_size": len(tensor)}
    assert head["outputs"][0]["shape"] == [2, 1]
    np.testing.assert_allclose(np.frombuffer(tensor, "<f4"), expected(ROWS), atol=1e-6)


def test_an_output_asked_for_as_json_overrules_the_wish_for_all(client):
    outputs = [{"name": "probability", "parameters": {"binary_data": False}}]
    answer = ask(client, outputs=outputs, parameters={"binary_data_output": True})
    assert "inference-header-content-length" not in answer.headers
    assert len(answer.json()["outputs"][0]["data"]) == 2


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"tensor": TENSOR[:-1]}, "23 bytes of tensor; the shape [2, 3] needs 24"),
        ({"tensor": b""}, "0 bytes of tensor"),
        ({"size": 20}, "binary_data_size is 20; after the JSON there are 24 bytes"),
        ({"head_length": 10**9}, "Inference-Header-Content-Length is '1000000000'"),
        ({"head_length": "-1"}, "Inference-Header-Content-Length is '-1'"),
        ({"head_length": "9" * 5000}, "Inference-Header-Content-Length is"),
        ({"head_length": 7}, "no inference request"),
        ({"shape": [2, 4]}, "[rows, 3]"),
        (
            {"tensor": np.array([[1, np.inf, 2]], np.float32).tobytes(), "shape": [1, 3]},
            "row 0: f1 is beyond the range",
        ),
    ],
    ids=str,
)
def test_bytes_that_do_not_fit_are_refused_with_what_was_found(client, broken, says):
    answer = ask(client, **broken)
    assert answer.status_code == 400
    assert says in answer.json()["error"]

"""The protocol over a real server, and what bad input gets."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.gateway.limits import DEFAULT_LIMITS
from factory.model.signature import Signature
from factory.release import Guard
from tests.gateway.builders import WEIGHTS, Shop, expected, gateway, onnx_model, question, sums_model

ROOT = Path(__file__).resolve().parents[2]
LIFE = Signature(task="regression", features=("f0", "f1"), steps=3, output="life", answers=("estimate", "low", "high"))
MAX_BODY_BYTES = DEFAULT_LIMITS.max_body_bytes
HEAVY = {"torch", "mlflow", "dagster", "pandas", "polars", "deltalake", "sklearn", "great_expectations"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = Shop(tmp_path_factory.mktemp("home"))
    made.release(onnx_model(), version=3)
    made.release(onnx_model(bias=1.0), version=5, site="DL")
    return made


@pytest.fixture(scope="module")
def client(shop):
    with gateway(shop) as made:
        yield made


def ask(client, body, model="toy.UA"):
    return client.post(f"/v2/models/{model}/infer", json=body)


def output(answer: httpx.Response) -> dict:
    return answer.json()["outputs"][0]


def error(answer: httpx.Response) -> str:
    body = answer.json()
    assert set(body) == {"error"}
    assert "Traceback" not in body["error"]
    return str(body["error"])


def test_server_and_health_answer(client):
    assert client.get("/v2").json()["name"] == "ai-factory"
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.head("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/toy.UA", "/v2/models/toy.UA/versions/3"])
def test_metadata_says_what_goes_in_and_out_and_what_to_try(client, shop, path):
    metadata = client.get(path).json()
    assert metadata["name"] == "toy.UA"
    assert metadata["versions"] == ["3"]
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [-1, 1]}]
    assert metadata["parameters"]["digest"] == shop.repository.current("toy.UA").digest
    assert metadata["parameters"]["example"] == [1.0, None, 2.0]
    assert client.get(f"{path}/ready").json() == {"name": "toy.UA", "ready": True}


def test_each_site_is_answered_by_its_own_model(client):
    rows = [[1.0, 2.0, 3.0], [-1.0, 0.5, 8.0]]
    for model, bias in (("toy.UA", 0.0), ("toy.DL", 1.0)):
        answer = ask(client, {**question(rows), "id": "a-1"}, model).json()
        (output,) = answer.pop("outputs")
        assert answer["parameters"].pop("unknown") == "0,0"
        assert answer.pop("parameters").keys() == {"prediction_id"}
        assert answer == {"model_name": model, "model_version": "3" if bias == 0 else "5", "id": "a-1"}
        assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP32", [2, 1])
        np.testing.assert_allclose(output["data"], expected(rows, bias=bias), atol=1e-6)


def test_an_answer_to_a_request_without_an_id_has_none(client):
    assert "id" not in ask(client, question([[1, 2, 3]])).json()


def test_flat_and_nested_data_are_the_same_question_and_null_is_unknown(client):
    rows = [[1.0, None, 3.0], [None, None, None]]
    nested = output(ask(client, question(rows)))
    flat = output(ask(client, question(rows, data=[1.0, None, 3.0, None, None, None])))
    assert nested == flat
    np.testing.assert_allclose(nested["data"], expected([[1, 0, 3], [0, 0, 0]]), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.none() | st.floats(-50, 50, width=32), min_size=3, max_size=3), min_size=1, max_size=600))
def test_every_batch_is_answered_row_by_row(client, rows):
    output = ask(client, question(rows)).json()["outputs"][0]
    assert output["shape"] == [len(rows), 1]
    known = [[np.nan if value is None else value for value in row] for row in rows]
    np.testing.assert_allclose(output["data"], expected(known), atol=1e-5)


def test_a_version_may_be_asked_for_if_it_is_the_one_served(client):
    body = question([[1, 2, 3]])
    assert client.post("/v2/models/toy.UA/versions/3/infer", json=body).status_code == 200
    refused = client.post("/v2/models/toy.UA/versions/4/infer", json=body)
    assert refused.status_code == 404
    assert "serves version 3, not '4'" in error(refused)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/toy.ZZ", 404),
        ("POST", "/v2/models/toy.ZZ/infer", 404),
        ("GET", "/v2/models/toy.ZZ/ready", 404),
        ("GET", "/v2/models/../../etc/passwd", 404),
        ("GET", "/v2/models/%2e%2e%2fkeys", 404),
        ("GET", "/v2/models/", 404),
        ("GET", "/v2/models/toy.UA/versions", 404),
        ("GET", "/v2/models/toy.UA/explain", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/toy.UA/infer", 405),
        ("POST", "/v2/models/toy.UA", 405),
        ("DELETE", "/v2", 405),
    ],
)
def test_a_path_or_method_that_is_not_there_is_an_error_in_the_protocols_form(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert error(answer)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "expected exactly one, 'features'"),
        ({"inputs": [question([[1, 2, 3]])["inputs"][0]] * 2}, "2 inputs"),
        (question([[1, 2, 3]], name="x"), "'x'"),
        (question([[1, 2, 3]], datatype="FP64"), "datatype 'FP64'; expected 'FP32'"),
        (question([[1, 2]]), r"\[1, 2\].*\[rows, 3\]"),
        (question([[1, 2, 3]], shape=[3]), r"shape '\[3\]'"),
        (question([[1, 2, 3]], shape=[0, 3]), "one row or more"),
        (question([[1, 2, 3]], shape=[-1, 3]), "one row or more"),
        (question([[1, 2, 3]], shape=[10**30, 3]), "limit is 4096|body is no"),
        (question([[1, 2, 3]], shape=[5000, 3]), "limit is 4096"),
        (question([[1, 2, 3]], shape=[2, 3]), "2 rows of 3"),
        (question([[1, 2, 3]], shape=[2, 3], data=[1, 2, 3]), "3 values; the shape .* needs 6"),
        (question([[1, 2, 3]], data=[[1, 2, 3], [4]]), "1 rows of 3"),
        (question([[1, 2, 3]], data=[[1, 2]]), "1 rows of 3"),
        (question([[1, 2, 3]], data=[1, "2", 3]), "str"),
        (question([[1, 2, 3]], data=[1, True, 3]), "bool"),
        (question([[1, 2, 3]], data="AAAA"), "neither numbers nor null"),
        (question([[1, 2, 3]], data=[1, 1e39, 3]), "beyond the range"),
        ({**question([[1, 2, 3]]), "outputs": [{"name": "label"}]}, "no output 'label'"),
        ({**question([[1, 2, 3]]), "id": 7}, "id"),
    ],
)
def test_a_bad_request_is_told_what_was_found_and_expected(client, body, says):
    answer = ask(client, body)
    assert answer.status_code == 400
    assert re.search(says, error(answer))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"null", b"[]", b"[" * 20_000, b'{"inputs":' + b"[" * 20_000, b'{"inputs": [NaN]}'],
)
def test_what_is_no_json_is_a_bad_request(client, body):
    answer = client.post("/v2/models/toy.UA/infer", content=body)
    assert answer.status_code == 400
    assert error(answer)


@pytest.mark.parametrize("field", ["unknown", "inputs", "id"])
def test_json_nested_deeper_than_any_stack_is_a_bad_request(client, field):
    deep = b"[" * 20_000 + b"]" * 20_000
    body = json.dumps(question([[1, 2, 3]]))[:-1].encode() + b', "' + field.encode() + b'": ' + deep + b"}"
    answer = client.post("/v2/models/toy.UA/infer", content=body)
    assert answer.status_code == 400
    assert error(answer)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/toy.UA/infer", b'{"inputs":[{"name":"features","data":[' + b"[]," * 100_000 + b'"x"]}]}'),
        ("/v2/models/toy.UA/infer", b'{"id":[' + b"{}," * 100_000 + b"1]}"),
        ("/v1/lines/toy/sites/UA/predict", b'{"rows":[{' + b'"x":1,' * 600_000 + b'"y":1}]}'),
    ],
)
def test_more_values_than_any_question_has_are_not_even_read(client, path, body):
    refused = client.post(path, content=body)
    assert refused.status_code == 413
    assert "send fewer rows at once" in refused.text


def test_tensors_that_no_input_told_of_are_refused(client):
    head = json.dumps(question([[1, 2, 3]])).encode()
    for length in (b"%d" % len(head), b"%d" % (len(head) + 8), b"0" * 5000):
        answer = client.post(
            "/v2/models/toy.UA/infer",
            content=head + b"\0" * 8,
            headers={b"inference-header-content-length": length},
        )
        assert answer.status_code == 400, answer.text


def test_nan_in_the_body_is_answered_with_what_to_write_instead(client):
    body = json.dumps(question([[1.0, float("nan"), 3.0]]))
    answer = client.post("/v2/models/toy.UA/infer", content=body)
    assert answer.status_code == 400
    assert "null" in error(answer)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(client, chunked):
    size = MAX_BODY_BYTES + 1
    pieces = (b" " * 2**20 for _ in range(size // 2**20 + 1))
    answer = client.post("/v2/models/toy.UA/infer", content=pieces if chunked else b" " * size)
    assert answer.status_code == 413
    assert str(MAX_BODY_BYTES) in error(answer)


def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(client):
    head = f"POST /v2/models/toy.UA/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=5) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("features") | anything,
        "shape": st.just([1, 3]) | anything,
        "datatype": st.just("FP32") | anything,
        "data": st.just([1, 2, 3]) | st.lists(st.none() | st.floats(), min_size=3, max_size=3) | anything,
    },
)
bodies = st.fixed_dictionaries(
    {}, optional={"inputs": st.lists(tensors, max_size=2) | anything, "id": anything, "outputs": anything}
)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=50) | st.builds(lambda body: json.dumps(body).encode(), bodies | anything))
def test_no_body_whatsoever_is_a_failure_of_the_server(client, body):
    answer = client.post("/v2/models/toy.UA/infer", content=body)
    assert answer.status_code in (200, 400)
    answer.json()


def test_the_index_lists_every_model(client):
    ready = [
        {"name": "toy.DL", "version": "5", "state": "READY", "reason": ""},
        {"name": "toy.UA", "version": "3", "state": "READY", "reason": ""},
    ]
    assert client.post("/v2/repository/index").json() == ready
    assert client.post("/v2/repository/index", json={"ready": True}).json() == ready
    assert client.post("/v2/repository/index", content=b"{").status_code == 400


def metric(client, name: str, **labels: str) -> float:
    """The value of one time series on /metrics."""
    for line in client.get("/metrics").text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_requests_failures_rows_and_durations_are_counted_by_model_version_line_and_site(client):
    labels = {"model": "toy.DL", "version": "5", "line": "toy", "site": "DL"}
    watched = (
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_count",
        "factory_inference_duration_seconds_count",
    )
    before = [metric(client, name, **labels) for name in watched]
    ask(client, question([[1, 2, 3]] * 300), "toy.DL")
    ask(client, {}, "toy.DL")
    after = [metric(client, name, **labels) for name in watched]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 300, 1]
    infinite = metric(client, "factory_inference_duration_seconds_bucket", **labels, le="+Inf")
    assert infinite == after[3]


def test_the_page_shows_every_site_and_a_request_that_works(client, shop):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for site in ("UA", "DL"):
        assert shop.repository.current(f"toy.{site}").digest[:12] in page.text
    command = re.search(r"<pre>(curl .*?/toy.UA/infer .*?)</pre>", page.text)
    assert command
    *_, url, _, body = shlex.split(unescape(command[1]))
    np.testing.assert_allclose(
        client.post(url, content=body).json()["outputs"][0]["data"], expected([[1, 0, 2]]), atol=1e-6
    )


def test_the_page_tells_requests_and_rows_outside_of_each_site(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model(), guard=Guard(ranges={"f0": (0.0, 1.0)}, outside="abstain"))
    with gateway(shop) as client:
        for _ in range(3):
            ask(client, question([[0.5, 1, 1], [9, 1, 1]]))
        cells = re.findall(r"<td[^>]*>(.*?)</td>", client.get("/").text)
    assert cells[6] == "3"
    assert float(cells[7]) > 0
    assert cells[8] == "0 / 3"


def test_the_documentation_tells_every_path_and_loads_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"(src|href)=[\"'](https?:)?//", page.text)
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text


def test_what_predictions_cost_is_the_processor_time_of_their_calls_at_the_price_that_was_given(shop):
    price_eur = 7200.0  # an hour: 2 EUR a second
    with gateway(shop, cpu_hour_eur=price_eur) as client:
        began = time.process_time()
        for rows in range(1, 41):
            ask(client, question([[1, 2, 3]] * rows))
        took_s = time.process_time() - began
        cpu_s = metric(client, "factory_model_cpu_seconds_total", model="toy.UA", role="champion")
        cost_eur = metric(client, "factory_model_cost_eur_total", model="toy.UA", role="champion")
        mean_eur = metric(client, "factory_cost_per_1000_predictions_eur", model="toy.UA", role="champion")
        assert 0 < cpu_s < took_s  # the server is in this process
        assert metric(client, "factory_cost_per_1000_predictions_eur", model="toy.DL") == 0.0  # nothing was asked
    assert cost_eur == pytest.approx(2 * cpu_s)
    assert mean_eur == pytest.approx(1000 * 2 * cpu_s / sum(range(1, 41)))


def test_without_a_price_nothing_is_said_of_costs(shop):
    with gateway(shop) as client:
        ask(client, question([[1, 2, 3]]))
        text = client.get("/metrics").text
    assert "factory_model_cpu_seconds_total{" in text
    assert "eur" not in text


def test_the_dashboard_asks_only_for_metrics_that_there_are(shop, tmp_path):
    dashboard = json.loads((ROOT / "docs" / "grafana-gateway.json").read_text())
    with gateway(shop, records=tmp_path, cpu_hour_eur=0.05) as client:
        known = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.M))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    wanted = set(re.findall(r"\b(?:nv|factory)_\w+", " ".join(queries)))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name for name in wanted} <= known
    assert len(queries) >= 8


def test_importing_the_gateway_loads_nothing_that_trains_orchestrates_or_registers():
    code = "import factory.gateway.processes.server, sys; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded
    assert not loaded & HEAVY
    assert "grpc" not in loaded  # it is a tenth of a second that only who wants it pays for


def test_a_model_of_another_width_is_asked_for_its_own_width(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model((*WEIGHTS, 1.0)), columns=4)
    with gateway(shop) as client:
        assert ask(client, question([[1, 2, 3, 4]])).status_code == 200
        assert "[rows, 4]" in error(ask(client, question([[1, 2, 3]])))


def test_a_sequence_model_is_asked_for_its_steps_and_answers_with_all_its_columns(tmp_path):
    shop = Shop(tmp_path)
    shop.release(sums_model(3, 2, 3, "life"), signature=LIFE)
    rows = [[[1, 2], [3, None], [5, 6]], [[0, 0], [0, 0], [1, 1]]]
    with gateway(shop) as client:
        metadata = client.get("/v2/models/toy.UA").json()
        assert metadata["inputs"][0]["shape"] == [-1, 3, 2]
        assert metadata["outputs"] == [{"name": "life", "datatype": "FP32", "shape": [-1, 3]}]
        assert metadata["parameters"]["answers"] == ["estimate", "low", "high"]
        nested = ask(client, question(rows, shape=[2, 3, 2]))
        flat = ask(client, question(rows, shape=[2, 3, 2], data=[1, 2, 3, None, 5, 6, 0, 0, 0, 0, 1, 1]))
        assert output(nested) == output(flat)
        assert output(nested)["shape"] == [2, 3]
        assert output(nested)["data"] == [17, 34, 51, 2, 4, 6]
        assert "[rows, 3, 2]" in error(ask(client, question([[1, 2]])))
        assert "3 steps of 2 values" in error(ask(client, question(rows, shape=[2, 3, 2], data=[[[1, 2]], [[3, 4]]])))
        assert "regression: estimate, low, high" in client.get("/").text


def test_a_row_for_which_the_model_has_no_number_is_named(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model((1e38, 0.0, 0.0), bias=-float("inf")))
    with gateway(shop) as client:
        answer = ask(client, question([[1, 2, 3], [1e10, 0, 0]]))
        assert answer.status_code == 400
        assert "row 1" in error(answer)

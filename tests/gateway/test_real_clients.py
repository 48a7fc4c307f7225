"""Clients that people have, unchanged: Java's, curl, Node's, Go's, KServe's, and those of Python."""

import asyncio
import gzip
import http.client
import json
import shutil
import subprocess
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import pytest
import requests
import tritonclient.http
import urllib3

from tests.gateway.builders import Shop, expected, onnx_model, question, running

CLIENTS = Path(__file__).parent / "clients"
KSERVE = Path(__file__).resolve().parents[2] / ".kserve-venv" / "bin" / "python"
INFER, INDEX = "/v2/models/toy.UA/infer", "/v2/repository/index"
ROWS = [[1.0, 0.0, 2.0]]
BODY = json.dumps(question(ROWS)).encode()
ANSWER = pytest.approx(expected(ROWS)[0], abs=1e-6)
JSON = {"Content-Type": "application/json"}
GZIP = {**JSON, "Content-Encoding": "gzip"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = Shop(tmp_path_factory.mktemp("home"))
    made.release(onnx_model(), version=3)
    return made


@pytest.fixture(scope="module")
def address(shop):
    with running(shop) as server:
        yield f"http://127.0.0.1:{server.port}"


def said(*words: str) -> list[str]:
    """The lines that a program prints; the test is skipped where there is no such program."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]} on this machine: .ci/run installs it")
    done = subprocess.run(words, capture_output=True, timeout=120, check=False, cwd=CLIENTS)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def probability(body: str | bytes) -> float:
    return json.loads(body)["outputs"][0]["data"][0]


def test_javas_own_client_is_answered_though_it_offers_another_protocol(address):
    lines = [line.split(" ", 3) for line in said("java", "Ask.java", address, BODY.decode())]
    assert [line[:3] for line in lines] == [
        *[[INFER, "HTTP_1_1", "200"]] * 4,
        [INDEX, "HTTP_1_1", "400"],
        [INDEX, "HTTP_1_1", "200"],
    ]
    assert all(probability(line[3]) == ANSWER for line in lines[:4])


def test_nodes_own_client_is_answered(address):
    assert said("node", "ask.mjs", address, BODY.decode()) == [
        *[f"{INFER} 200  null"] * 3,
        f"{INDEX} 400  null",
        "/docs 200 long gzip",
    ]


def test_gos_own_client_is_answered(address):
    lines = [line.split() for line in said("go", "run", "ask.go", address)]
    assert [line[:-1] for line in lines] == [
        *[[what, "HTTP/1.1", "200", "false"] for what in ("json", "json", "chunks", "expect", "binary")],
        ["long", "HTTP/1.1", "200", "true"],  # it asked for gzip by itself
        ["index", "HTTP/1.1", "200", "false"],
    ]
    assert [float(line[-1]) for line in lines[:5]] == [ANSWER] * 5
    assert lines[-1][-1] == "true"


@pytest.mark.skipif(not KSERVE.exists(), reason="no environment with KServe's client: `make kserve` makes it")
def test_kserves_own_client_is_answered_over_rest_and_grpc(shop):
    with running(shop, grpc_port=0) as server:
        addresses = f"http://127.0.0.1:{server.port}", f"127.0.0.1:{server.grpc_port}"
        told = [json.loads(line) for line in said(str(KSERVE), "ask_kserve.py", *addresses)]
    answers = {what: answer for one in told for what, answer in one.items()}
    ready = [f"{door} {what}" for door in ("rest", "grpc") for what in ("live", "ready", "model ready")]
    assert [answers.pop(what) for what in ready] == [True] * 6
    assert set(answers) == {"rest json", "rest binary", "grpc typed", "grpc binary"}
    rows = np.array([[1.0, 0.0, 2.0], [0.5, 0.25, 0.0]], np.float32)
    for answer in answers.values():
        assert answer == {"id": "4f2b", "probability": pytest.approx(expected(rows), abs=1e-6)}


CURL = ("curl", "-sS", "-w", "\n%{http_code} %{http_version} %{num_connects}")


@pytest.mark.parametrize(
    "how",
    [
        ["--http2"],
        ["--http1.0"],
        ["--compressed"],
        ["-H", "Transfer-Encoding: chunked"],
        ["-H", "Expect: 100-continue"],
        ["-H", "Content-Type: application/json", "--http2"],
    ],
    ids=" ".join,
)
def test_curl_is_answered(address, how):
    *body, last = said(*CURL, *how, "-d", BODY.decode(), address + INFER)
    assert probability("".join(body)) == ANSWER
    assert last.startswith("200 1")


def test_curl_that_speaks_http_2_from_the_start_says_that_http_1_is_wanted(address):
    words = [*CURL, "-v", "--http2-prior-knowledge", "-d", BODY.decode(), address + INFER]
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine: .ci/run installs it")
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    told = any(words in done.stderr for words in ("GOAWAY, error=13", "HTTP_1_1_REQUIRED"))  # older and newer ones
    assert told or probability(done.stdout.rpartition("\n")[0]) == ANSWER


def by_requests(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    return requests.post(address, data=body, headers=headers, timeout=60).content


def by_requests_in_chunks(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    return requests.post(address, data=iter([body[:9], body[9:]]), headers=headers, timeout=60).content


def by_urllib3(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", address, body=body, headers=headers).data


def by_httpx(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    return httpx.post(address, content=body, headers=headers).content


def by_aiohttp(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    async def ask() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(address, data=body, headers=headers) as answer:
            return await answer.read()

    return asyncio.run(ask())


def by_the_standard_library(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=60)
    try:
        connection.request("POST", "/" + address.split("/", 3)[3], body, headers)
        return connection.getresponse().read()
    finally:
        connection.close()


PYTHONS = [by_requests, by_requests_in_chunks, by_urllib3, by_httpx, by_aiohttp, by_the_standard_library]


@pytest.mark.parametrize("client", PYTHONS)
@pytest.mark.parametrize(("headers", "body"), [(JSON, BODY), (GZIP, gzip.compress(BODY))], ids=["plain", "gzip"])
def test_pythons_clients_are_answered(address, client, headers, body):
    assert probability(client(address + INFER, body, headers)) == ANSWER


@pytest.mark.parametrize("client", [by_requests, by_urllib3, by_httpx, by_aiohttp])
def test_a_long_answer_is_read_by_who_takes_it_compressed(address, client):
    rows = np.arange(9000, dtype=np.float32).reshape(-1, 3) / 9000
    answer = client(address + INFER, json.dumps(question(rows.tolist())).encode(), {**JSON, "Accept-Encoding": "gzip"})
    if client is by_urllib3:
        answer = gzip.decompress(answer) if answer.startswith(b"\x1f\x8b") else answer
    np.testing.assert_allclose(json.loads(answer)["outputs"][0]["data"], expected(rows), atol=1e-6)


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tritons_client_compresses_what_it_asks_and_takes_the_answer_so(address, coding):
    rows = np.arange(30_000, dtype=np.float32).reshape(-1, 3)[:4000] / 30_000
    client = tritonclient.http.InferenceServerClient(address.removeprefix("http://"))
    try:
        tensor = tritonclient.http.InferInput("features", list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows)
        answer = client.infer(
            "toy.UA",
            [tensor],
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
            headers={"X-Request-Id": "r-1"},
        )
    finally:
        client.close()
        client.close = lambda: None  # its __del__ closes once more, in whatever thread collects it
    np.testing.assert_allclose(answer.as_numpy("probability")[:, 0], expected(rows), atol=1e-6)


def test_what_kserves_client_sends_is_answered(address):
    """Its wire format, wherever the client itself, which brings Kubernetes' along, is not installed."""
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32"}
    asked = {"id": "4f2b", "inputs": [{**tensor, "data": [1.0, 0.0, 2.0]}]}
    plain = requests.post(address + INFER, json=asked, headers={"Accept": "*/*"}, timeout=60)
    assert (probability(plain.content), plain.json()["id"]) == (ANSWER, "4f2b")
    head = json.dumps({"id": "4f2b", "inputs": [{**tensor, "parameters": {"binary_data_size": 12}}]}).encode()
    binary = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    tensors = np.array(ROWS, "<f4").tobytes()
    assert (
        probability(requests.post(address + INFER, data=head + tensors, headers=binary, timeout=60).content) == ANSWER
    )

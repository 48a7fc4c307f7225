"""Under another server the same endpoints answer the same: in process, and under a real ASGI server."""

import asyncio
import gzip
import json
import re
import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest
import uvicorn

from factory.gateway.access.key_file import add_key
from factory.gateway.limits import Limits
from factory.gateway.processes.application import application
from factory.gateway.settings import Settings
from tests.gateway.builders import Shop, eventually, onnx_model, question, running

INFER, PREDICT = "/v2/models/toy.UA/infer", "/v1/lines/toy/sites/UA/predict"
TENSOR = np.array([[1, 0, 2]], "<f4").tobytes()
HEAD = (
    b'{"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}], '
    b'"parameters": {"binary_data_output": true}}'
)
BINARY = {"content": HEAD + TENSOR, "headers": {"Inference-Header-Content-Length": str(len(HEAD))}}
ROW = json.dumps(question([[1, 0, 2]])).encode()
UTF_16 = {"Content-Type": "application/json; charset=utf-16"}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
CORS = {"cors_origins": ("https://app.example",)}
LIMITS = Limits(max_body_bytes=200_000, request_s=0.5)
REQUESTS = {
    "page": ("GET", "/", {}),
    "docs": ("GET", "/docs", {}),
    "openapi": ("GET", "/openapi.json", {}),
    "live": ("GET", "/v2/health/live", {}),
    "ready": ("HEAD", "/v2/health/ready", {}),
    "server": ("GET", "/v2", {}),
    "metadata": ("GET", "/v2/models/toy.UA", {}),
    "infer": ("POST", INFER, {"json": {**question([[1, 0, 2]]), "id": "a-1"}}),
    "infer binary": ("POST", INFER, BINARY),
    "features": ("POST", PREDICT, {"json": {"rows": [{"f0": 1, "f1": None, "f2": 2}]}}),
    "index": ("POST", "/v2/repository/index", {}),
    "load": ("POST", "/v2/repository/models/toy.UA/load", {}),
    "no rows": ("POST", PREDICT, {"json": {}}),
    "no json": ("POST", INFER, {"content": b"{"}),
    "no model": ("GET", "/v2/models/toy.ZZ", {}),
    "no path": ("GET", "/nowhere", {}),
    "encoded path": ("GET", "/v2/models/toy%2EUA", {}),
    "encoded slash": ("GET", "/v2/models/toy.UA%2Fready", {}),
    "query": ("GET", "/v2?x=/docs", {}),
    "wrong method": ("DELETE", "/v2", {}),
    "too long": ("POST", INFER, {"content": b"x" * 200_001}),
    "gzip": ("POST", INFER, {"content": gzip.compress(ROW), "headers": {"Content-Encoding": "gzip"}}),
    "bomb": ("POST", INFER, {"content": gzip.compress(b" " * 200_001), "headers": {"Content-Encoding": "gzip"}}),
    "coding": ("POST", INFER, {"content": ROW, "headers": {"Content-Encoding": "br"}}),
    "charset": ("POST", INFER, {"content": ROW.decode().encode("utf-16"), "headers": UTF_16}),
    "kind": ("POST", INFER, {"content": ROW, "headers": {"Content-Type": "text/xml"}}),
    "offer": ("POST", INFER, {"content": ROW, "headers": {"HTTP2-Settings": "AAMAAABk"}}),
    "expectation": ("POST", INFER, {"content": ROW, "headers": {"Expect": "more"}}),
    "named": ("POST", INFER, {"content": ROW, "headers": {"X-Request-Id": "r-1", "traceparent": PARENT}}),
    "ill named": ("POST", INFER, {"content": ROW, "headers": {"X-Request-Id": "r" * 129}}),
    "accept": ("GET", "/v2", {"headers": {"Accept": "text/csv"}}),
    "compressed": ("GET", "/docs", {"headers": {"Accept-Encoding": "gzip"}}),
    "methods": ("OPTIONS", INFER, {}),
    "of a page": ("GET", "/v2", {"headers": {"Origin": "https://app.example"}}),
    "of another page": ("GET", "/v2", {"headers": {"Origin": "https://evil.example"}}),
    "preflight": ("OPTIONS", INFER, {"headers": {"Origin": "https://app.example", **PREFLIGHT}}),
    "preflight of another page": ("OPTIONS", INFER, {"headers": {"Origin": "https://evil.example", **PREFLIGHT}}),
}
SENT_BACK = (
    "content-type", "content-security-policy", "cache-control", "allow", "retry-after", "content-encoding", "vary",
    "x-request-id", "traceparent", "access-control-allow-origin", "access-control-allow-headers",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model(), version=3)
    return shop


def app(shop, **settings):
    chosen = Settings(**{"limits": LIMITS, "refresh_every_s": 0.05, **CORS, **settings})
    return application(shop.home / "models", shop.public, chosen)


@asynccontextmanager
async def lifespan(application):
    """The server's part from startup to shutdown; yields how the startup went."""
    inbox, outbox = asyncio.Queue(), asyncio.Queue()
    task = asyncio.create_task(application({"type": "lifespan"}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    yield await outbox.get()
    await inbox.put({"type": "lifespan.shutdown"})
    await task


@asynccontextmanager
async def in_process(application):
    async with lifespan(application) as started:
        assert started == {"type": "lifespan.startup.complete"}
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway:80") as client:
            yield client


@contextmanager
def under_uvicorn(application, http="auto"):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, lifespan="on", log_level="error", ws="none", http=http))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        eventually(lambda: server.started)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(15)
            assert not thread.is_alive()


def seen(answer):
    """What a client sees of an answer, but for what is of one prediction, one count or one moment."""
    kind, body = answer.headers["content-type"], answer.content
    if kind == "application/octet-stream":
        body = body[int(answer.headers["inference-header-content-length"]) :]
    elif kind.startswith("text/html"):
        body = re.sub(r"<tr class=.*</tr>|http://[^/]+/", "", answer.text)
    elif b"prediction_id" in body:
        body = re.sub(rb'"prediction_id":"[^"]+"', b"", body)
    return answer.status_code, {name: answer.headers.get(name) for name in SENT_BACK}, body


@pytest.fixture(scope="module")
def own(shop):
    """What the gateway's own HTTP core answers to each request."""
    with (
        running(shop, limits=LIMITS, **CORS) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client,
    ):
        return {name: seen(client.request(method, path, **parts)) for name, (method, path, parts) in REQUESTS.items()}


def test_in_process_every_request_is_answered_as_by_the_own_core(shop, own):
    async def answers():
        async with in_process(app(shop)) as client:
            return {
                name: seen(await client.request(method, path, **parts))
                for name, (method, path, parts) in REQUESTS.items()
            }

    assert asyncio.run(answers()) == own
    assert {status for status, _, _ in own.values()} == {200, 400, 403, 404, 405, 406, 413, 415, 417}


def test_under_a_real_server_every_request_is_answered_as_by_the_own_core(shop, own):
    with under_uvicorn(app(shop)) as client:
        for name, (method, path, parts) in REQUESTS.items():
            assert seen(client.request(method, path, **parts)) == own[name], name
        metrics = client.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert re.search(r'nv_inference_request_success\{.*model="toy.UA".*\} 7.0', metrics.text)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("http", "statuses"), [("httptools", {501}), ("h11", {200})])
def test_a_body_that_a_server_loses_is_no_empty_one(shop, http, statuses, chunked):
    offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
    body = b'{"ready": true}'
    with under_uvicorn(app(shop), http) as client:
        content = iter([body]) if chunked else body
        answers = [client.post("/v2/repository/index", content=content, headers=offer)]
    assert {answer.status_code for answer in answers} == statuses
    assert all("h11" in answer.text for answer in answers if answer.status_code == 501)


def test_a_body_in_pieces_is_bounded_as_a_whole_one_is(shop):
    def pieces(count):
        return iter([b"x" * 50_000] * count)

    with under_uvicorn(app(shop)) as client:
        assert client.post(INFER, content=pieces(5)).status_code == 413
        assert client.post(INFER, content=pieces(1)).status_code == 400


def test_a_long_body_is_read_only_from_who_has_a_key(shop, tmp_path):
    key = add_key(tmp_path / "keys.json", "erp")

    async def statuses():
        async with in_process(app(shop, keys=tmp_path / "keys.json")) as client:

            async def long():
                read_on.append(False)
                yield b"x" * 50_000
                read_on[-1] = True
                yield b"x"

            read_on = []
            answers = [
                await client.post(INFER, content=long()),
                await client.post(INFER, content=long(), headers={"X-Api-Key": key}),
                await client.post(INFER, json=question([[1, 0, 2]])),
                await client.get("/v2/health/ready"),
            ]
            return [answer.status_code for answer in answers], read_on

    assert asyncio.run(statuses()) == ([401, 400, 401, 200], [False, True])


def test_bodies_of_all_clients_together_are_bounded_and_what_one_took_is_given_back(shop):
    limits = replace(LIMITS, max_unfinished_bytes=100_000)

    async def statuses():
        async with in_process(app(shop, limits=limits)) as client:

            async def slow(release):
                yield b"x" * 90_000
                await release.wait()
                yield b"x"

            release = asyncio.Event()
            first = asyncio.create_task(client.post(INFER, content=slow(release)))
            await asyncio.sleep(0.1)
            during = await client.post(INFER, content=slow(release))
            release.set()
            return (
                during.status_code,
                (await first).status_code,
                (await client.post(INFER, content=slow(release))).status_code,
            )

    assert asyncio.run(statuses()) == (503, 400, 400)


def test_a_body_that_does_not_end_is_refused_in_time(shop):
    async def status():
        async with in_process(app(shop)) as client:

            async def endless():
                while True:
                    yield b" "
                    await asyncio.sleep(0.05)

            began = time.monotonic()
            return (await client.post(INFER, content=endless())).status_code, time.monotonic() - began

    code, took_s = asyncio.run(status())
    assert code == 408
    assert LIMITS.request_s <= took_s < 4 * LIMITS.request_s


def test_a_client_that_goes_away_in_the_middle_of_a_body_is_forgotten(shop):
    async def sent():
        application, outbox = app(shop), asyncio.Queue()
        inbox = iter([{"type": "http.request", "body": b"x" * 50_000, "more_body": True}, {"type": "http.disconnect"}])

        async def receive():
            return next(inbox)

        async with lifespan(application):
            scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": INFER, "headers": []}
            await application(scope, receive, outbox.put)
        return outbox.qsize()

    assert asyncio.run(sent()) == 0


def test_mounted_below_a_path_the_same_is_there(shop):
    async def found():
        application = app(shop)
        async with lifespan(application):
            transport = httpx.ASGITransport(application, root_path="/models")
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return (await client.get("/models/v2")).status_code, (await client.get("/v2/health/live")).status_code

    assert asyncio.run(found()) == (200, 200)


def test_what_keeps_the_gateway_from_starting_ends_the_server_and_is_said(tmp_path):
    async def started():
        async with lifespan(application(tmp_path / "models", tmp_path / "no.pub", Settings())) as message:
            return message

    message = asyncio.run(started())
    assert message["type"] == "lifespan.startup.failed"
    assert "no.pub" in message["message"]


def test_a_release_is_followed_and_a_server_that_starts_again_serves_again(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model(), version=1)
    application = app(shop, records=tmp_path / "records")

    async def versions():
        async with in_process(application) as client:
            before = (await client.get("/v2/models/toy.UA")).json()["versions"]
            shop.release(onnx_model(bias=1.0), version=2)
            for _ in range(200):
                await asyncio.sleep(0.02)
                after = (await client.get("/v2/models/toy.UA")).json()["versions"]
                if after != before:
                    break
            (await client.post(INFER, json=question([[1, 0, 2]]))).raise_for_status()
            return before + after

    assert asyncio.run(versions()) == ["1", "2"]
    assert asyncio.run(versions()) == ["2", "2"]
    assert len(list((tmp_path / "records").glob("*.log"))) == 2


def test_before_its_startup_it_says_what_the_server_lacks(shop):
    async def ask():
        transport = httpx.ASGITransport(app(shop))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await client.get("/v2")

    with pytest.raises(RuntimeError, match="lifespan on"):
        asyncio.run(ask())

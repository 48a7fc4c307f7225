"""The gateway as an ASGI application: which path is answered by what.

/                                                 page for people
/metrics                                          Prometheus
/v2, /v2/health/live, /v2/health/ready            server
/v2/models/{m}[/versions/{v}], …/ready, …/infer   one site's model
/v2/repository/index                              all models
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

from factory.gateway.catalogue import Catalogue
from factory.gateway.http import HTML, TEXT, Answer, ClientGone, Receive, Scope, Send, as_error, as_json, read_body
from factory.gateway.page import status_page
from factory.gateway.protocol import (
    RequestRefused,
    Rows,
    index_request,
    infer_request,
    infer_response,
    rows_of,
    shown,
)
from factory.gateway.served_model import ServedModel
from factory.gateway.telemetry import Telemetry

log = logging.getLogger(__name__)

INLINE_ROWS = 256
"""Up to so many rows are answered on the event loop, in microseconds; more would hold up the other requests."""

_PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"cache-control", b"no-store"),
)


class Gateway:
    """The application. It serves the catalogue and, while it runs, keeps it up to date."""

    def __init__(self, catalogue: Catalogue, telemetry: Telemetry, *, refresh_every_s: float = 0.5) -> None:
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._refresh_every_s = refresh_every_s
        self._fixed: dict[str, tuple[str, Callable[[Scope, Receive], Awaitable[Answer]]]] = {
            "/": ("GET", self._page),
            "/metrics": ("GET", self._metrics),
            "/v2": ("GET", self._server),
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._ready),
            "/v2/repository/index": ("POST", self._index),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's life."""
        if scope["type"] == "lifespan":
            await self._live_through(receive, send)
        elif scope["type"] == "http":
            with contextlib.suppress(ClientGone):
                await (await self._answer(scope, receive)).send(send)

    async def _live_through(self, receive: Receive, send: Send) -> None:
        """Load what is released before the first request, and follow the repository until the server stops."""
        await receive()
        await self._catalogue.refresh()
        watcher = asyncio.create_task(self._catalogue.watch(self._refresh_every_s))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._routed(scope, receive)
        except RequestRefused as refused:
            self._telemetry.errors[refused.status] += 1
            return as_error(refused.status, str(refused))
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception:  # the boundary of a request: the client learns nothing of our insides, the log all
            log.exception("%s failed", scope["path"])
            self._telemetry.errors[500] += 1
            return as_error(500, "the gateway failed on this request; its log says why")

    async def _routed(self, scope: Scope, receive: Receive) -> Answer:
        path: str = scope["path"]
        if path.startswith("/v2/models/"):
            return await self._of_model(path.split("/")[3:], scope, receive)
        found = self._fixed.get(path.rstrip("/") or "/")
        if found is None:
            raise RequestRefused(404, f"no such path: {shown(path)}; the models are under /v2/models/")
        allowed, answer = found
        _require_method(scope, allowed)
        return await answer(scope, receive)

    async def _of_model(self, parts: list[str], scope: Scope, receive: Receive) -> Answer:
        name, *rest = parts
        wanted = None
        if rest[:1] == ["versions"] and len(rest) > 1:
            wanted, rest = rest[1], rest[2:]
        if rest not in ([], ["ready"], ["infer"]):
            raise RequestRefused(404, f"no such path: {shown(scope['path'])}; a model has /ready and /infer")
        _require_method(scope, "POST" if rest == ["infer"] else "GET")
        model = self._served(name, wanted)
        if rest == ["infer"]:
            return await self._infer(model, scope, receive)
        return as_json({"name": name, "ready": True} if rest else model.metadata())

    def _served(self, name: str, wanted: str | None) -> ServedModel:
        """Return the model; raises RequestRefused with 404 if there is none such, 503 if there should be."""
        model = self._catalogue.served.get(name)
        if model is None:
            if name in self._catalogue.refused:
                raise RequestRefused(503, f"model {name!r} is not served: its release was refused, see the log")
            if not self._catalogue.served:
                raise RequestRefused(503, "no model is served: nothing has been released, or all of it was refused")
            raise RequestRefused(404, f"no model {shown(name)}; POST /v2/repository/index lists those there are")
        serving = str(model.manifest.version)
        if wanted not in (None, serving):
            raise RequestRefused(404, f"model {name!r} serves version {serving}, not {shown(str(wanted))}")
        return model

    async def _infer(self, model: ServedModel, scope: Scope, receive: Receive) -> Answer:
        series = self._telemetry.of(model.manifest)
        try:
            _require_json(scope)
            body = await read_body(scope, receive)
            start = perf_counter()
            request = infer_request(body)
            rows = rows_of(request, model.signature)
            answer = as_json(infer_response(request, model.manifest, await _answers(model, rows)))
        except ClientGone:
            raise
        except Exception:
            series.failed()
            raise
        series.answered(perf_counter() - start, len(rows))
        return answer

    async def _page(self, scope: Scope, _: Receive) -> Answer:
        host, port = scope["server"]
        page = status_page(self._catalogue.served, self._catalogue.refused, f"http://{host}:{port}")
        return Answer(body=page.encode(), kind=HTML, headers=_PAGE_HEADERS)

    async def _metrics(self, _: Scope, __: Receive) -> Answer:
        return Answer(body=self._telemetry.text(list(self._catalogue.served.values())).encode(), kind=TEXT)

    async def _server(self, _: Scope, __: Receive) -> Answer:
        return as_json({"name": "ai-factory", "version": _own_version(), "extensions": []})

    async def _live(self, _: Scope, __: Receive) -> Answer:
        return as_json({"live": True})

    async def _ready(self, _: Scope, __: Receive) -> Answer:
        """Ready is who can answer for at least one site: one refused release must not take the others down."""
        if not self._catalogue.served:
            raise RequestRefused(503, "no model is served: nothing has been released, or all of it was refused")
        return as_json({"ready": True})

    async def _index(self, scope: Scope, receive: Receive) -> Answer:
        only_ready = index_request(await read_body(scope, receive)).ready
        served, refused = self._catalogue.served, self._catalogue.refused
        index = [
            {"name": name, "version": str(served[name].manifest.version), "state": "READY", "reason": ""}
            for name in sorted(served)
        ]
        if not only_ready:
            index += [
                {"name": name, "version": "", "state": "UNAVAILABLE", "reason": "its release was refused"}
                for name in sorted(set(refused) - set(served))
            ]
        return as_json(index)


async def _answers(model: ServedModel, rows: Rows) -> Rows:
    if len(rows) <= INLINE_ROWS:
        return model.answers(rows)
    return await asyncio.to_thread(model.answers, rows)


def _require_method(scope: Scope, allowed: str) -> None:
    method = scope["method"]
    if method != allowed and not (method == "HEAD" and allowed == "GET"):
        raise RequestRefused(405, f"{method} {shown(scope['path'])} is not possible; use {allowed}")


def _require_json(scope: Scope) -> None:
    if any(name == b"inference-header-content-length" for name, _ in scope["headers"]):
        raise RequestRefused(400, "binary tensors are not supported; send the data as JSON (binary_data=False)")


def _own_version() -> str:
    try:
        return version("ai-factory")
    except PackageNotFoundError:
        return "0"

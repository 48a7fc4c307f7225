"""What the gateway answers over HTTP: which path is met by what.

/                                                 page for people
/docs, /openapi.json                              what can be asked, for people and for programs
/metrics                                          Prometheus
/livez, /readyz, /healthz                         probes, as Kubernetes names them
/v2, /v2/health/live, /v2/health/ready            server
/v2/models/{m}[/versions/{v}], …/ready, …/infer   one site's model
/v1/lines/{line}/sites/{site}/predict             business rows or features in, decisions out
/v1/lines/{line}/sites/{site}/decisions           what a screen shows: the newest decisions, JSON or events
/v2/repository/index, …/models/{m}/load, …/unload all models
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from factory.gateway.access.keys import Access, Grant
from factory.gateway.endpoints.bodies import Live, ModelReady, Ready, ServerMetadata
from factory.gateway.endpoints.business import predict
from factory.gateway.endpoints.docs_page import docs_page
from factory.gateway.endpoints.extensions import EXTENSIONS, require_path
from factory.gateway.endpoints.infer import infer
from factory.gateway.endpoints.open_inference import index_request, manage_parameters
from factory.gateway.endpoints.openapi import openapi
from factory.gateway.endpoints.parameters import require_load_parameters
from factory.gateway.endpoints.screen import EVENTS, decisions
from factory.gateway.endpoints.service import NAME, Service, own_version
from factory.gateway.endpoints.status_page import Refused, status_page
from factory.gateway.http.content import decoded_body, is_plain
from factory.gateway.http.cors import Cors
from factory.gateway.http.fields import require_acceptable
from factory.gateway.http.messages import HTML, JSON, Answer, Request, as_error, as_json, as_problem
from factory.gateway.http.proxies import Proxies
from factory.gateway.http.trace import NAMES, trace_of
from factory.gateway.logs import about, log_when_answered
from factory.gateway.metrics.exposition import KINDS, metrics_text
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.feature_builders import RowBuilders
from factory.gateway.refusal import RequestRefused, come_again, shown
from factory.gateway.settings import Settings
from factory.release.screen_feed import ScreenFeeds

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_LINES = "/v1/lines/"
_MODELS, _REPOSITORY = "/v2/models/", "/v2/repository/models/"
_NOTED = frozenset((b"origin", *NAMES))
_READ_ALONE = ("GET", "HEAD")
_POST = ("POST",)


class Gateway:
    """Answers requests from the service to who has a key; a `Door` for connections."""

    def __init__(
        self,
        service: Service,
        access: Access,
        telemetry: Telemetry,
        builders: RowBuilders,
        screens: ScreenFeeds,
        settings: Settings,
    ) -> None:
        """Raises SettingRefused on an origin or a network that is none."""
        self._service = service
        self._builders = builders
        self._screens = screens
        self._cpu_hour_eur = settings.cpu_hour_eur
        self._max_body_bytes = settings.limits.max_body_bytes
        self._cors = Cors(settings.cors_origins)
        self._proxies = Proxies(settings.trusted_proxies)
        self._access_log = settings.access_log
        self._access = access
        self._telemetry = telemetry
        self._under_way: set[asyncio.Task[None]] = set()
        self._public: dict[str, Callable[[Request], Answer]] = {
            "/docs": self._docs,
            "/openapi.json": self._openapi,
            **dict.fromkeys(("/v2/health/live", "/livez", "/healthz"), lambda _: as_json(Live())),
            **dict.fromkeys(("/v2/health/ready", "/readyz"), self._ready),
        }
        self._fixed: dict[str, tuple[tuple[str, ...], Callable[[Request, Grant], Answer]]] = {
            "/v2": (_READ_ALONE, self._server),
            "/v2/repository/index": (_POST, self._index),
        }
        self._of_all: dict[str, Callable[[Request, Grant], Coroutine[Any, Any, Answer]]] = {
            "/": self._page,
            "/metrics": self._metrics,
        }

    def handle(self, request: Request) -> None:
        """Answer one request, now or within this turn of the loop or the next ones."""
        if self._access_log or not request.headers.keys().isdisjoint(_NOTED):
            self._note(request)
        try:
            if request.method == "OPTIONS":
                request.reply(self._options(request))
                return
            if request.body and not is_plain(request.body, request.headers):
                self._decode_body(request)
            self._routed(request)
        except RequestRefused as refused:
            request.reply(self.refusal(refused, request.path))
        except Exception:  # the boundary of a request: the client learns nothing of our insides, the log all
            log.exception("%s failed", shown(request.path), extra=about(request.trace))
            request.reply(self.refusal(_failed(), request.path))

    def refuse(self, request: Request, refused: RequestRefused) -> None:
        """Answer what never became a whole request."""
        self._note(request)
        request.reply(self.refusal(refused, request.path))

    def refusal(self, refused: RequestRefused, path: str = "") -> Answer:
        """Return the answer to who was refused, in the form of the path that was asked, and count it."""
        self._telemetry.errors[refused.status] += 1
        form = as_problem if path.startswith(_LINES) else as_error
        return form(refused.status, str(refused), refused.headers)

    def _note(self, request: Request) -> None:
        """Note by what names the request is known and who asks, for the answer, the records and the log."""
        request.trace = trace_of(request.headers)
        request.beside = request.trace.headers + self._cors.headers(request)
        if self._access_log:
            log_when_answered(request, self._proxies.origin(request).client)

    def _decode_body(self, request: Request) -> None:
        """Make the body what it was before the client coded it: only for who may ask, and a failure costs a row."""
        grant = self._access.grant(request.headers)
        grant.require_left()
        try:
            request.body = decoded_body(request.body, request.headers, self._max_body_bytes)
        except RequestRefused as refused:
            grant.charge(refused)
            raise

    def _options(self, request: Request) -> Answer:
        """Say which methods a path has, or to a browser what its pages may ask."""
        if (preflight := self._cors.preflight(request)) is not None:
            return preflight
        if request.path == "*":
            return Answer(body=b"", headers=((b"allow", b"GET, HEAD, POST, OPTIONS"),))
        try:
            self._routed(request)
        except RequestRefused as refused:
            if refused.status != HTTPStatus.METHOD_NOT_ALLOWED:
                raise
            return Answer(body=b"", headers=refused.headers)
        raise AssertionError(f"{request.path} has no OPTIONS of its own")

    def admit(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise RequestRefused (401) where the headers have no key that counts, and keys are in use."""
        self._access.grant(headers)

    def _routed(self, request: Request) -> None:
        """Have the request answered by what its path names; raises RequestRefused, 405 for every other method."""
        path = request.path
        if (public := self._public.get(path)) is not None:
            _require_method(request, _READ_ALONE)
            request.reply(public(request))
            return
        grant = self._access.grant(request.headers)
        if path.startswith(_MODELS):
            self._of_model(path[len(_MODELS) :], request, grant)
        elif path.startswith(_LINES):
            self._of_line(path[len(_LINES) :].split("/"), request, grant)
        elif path.startswith(_REPOSITORY):
            self._of_repository(path[len(_REPOSITORY) :], request, grant)
        else:
            self._of_server(request, grant)

    def _of_server(self, request: Request, grant: Grant) -> None:
        path = request.path.rstrip("/") or "/"
        if (counted := self._of_all.get(path)) is not None:
            _require_method(request, _READ_ALONE)
            self._later(counted(request, grant), request)
            return
        if (fixed := self._fixed.get(path)) is None:
            require_path(path)
            raise RequestRefused(404, f"no such path: {shown(request.path)}; /docs lists those there are")
        allowed, answer = fixed
        _require_method(request, allowed)
        require_acceptable(request.headers, JSON)
        request.reply(answer(request, grant))

    def _of_model(self, asked: str, request: Request, grant: Grant) -> None:
        name, _, verb = asked.partition("/")
        wanted = None
        if verb.startswith("versions/"):
            wanted, _, verb = verb.removeprefix("versions/").partition("/")
        if verb not in ("ready", "infer"):
            require_path(request.path)
        if verb not in ("", "ready", "infer"):
            raise RequestRefused(404, f"no such path: {shown(request.path)}; a model has /ready and /infer")
        _require_method(request, _POST if verb == "infer" else _READ_ALONE)
        entry = self._service.entry(name, wanted)
        grant.require(name)
        if verb == "infer":
            infer(entry, request, grant, self.refusal, version=wanted)
        else:
            require_acceptable(request.headers, JSON)
            request.reply(as_json(ModelReady(name) if verb else entry.model.metadata()))

    def _of_line(self, parts: list[str], request: Request, grant: Grant) -> None:
        if len(parts) != 4 or parts[1] != "sites" or parts[3] not in ("predict", "decisions"):
            raise RequestRefused(404, f"no such path: {shown(request.path)}; ask {_LINES}<line>/sites/<site>/predict")
        model = f"{parts[0]}.{parts[2]}"
        if parts[3] == "decisions":
            _require_method(request, _READ_ALONE)
            require_acceptable(request.headers, JSON, EVENTS)
            self._service.entry(model)
            grant.require(model)
            request.reply(decisions(self._screens, model, request.headers))
            return
        _require_method(request, _POST)
        require_acceptable(request.headers, JSON)
        entry = self._service.entry(model)
        grant.require(model)
        predict(entry, request, grant, lambda refused: self.refusal(refused, request.path), self._builders)

    def _of_repository(self, rest: str, request: Request, grant: Grant) -> None:
        name, _, verb = rest.partition("/")
        if verb not in ("load", "unload"):
            raise RequestRefused(404, f"no such path: {shown(request.path)}; a model has /load and /unload here")
        _require_method(request, _POST)
        require_acceptable(request.headers, JSON)
        grant.require_management(name)
        require_load_parameters(manage_parameters(request.body), unloading=verb == "unload")
        self._later(self._managed(self._service.load if verb == "load" else self._service.unload, name), request)

    async def _managed(self, work: Callable[[str], Awaitable[None]], name: str) -> Answer:
        await work(name)
        return as_json({})

    def _later(self, work: Coroutine[Any, Any, Answer], request: Request) -> None:
        """Do what takes a while, and answer the request then."""
        task = asyncio.create_task(self._done(work, request))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _done(self, work: Coroutine[Any, Any, Answer], request: Request) -> None:
        try:
            answer = await work
        except RequestRefused as refused:
            request.reply(self.refusal(refused, request.path))
        except Exception:  # the boundary of a request, as in `handle`
            log.exception("%s failed", shown(request.path), extra=about(request.trace))
            request.reply(self.refusal(_failed(), request.path))
        else:
            request.reply(answer)

    async def _page(self, request: Request, grant: Grant) -> Answer:
        require_acceptable(request.headers, HTML)
        counted = await self._service.counted()
        origin = self._proxies.origin(request)
        address = f"{origin.scheme}://{origin.host or '127.0.0.1:8080'}"
        service = self._service
        refused = Refused(
            releases=_open(grant.opens, service.refused),
            trials=_open(grant.opens, service.refused_trials),
            snapshots=_open(grant.opens_line, self._builders.refused),
            doors=_open(grant.opens, self._builders.shut()),
        )
        return status_page(
            _open(grant.opens, service.entries), refused, counted, _open(grant.opens_line, counted.snapshots), address
        )

    def _openapi(self, request: Request) -> Answer:
        require_acceptable(request.headers, JSON)
        return as_json(openapi())

    def _docs(self, request: Request) -> Answer:
        require_acceptable(request.headers, HTML)
        return docs_page()

    async def _metrics(self, request: Request, grant: Grant) -> Answer:
        grant.require_all()
        require_acceptable(request.headers, *KINDS)
        counted = await self._service.counted()
        accept = request.headers.get(b"accept", b"").decode("latin-1")

        def written() -> Answer:
            text, content_type = metrics_text(counted, self._cpu_hour_eur, accept)
            return Answer(body=text, kind=content_type.encode()).coded(request.headers.get(b"accept-encoding"))

        return await asyncio.to_thread(written)  # the text of a thousand models would hold up every question

    def _server(self, _: Request, __: Grant) -> Answer:
        return as_json(ServerMetadata(NAME, own_version(), EXTENSIONS))

    def _ready(self, _: Request) -> Answer:
        if why := self._service.unready:
            raise come_again(503, why, 1)
        return as_json(Ready())

    def _index(self, request: Request, grant: Grant) -> Answer:
        return as_json(self._service.index(grant.opens, only_ready=index_request(request.body).ready))


def _open(opens: Callable[[str], bool], every: Mapping[str, Value]) -> dict[str, Value]:
    """Return what has a name that is open to who asks."""
    return {name: one for name, one in every.items() if opens(name)}


def _failed() -> RequestRefused:
    return RequestRefused(500, "the gateway failed on this request; its log says why")


def _require_method(request: Request, methods: tuple[str, ...]) -> None:
    """Raise RequestRefused (405) unless the method is one of these; OPTIONS, which every path has, is asked so."""
    if request.method not in methods:
        allowed = ", ".join((*methods, "OPTIONS"))
        said = f"{request.method} {shown(request.path)} is not possible; use {allowed}"
        raise RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, said, ((b"allow", allowed.encode()),))

"""What the gateway answers: which path is met by what.

/                                                 page for people
/metrics                                          Prometheus
/v2, /v2/health/live, /v2/health/ready            server
/v2/models/{m}[/versions/{v}], …/ready, …/infer   one site's model
/v2/repository/index                              all models
"""

import logging
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from factory.gateway.catalogue import Catalogue, Entry
from factory.gateway.http import HTML, TEXT, Answer, Request, as_error, as_json
from factory.gateway.infer import infer
from factory.gateway.page import status_page
from factory.gateway.protocol import index_request
from factory.gateway.refusal import RequestRefused, shown
from factory.gateway.served_model import ServedModel
from factory.gateway.telemetry import Telemetry

log = logging.getLogger(__name__)

_MODELS = "/v2/models/"
_PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"cache-control", b"no-store"),
)
_ADDRESS = re.compile(r"[\w.\-\[\]:]{1,255}", re.ASCII)


class Gateway:
    """Answers requests from the catalogue; a `Door` for connections."""

    def __init__(self, catalogue: Catalogue, telemetry: Telemetry) -> None:
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._fixed: dict[str, tuple[str, Callable[[Request], Answer]]] = {
            "/": ("GET", self._page),
            "/metrics": ("GET", self._metrics),
            "/v2": ("GET", self._server),
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._ready),
            "/v2/repository/index": ("POST", self._index),
        }

    def handle(self, request: Request) -> None:
        """Answer one request, now or within this turn of the loop or the next ones."""
        try:
            self._routed(request)
        except RequestRefused as refused:
            request.reply(self.refused(refused))
        except Exception:  # the boundary of a request: the client learns nothing of our insides, the log all
            log.exception("%s failed", shown(request.path))
            request.reply(self.refusal(500, "the gateway failed on this request; its log says why"))

    def refusal(self, status: int, message: str) -> Answer:
        """Return an error in the protocol's form, and count it."""
        return self.refused(RequestRefused(status, message))

    def refused(self, refused: RequestRefused) -> Answer:
        """Return what is told to who was refused, and count it."""
        self._telemetry.errors[refused.status] += 1
        wait = refused.retry_after_s
        headers = () if wait is None else ((b"retry-after", b"%d" % wait),)
        return as_error(refused.status, str(refused), headers)

    def _routed(self, request: Request) -> None:
        path = request.path
        if path.startswith(_MODELS):
            self._of_model(path[len(_MODELS) :].split("/"), request)
            return
        found = self._fixed.get(path.rstrip("/") or "/")
        if found is None:
            raise RequestRefused(404, f"no such path: {shown(path)}; the models are under {_MODELS}")
        allowed, answer = found
        _require_method(request, allowed)
        request.reply(answer(request))

    def _of_model(self, parts: list[str], request: Request) -> None:
        name, *rest = parts
        wanted = None
        if rest[:1] == ["versions"] and len(rest) > 1:
            wanted, rest = rest[1], rest[2:]
        if rest == ["infer"]:
            _require_method(request, "POST")
            infer(self._served(name, wanted), request, self.refused)
            return
        if rest not in ([], ["ready"]):
            raise RequestRefused(404, f"no such path: {shown(request.path)}; a model has /ready and /infer")
        _require_method(request, "GET")
        model = self._served(name, wanted).model
        request.reply(as_json({"name": name, "ready": True} if rest else model.metadata()))

    def _served(self, name: str, wanted: str | None) -> Entry:
        """Return the model; raises RequestRefused with 404 if there is none such, 503 if there should be."""
        entry = self._catalogue.served.get(name)
        if entry is None:
            if name in self._catalogue.refused:
                raise RequestRefused(503, f"model {name!r} is not served: its release was refused, see the log")
            self._require_any()
            raise RequestRefused(404, f"no model {shown(name)}; POST /v2/repository/index lists those there are")
        serving = str(entry.model.manifest.version)
        if wanted not in (None, serving):
            raise RequestRefused(404, f"model {name!r} serves version {serving}, not {shown(str(wanted))}")
        return entry

    def _require_any(self) -> None:
        if not self._catalogue.served:
            raise RequestRefused(503, "no model is served: nothing has been released, or all of it was refused")

    def _page(self, request: Request) -> Answer:
        host = request.headers.get(b"host", b"").decode("latin-1")
        address = f"http://{host if _ADDRESS.fullmatch(host) else '127.0.0.1:8080'}"
        page = status_page(self._models(), self._catalogue.refused, address)
        return Answer(body=page.encode(), kind=HTML, headers=_PAGE_HEADERS)

    def _metrics(self, _: Request) -> Answer:
        return Answer(body=self._telemetry.text(list(self._models().values())).encode(), kind=TEXT)

    def _models(self) -> dict[str, ServedModel]:
        return {name: entry.model for name, entry in self._catalogue.served.items()}

    def _server(self, _: Request) -> Answer:
        extensions = ["binary_tensor_data"]
        return as_json({"name": "ai-factory", "version": _own_version(), "extensions": extensions})

    def _live(self, _: Request) -> Answer:
        return as_json({"live": True})

    def _ready(self, _: Request) -> Answer:
        """Ready is who can answer for at least one site: one refused release must not take the others down."""
        self._require_any()
        return as_json({"ready": True})

    def _index(self, request: Request) -> Answer:
        only_ready = index_request(request.body).ready
        served, refused = self._models(), self._catalogue.refused
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


def _require_method(request: Request, allowed: str) -> None:
    method = request.method
    if method != allowed and not (method == "HEAD" and allowed == "GET"):
        raise RequestRefused(405, f"{method} {shown(request.path)} is not possible; use {allowed}")


def _own_version() -> str:
    try:
        return version("ai-factory")
    except PackageNotFoundError:
        return "0"

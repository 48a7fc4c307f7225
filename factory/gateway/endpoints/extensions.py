"""Which extensions of the Open Inference Protocol are done, and what somebody is told who asks for another one."""

import re
from typing import NamedTuple

from factory.gateway.refusal import RequestRefused, shown

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository")
"""Those that are done, by the names that a Triton gives them."""


class NotDone(NamedTuple):
    """An extension that is not done: its paths over HTTP, its methods over gRPC, and what there is instead."""

    name: str
    path: re.Pattern[str]
    methods: tuple[str, ...]
    instead: str


_OF_MODEL = r"/v2/models/[^/]+(/versions/[^/]+)?"
_IN_BODY = "data go in the body of a request"


def _shared_memory(kind: str) -> NotDone:
    methods = tuple(f"{kind.title()}SharedMemory{verb}" for verb in ("Status", "Register", "Unregister"))
    return NotDone(f"{kind}_shared_memory", re.compile(rf"/v2/{kind}sharedmemory(/.*)?"), methods, _IN_BODY)


NOT_DONE = (
    NotDone(
        "statistics",
        re.compile(rf"/v2/models/stats|{_OF_MODEL}/stats"),
        ("ModelStatistics",),
        "GET /metrics over HTTP counts and times the requests of every model",
    ),
    NotDone(
        "model_configuration",
        re.compile(rf"{_OF_MODEL}/config"),
        ("ModelConfig",),
        "the model's metadata tell its names, shapes and versions",
    ),
    NotDone(
        "trace",
        re.compile(r"/v2(/models/[^/]+)?/trace/setting"),
        ("TraceSetting",),
        "send `traceparent` with a request to find it in the log and the records",
    ),
    NotDone("logging", re.compile(r"/v2/logging"), ("LogSettings",), "the log is set where the gateway is started"),
    _shared_memory("system"),
    _shared_memory("cuda"),
    NotDone(
        "generate",
        re.compile(rf"{_OF_MODEL}/generate(_stream)?"),
        ("ModelStreamInfer",),
        "each request has one answer: infer",
    ),
)


def require_path(path: str) -> None:
    """Raise RequestRefused (501) where a path is that of an extension that is not done."""
    for one in NOT_DONE:
        if one.path.fullmatch(path):
            raise _refused(shown(path), one)


def require_method(method: str) -> None:
    """Raise RequestRefused (501) where a method of the gRPC service is not done."""
    for one in NOT_DONE:
        if method in one.methods:
            raise _refused(method, one)
    raise RequestRefused(501, f"no method {shown(method)}; server reflection lists those there are")


def _refused(what: str, one: NotDone) -> RequestRefused:
    return RequestRefused(501, f"{what}: the extension {one.name!r} is not done here; {one.instead}")

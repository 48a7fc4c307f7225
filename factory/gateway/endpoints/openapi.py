"""What can be asked over HTTP, as OpenAPI 3.1: one table of operations, from which `/docs` is made too.

The schemas are msgspec's, made from the types of the bodies.
"""

import re
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args

import msgspec

from factory.gateway.endpoints.bodies import (
    FlatInferRequest,
    IndexRequest,
    InferResponse,
    Live,
    ManageRequest,
    ModelMetadata,
    ModelReady,
    PredictResponse,
    PredictRows,
    PredictSequences,
    Ready,
    ServerMetadata,
)
from factory.gateway.endpoints.service import NAME, Indexed, own_version
from factory.gateway.http.messages import BINARY, JSON, PROBLEM, ErrorBody, Problem
from factory.release.screen_feed import Shown

_REF = "#/components/schemas/{name}"
_MEANING = {
    400: "the request does not fit; the error says what was found and expected",
    401: "no key, or one that does not count",
    403: "the key is not for this",
    404: "no such model or version",
    406: "the client takes no media type that the answer can have",
    409: "the line's features are not built here; send rows of features",
    413: "the body is too large",
    415: "the body is of a media type, a coding or a character set that is not read",
    422: "no row can be answered; the error says why of each",
    429: "too much at once; Retry-After says when to come again",
    503: "not now: nothing is served, or too much waits",
    504: "the model had no time for the request within its timeout",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked: a method of a path, the types of its bodies, and the statuses of its refusals."""

    summary: str
    method: str
    answer: Any
    refusals: tuple[int, ...] = ()
    body: Any = None
    either: tuple[str, ...] = ()
    """The fields of the body of which it must have exactly one."""
    optional_body: bool = False
    public: bool = False
    """Whether no key is needed."""
    binary: bool = False
    """Whether the answer may be binary too."""
    error: Any = ErrorBody


_LIVE = Operation(summary="Whether the gateway runs", method="get", answer=Live, public=True)
_SERVER_READY = Operation(summary="Whether any model answers", method="get", answer=Ready, refusals=(503,), public=True)
_METADATA = Operation(
    summary="What a model takes and gives, with an example", method="get", answer=ModelMetadata, refusals=(404, 503)
)
_READY = Operation(summary="Whether a model answers", method="get", answer=ModelReady, refusals=(404, 503))
_INFER = Operation(
    summary="Ask a model about some rows",
    method="post",
    answer=InferResponse,
    refusals=(400, 404, 413, 429, 503, 504),
    body=FlatInferRequest,
    binary=True,
)
_PREDICT = Operation(
    summary="What to do: business rows, or features by name, in; decisions out",
    method="post",
    answer=PredictResponse,
    refusals=(400, 404, 409, 413, 422, 429, 503),
    body=PredictRows | PredictSequences,
    either=("records", "rows"),
    error=Problem,
)
_MODEL, _VERSIONED = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
OPERATIONS = {
    "/v2/health/live": _LIVE,
    "/v2/health/ready": _SERVER_READY,
    **dict.fromkeys(("/livez", "/healthz"), _LIVE),
    "/readyz": _SERVER_READY,
    "/v2": Operation(summary="What this server is", method="get", answer=ServerMetadata),
    _MODEL: _METADATA,
    f"{_MODEL}/ready": _READY,
    f"{_MODEL}/infer": _INFER,
    _VERSIONED: _METADATA,
    f"{_VERSIONED}/ready": _READY,
    f"{_VERSIONED}/infer": _INFER,
    "/v1/lines/{line}/sites/{site}/predict": _PREDICT,
    "/v1/lines/{line}/sites/{site}/decisions": Operation(
        summary="What a screen shows: the decisions after Last-Event-ID, as JSON or as server-sent events",
        method="get",
        answer=Shown,
        refusals=(400, 404, 503),
        error=Problem,
    ),
    "/v2/repository/index": Operation(
        summary="All models", method="post", answer=list[Indexed], refusals=(400,), body=IndexRequest
    ),
    "/v2/repository/models/{model}/load": Operation(
        summary="Serve a model's newest release, also after unload",
        method="post",
        answer=dict[str, Any],
        refusals=(400, 503),
        body=ManageRequest,
        optional_body=True,
    ),
    "/v2/repository/models/{model}/unload": Operation(
        summary="Serve a model no longer, until load or a restart",
        method="post",
        answer=dict[str, Any],
        refusals=(400, 503),
        body=ManageRequest,
        optional_body=True,
    ),
}
"""By path; no path has two methods."""


@cache
def openapi() -> dict[str, Any]:
    """Return the document."""
    schemas, components = _schemas()
    return {
        "openapi": "3.1.0",
        "info": {"title": NAME, "version": own_version(), "description": "Open Inference Protocol v2"},
        "paths": {path: {one.method: _described(path, one, schemas)} for path, one in OPERATIONS.items()},
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def inlined(schema: Any) -> Any:
    """Return a schema of the document with what it refers to in its place."""
    if isinstance(schema, list):
        return [inlined(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if (reference := schema.get("$ref")) is not None:
        return inlined(openapi()["components"]["schemas"][reference.rpartition("/")[2]])
    return {name: inlined(part) for name, part in schema.items()}


def _schemas() -> tuple[dict[Any, Any], dict[str, Any]]:
    """Return a schema for each type of a body, and the components that they refer to."""
    bodies = [
        part for one in OPERATIONS.values() for body in (one.answer, one.body, one.error) for part in _parts(body)
    ]
    schemas, components = msgspec.json.schema_components(bodies, ref_template=_REF)
    return dict(zip(bodies, schemas, strict=True)), components


def _parts(body: Any) -> tuple[Any, ...]:
    """Return the types that a body can be, whichever of them its model takes; none where there is no body."""
    if body is None:
        return ()
    return get_args(body) if isinstance(body, UnionType) else (body,)


def _described(path: str, one: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    """Return one operation as the document has it."""
    answers = {JSON.decode(): {"schema": schemas[one.answer]}}
    if one.binary:
        answers[BINARY.decode()] = {"schema": {"type": "string", "format": "binary"}}
    kind = PROBLEM if one.error is Problem else JSON
    refusals = sorted(
        {*one.refusals, *(() if one.public else (401, 403, 406)), *((415,) if one.method == "post" else ())}
    )
    error = {kind.decode(): {"schema": schemas[one.error]}}
    described: dict[str, Any] = {
        "summary": one.summary,
        "responses": {
            "200": {"description": "done", "content": answers},
            **{str(status): {"description": _MEANING[status], "content": error} for status in refusals},
        },
    }
    if one.body is not None:
        parts = [schemas[part] for part in _parts(one.body)]
        schema = parts[0] if len(parts) == 1 else {"anyOf": parts}
        if one.either:
            schema = {**schema, "oneOf": [{"required": [name]} for name in one.either]}
        described["requestBody"] = {"required": not one.optional_body, "content": {JSON.decode(): {"schema": schema}}}
    if one.public:
        described["security"] = []
    names = re.findall(r"{(\w+)}", path)
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return described

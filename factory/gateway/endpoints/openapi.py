"""What can be asked over HTTP, as OpenAPI 3.1: one table of operations, from which `/docs` is made too."""

from functools import cache
from typing import Any

from factory.gateway.endpoints.service import NAME, own_version
from factory.gateway.models.attributions import MAX_REASONS
from factory.model.signature import INPUT
from factory.release.triton import MAX_BATCH

_STRING, _NUMBER = {"type": "string"}, {"type": "number"}
_ID = {"type": ["string", "null"]}
_SAME_VERSION = "while a canary runs, requests of one id are answered by one version"
_SHAPE = {"type": "array", "items": {"type": "integer"}}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": _STRING}}
_VALUES = {"type": "array", "items": {"type": ["number", "null"], "maximum": 1e30, "minimum": -1e30}}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"const": INPUT},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "description": f"rows (at most {MAX_BATCH}), and what one row of the model is: see its metadata",
        },
        "datatype": {"const": "FP32"},
        "data": {**_VALUES, "description": "row after row, flat or nested; null where unknown"},
    },
}
_INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {**_ID, "description": f"comes back with the answer; {_SAME_VERSION}"},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
    },
}
_OUTPUT = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": _STRING,
        "datatype": {"const": "FP32"},
        "shape": _SHAPE,
        "data": {"type": "array", "items": {"type": ["number", "null"]}},
    },
}
_INFERRED = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs", "parameters"],
    "properties": {
        "model_name": _STRING,
        "model_version": _STRING,
        "id": _STRING,
        "outputs": {"type": "array", "items": _OUTPUT},
        "parameters": {
            "type": "object",
            "required": ["prediction_id"],
            "properties": {
                "prediction_id": {**_STRING, "description": "names this prediction in the records"},
                "outside": {**_STRING, "description": "values that the training never saw"},
                "abstained": {**_STRING, "description": "rows without an answer, from 0, separated by commas"},
            },
        },
    },
}
_METADATA = {
    "type": "object",
    "required": ["name", "versions", "platform", "inputs", "outputs"],
    "properties": {
        "name": _STRING,
        "versions": {"type": "array", "items": _STRING},
        "platform": _STRING,
        "inputs": {"type": "array", "items": {"type": "object"}},
        "outputs": {"type": "array", "items": {"type": "object"}},
        "parameters": {"type": "object", "description": "line, site, digest, threshold, features, an example …"},
    },
}
_SERVER = {
    "type": "object",
    "required": ["name", "version", "extensions"],
    "properties": {"name": _STRING, "version": _STRING, "extensions": {"type": "array", "items": _STRING}},
}
_INDEXED = {
    "type": "object",
    "required": ["name", "version", "state", "reason"],
    "properties": {
        "name": _STRING,
        "version": _STRING,
        "state": {"enum": ["READY", "UNAVAILABLE"]},
        "reason": _STRING,
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {"type": _STRING, "title": _STRING, "status": {"type": "integer"}, "detail": _STRING},
}
_RECORD = {
    "type": "object",
    "additionalProperties": {"type": ["number", "boolean", "null"], "maximum": 1e30, "minimum": -1e30},
    "description": "each feature of the model by its name, null where unknown",
}
_ROWS = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_BATCH,
    "items": {"anyOf": [_RECORD, {"type": "array", "items": _RECORD, "description": "a sequence, oldest step first"}]},
}
_RECORDS = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_BATCH,
    "items": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    "description": "rows of the line's decision table, as the business has them; a column that is left out is unknown",
}
_PREDICT = {
    "type": "object",
    "oneOf": [{"required": ["records"]}, {"required": ["rows"]}],
    "properties": {
        "records": _RECORDS,
        "rows": _ROWS,
        "id": {**_ID, "description": _SAME_VERSION},
        "reasons": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_REASONS,
            "default": 0,
            "description": f"how many a row; rows times (1 + features) is at most {MAX_BATCH} then",
        },
    },
}
_REASON = {
    "type": "object",
    "required": ["feature", "value", "typical", "moves"],
    "properties": {
        "feature": _STRING,
        "value": {"type": ["number", "null"], "description": "of a sequence, at its last step"},
        "typical": {**_NUMBER, "description": "the median of the training rows"},
        "moves": {**_NUMBER, "description": "the answer as it is, less the answer with the typical value"},
    },
}
_PREDICTED = {
    "type": "object",
    "required": ["line", "site", "model_version", "prediction_id", "rows"],
    "properties": {
        "line": _STRING,
        "site": _STRING,
        "model_version": {"type": "integer"},
        "prediction_id": {**_STRING, "description": "names this prediction in the records"},
        "outside": {**_STRING, "description": "values that the training never saw"},
        "known_until": {"type": ["string", "null"], "description": "of records: the newest row their features know"},
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["answer", "decision", "expected_value_eur", "outside"],
                "properties": {
                    "answer": {"type": ["object", "null"], "description": "the model's numbers by name"},
                    "decision": {
                        "type": ["boolean", "string", "number", "null"],
                        "description": "whether to act; the class, or null for a person; the number to act on",
                    },
                    "expected_value_eur": {
                        "type": ["number", "null"],
                        "description": "what the decision is worth on average above deciding without a model",
                    },
                    "outside": {"type": "boolean"},
                    "refused": {**_STRING, "description": "of a record that is not answered: why"},
                    "reasons": {
                        "type": ["array", "null"],
                        "items": _REASON,
                        "description": "if asked for: the features that moved the answer most, strongest first",
                    },
                },
            },
        },
    },
}
_INDEX_REQUEST = {"type": "object", "properties": {"ready": {"type": "boolean"}}}


def _flag(name: str) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "boolean"}}}


def _operation(
    summary: str,
    answer: dict[str, Any],
    *refusals: int,
    body: dict[str, Any] | None = None,
    public: bool = False,
    problem: bool = False,
) -> dict[str, Any]:
    """Return one operation; `refusals` are the statuses beside 200 that it can answer with."""
    statuses = [*refusals, *(() if public else (401, 403))]
    told = {"application/problem+json": {"schema": _PROBLEM}} if problem else {"application/json": {"schema": _ERROR}}
    errors = {str(status): {"description": _MEANING[status], "content": told} for status in sorted(statuses)}
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "done", "content": {"application/json": {"schema": answer}}}, **errors},
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if public:
        found["security"] = []
    return found


_MEANING = {
    400: "the request does not fit; the error says what was found and expected",
    401: "no key, or one that does not count",
    403: "the key is not for this",
    404: "no such model or version",
    409: "the line's features are not built here; send rows of features",
    413: "the body is too large",
    422: "no row can be answered; the error says why of each",
    429: "too much at once; Retry-After says when to come again",
    503: "not now: nothing is served, or too much waits",
}

_MODEL, _VERSIONED = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
_METADATA_OF = _operation("What a model takes and gives, with an example", _METADATA, 404, 503)
_READY_OF = _operation("Whether a model answers", _flag("ready"), 404, 503)
_INFER_OF = _operation("Ask a model about some rows", _INFERRED, 400, 404, 413, 429, 503, body=_INFER)

_PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "/v2/health/live": ("get", _operation("Whether the gateway runs", _flag("live"), public=True)),
    "/v2/health/ready": ("get", _operation("Whether any model answers", _flag("ready"), 503, public=True)),
    "/v2": ("get", _operation("What this server is", _SERVER)),
    _MODEL: ("get", _METADATA_OF),
    f"{_MODEL}/ready": ("get", _READY_OF),
    f"{_MODEL}/infer": ("post", _INFER_OF),
    _VERSIONED: ("get", _METADATA_OF),
    f"{_VERSIONED}/ready": ("get", _READY_OF),
    f"{_VERSIONED}/infer": ("post", _INFER_OF),
    "/v1/lines/{line}/sites/{site}/predict": (
        "post",
        _operation(
            "What to do: business rows, or features by name, in; decisions out",
            _PREDICTED,
            *(400, 404, 409, 413, 422, 429, 503),
            body=_PREDICT,
            problem=True,
        ),
    ),
    "/v2/repository/index": (
        "post",
        _operation("All models", {"type": "array", "items": _INDEXED}, 400, body=_INDEX_REQUEST),
    ),
    "/v2/repository/models/{model}/load": (
        "post",
        _operation("Serve a model's newest release, also after unload", {"type": "object"}, 400, 503),
    ),
    "/v2/repository/models/{model}/unload": (
        "post",
        _operation("Serve a model no longer, until load or a restart", {"type": "object"}, 400, 503),
    ),
}


@cache
def openapi() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": NAME, "version": own_version(), "description": "Open Inference Protocol v2"},
        "paths": {path: {method: _with_parameters(path, found)} for path, (method, found) in _PATHS.items()},
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def _with_parameters(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ("line", "site", "model", "version") if f"{{{name}}}" in path]
    parameters = [{"name": name, "in": "path", "required": True, "schema": _STRING} for name in names]
    return {**operation, "parameters": parameters} if parameters else operation

"""The Open Inference Protocol v2 in JSON: requests into arrays, a model's numbers into answers.

An unknown value is `null`, for JSON has no NaN. Data may be flat, row after row, or nested, one list a row (and in a
sequence model's row, one list a step).
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from factory.errors import FactoryError
from factory.repository import Manifest
from factory.repository.triton import MAX_BATCH
from factory.signature import INPUT, Signature

DATATYPE = "FP32"
Rows = NDArray[np.float32]


class RequestRefused(FactoryError):  # noqa: N818  named like the other refusals in factory.errors
    """A request that is answered with an error: the HTTP status, and what was found and expected."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class InputTensor(msgspec.Struct):
    """One input of a request; `data` is decoded only once name, type and shape are right."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class RequestedOutput(msgspec.Struct):
    """One output that the client asks for."""

    name: str


class InferRequest(msgspec.Struct):
    """An inference request; fields that are not named here are ignored, as the protocol allows."""

    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None


class OutputTensor(msgspec.Struct):
    """One output of an answer."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferResponse(msgspec.Struct, omit_defaults=True):
    """An inference answer; the id is the request's."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None


class IndexRequest(msgspec.Struct):
    """What `/v2/repository/index` is asked for: all models, or only those that are ready."""

    ready: bool = False


_requests = msgspec.json.Decoder(InferRequest)
_index_requests = msgspec.json.Decoder(IndexRequest)
_flat = msgspec.json.Decoder(list[float | None])
_nested: dict[int, "msgspec.json.Decoder[Any]"] = {
    2: msgspec.json.Decoder(list[list[float | None]]),
    3: msgspec.json.Decoder(list[list[list[float | None]]]),
}
"""By the number of dimensions that the data are nested in."""
_encoder = msgspec.json.Encoder()


def encoded(answer: object) -> bytes:
    """Return the answer as JSON."""
    return _encoder.encode(answer)


def infer_request(body: bytes) -> InferRequest:
    """Return the request in a body; raises RequestRefused (400) if it is not one."""
    return _decoded(_requests, body, "the body is no inference request")  # type: ignore[no-any-return]


def index_request(body: bytes) -> IndexRequest:
    """Return the request in a body, which may be empty; raises RequestRefused (400) if it is not one."""
    return _decoded(_index_requests, body or b"{}", "the body is no index request")  # type: ignore[no-any-return]


def rows_of(request: InferRequest, signature: Signature) -> Rows:
    """Return the request's rows, float32 `[batch, *input_shape]` with NaN where unknown.

    Raises RequestRefused (400) unless there is exactly the one input, of the right type, shape and size, and no other
    output than the one there is.
    """
    tensor = _only_input(request)
    shape = _shape(tensor, signature)
    for output in request.outputs or ():
        if output.name != signature.output:
            raise RequestRefused(400, f"no output {shown(output.name)}; there is {signature.output!r}")
    return _array(_values(tensor, shape)).reshape(shape)


def infer_response(request: InferRequest, manifest: Manifest, answers: Rows) -> InferResponse:
    """Return the response with the numbers `[batch, answers]`; raises RequestRefused (400) if one is missing."""
    output = manifest.model_signature.output
    if not np.isfinite(answers).all():
        row = int(np.flatnonzero(~np.isfinite(answers).all(axis=1))[0])
        raise RequestRefused(400, f"row {row}: the model has no {output} for these values; check their units")
    tensor = OutputTensor(output, DATATYPE, list(answers.shape), answers.ravel().tolist())
    return InferResponse(manifest.model, str(manifest.version), [tensor], request.id)


def shown(text: str) -> str:
    """Return a client's text for a message: quoted, and cut at 80 characters."""
    return repr(text if len(text) <= 80 else f"{text[:80]}…")


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes, what: str) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestRefused(400, f"{what}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, f"{what}: {error}; write null, not NaN, for an unknown value") from error


def _only_input(request: InferRequest) -> InputTensor:
    names = [tensor.name for tensor in request.inputs]
    if names != [INPUT]:
        found = ", ".join(map(shown, names[:5])) or "none"
        raise RequestRefused(400, f"{len(names)} inputs ({found}); expected exactly one, {INPUT!r}")
    tensor = request.inputs[0]
    if tensor.datatype != DATATYPE:
        raise RequestRefused(400, f"input {INPUT!r} has datatype {shown(tensor.datatype)}; expected {DATATYPE!r}")
    return tensor


def _shape(tensor: InputTensor, signature: Signature) -> tuple[int, ...]:
    """Return the tensor's shape, which must be one row or more of what the model takes."""
    shape, takes = tensor.shape, list(signature.input_shape)
    if shape[1:] != takes or shape[0] < 1:
        found = f"{len(shape)} dimensions" if len(shape) > 8 else shown(str(shape))
        expected = ", ".join(map(str, takes))
        raise RequestRefused(
            400, f"input {INPUT!r} has shape {found}; expected [rows, {expected}] with one row or more"
        )
    if shape[0] > MAX_BATCH:
        raise RequestRefused(400, f"{shape[0]} rows in one request; the limit is {MAX_BATCH}: send several requests")
    return tuple(shape)


def _values(tensor: InputTensor, shape: tuple[int, ...]) -> Sequence[float | None]:
    """Return the tensor's values, row after row."""
    content = bytes(tensor.data)
    what = f"input {INPUT!r} has data that are neither numbers nor null"
    if not content.startswith(b"[") or not content[1:64].lstrip().startswith(b"["):
        flat: list[float | None] = _decoded(_flat, content, what)
        if len(flat) != math.prod(shape):
            raise RequestRefused(400, f"{len(flat)} values; the shape {list(shape)} needs {math.prod(shape)}")
        return flat
    level: list[Any] = [_decoded(_nested[len(shape)], content, what)]
    for size in shape:
        if any(len(part) != size for part in level):
            raise RequestRefused(400, f"data are not nested as the shape {list(shape)} says, which has {_said(shape)}")
        level = list(chain.from_iterable(level))
    return level


def _said(shape: tuple[int, ...]) -> str:
    rows, *steps, columns = shape
    return f"{rows} rows of {''.join(f'{count} steps of ' for count in steps)}{columns} values each"


def _array(values: Sequence[float | None]) -> Rows:
    """Return float32 values, None as NaN; a number beyond float32 is refused rather than made infinite."""
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=np.float32)
    if np.isinf(array).any():
        raise RequestRefused(400, f"value {int(np.flatnonzero(np.isinf(array))[0])} is beyond the range of {DATATYPE}")
    return array

"""The Open Inference Protocol v2 in JSON: requests into arrays, probabilities into answers.

An unknown value is `null`, for JSON has no NaN. Data may be flat, row after row, or nested, one list a row.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from factory.errors import FactoryError
from factory.repository.triton import INPUT, MAX_BATCH, OUTPUT

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
_nested = msgspec.json.Decoder(list[list[float | None]])
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


def rows_of(request: InferRequest, columns: int) -> Rows:
    """Return the request's rows, float32 `[batch, columns]` with NaN where unknown.

    Raises RequestRefused (400) unless there is exactly the one input, of the right type, shape and size, and no other
    output than the one there is.
    """
    tensor = _only_input(request)
    batch = _batch(tensor, columns)
    for output in request.outputs or ():
        if output.name != OUTPUT:
            raise RequestRefused(400, f"no output {shown(output.name)}; there is {OUTPUT!r}")
    return _array(_values(tensor, batch, columns)).reshape(batch, columns)


def infer_response(request: InferRequest, model: str, version: int, probability: Rows) -> InferResponse:
    """Return the answer with probabilities `[batch, 1]`; raises RequestRefused (400) where the model gave no number."""
    if not np.isfinite(probability).all():
        row = int(np.flatnonzero(~np.isfinite(probability[:, 0]))[0])
        raise RequestRefused(400, f"row {row}: the model has no probability for these values; check their units")
    output = OutputTensor(OUTPUT, DATATYPE, list(probability.shape), probability[:, 0].tolist())
    return InferResponse(model, str(version), [output], request.id)


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


def _batch(tensor: InputTensor, columns: int) -> int:
    shape = tensor.shape
    if len(shape) != 2 or shape[1] != columns or shape[0] < 1:
        found = f"{len(shape)} dimensions" if len(shape) > 8 else shown(str(shape))
        raise RequestRefused(400, f"input {INPUT!r} has shape {found}; expected [rows, {columns}] with one row or more")
    if shape[0] > MAX_BATCH:
        raise RequestRefused(400, f"{shape[0]} rows in one request; the limit is {MAX_BATCH}: send several requests")
    return shape[0]


def _values(tensor: InputTensor, batch: int, columns: int) -> Sequence[float | None]:
    """Return the tensor's values, row after row."""
    content = bytes(tensor.data)
    what = f"input {INPUT!r} has data that are neither numbers nor null"
    if not content.startswith(b"[") or not content[1:64].lstrip().startswith(b"["):
        flat: list[float | None] = _decoded(_flat, content, what)
        if len(flat) != batch * columns:
            raise RequestRefused(400, f"{len(flat)} values; the shape [{batch}, {columns}] needs {batch * columns}")
        return flat
    rows: list[list[float | None]] = _decoded(_nested, content, what)
    if len(rows) != batch or any(len(row) != columns for row in rows):
        raise RequestRefused(400, f"{len(rows)} nested rows; the shape needs {batch} rows of {columns} values each")
    return [value for row in rows for value in row]


def _array(values: Sequence[float | None]) -> Rows:
    """Return float32 values, None as NaN; a number beyond float32 is refused rather than made infinite."""
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=np.float32)
    if np.isinf(array).any():
        raise RequestRefused(400, f"value {int(np.flatnonzero(np.isinf(array))[0])} is beyond the range of {DATATYPE}")
    return array

"""The Open Inference Protocol v2 over HTTP: a body into a question, a model's numbers into a body.

As JSON an unknown value is `null`, for JSON has no NaN; data may be flat, row after row, or nested, one list a row (and
in a sequence model's row, one list a step). With the binary tensor extension the JSON comes first, as long as the
header `Inference-Header-Content-Length` says, and the tensors follow as little-endian FP32, NaN where unknown.

An output with the parameter `classification` comes as Triton's extension of that name has it: of each row the highest
values, highest first, as texts `value:index:name`, with the name that the model's signature gives the answer. In binary
a text is its length, four bytes little-endian, and its UTF-8.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import msgspec
import numpy as np

from factory.gateway.endpoints.bodies import (
    TEXTS,
    AnswerParameters,
    Flat,
    FlatInferRequest,
    IndexRequest,
    InferRequest,
    InferResponse,
    ManageRequest,
    OutputTensor,
    require_few_values,
)
from factory.gateway.endpoints.parameters import (
    NO_OUTPUT_PARAMETERS,
    OutputParameters,
    Parameters,
    input_parameters,
    output_parameters,
    request_parameters,
)
from factory.gateway.http.messages import BINARY, Answer, encoded
from factory.gateway.models.question import Answered
from factory.gateway.models.served_model import DATATYPE
from factory.gateway.refusal import RequestRefused, shown
from factory.model.session import Rows
from factory.model.signature import INPUT, Signature
from factory.release.triton import MAX_BATCH

_NO_REQUEST = "the body is no inference request"
_NO_NUMBERS = f"input {INPUT!r} has data that are neither numbers nor null"
HEADER_LENGTH = b"inference-header-content-length"
_VALUE_BYTES = 4

_requests: "dict[int, msgspec.json.Decoder[Any]]" = {
    1: msgspec.json.Decoder(FlatInferRequest),
    2: msgspec.json.Decoder(InferRequest[list[Flat]]),
    3: msgspec.json.Decoder(InferRequest[list[list[Flat]]]),
}
"""By the number of dimensions that the data are nested in."""
_data: "dict[int, msgspec.json.Decoder[Any]]" = {
    1: msgspec.json.Decoder(Flat),
    2: msgspec.json.Decoder(list[Flat]),
    3: msgspec.json.Decoder(list[list[Flat]]),
}
_requests_of_any = msgspec.json.Decoder(InferRequest[msgspec.Raw])
_index_requests = msgspec.json.Decoder(IndexRequest)
_manage_requests = msgspec.json.Decoder(ManageRequest)


class Asked(msgspec.Struct):
    """A request that fits the model: its values, flat, and how the client wants the answer."""

    values: Rows | Flat
    rows: int
    id: str | None
    binary: bool
    timeout_s: float | None
    classification: int


def asked(body: bytes, header_length: bytes | None, signature: Signature) -> Asked:
    """Return what a body asks.

    Raises RequestRefused (400) unless there is exactly the one input, of the right type, shape and size, and no other
    output than the one there is.
    """
    head, tensors = (body, b"") if header_length is None else _split(body, header_length)
    require_few_values(head, MAX_BATCH * (1 + 2 * signature.input_size))
    request = _request(head, 1 + len(signature.input_shape))
    require_input(request.inputs)
    tensor = request.inputs[0]
    shape = require_shape(tensor.shape, signature)
    size = input_parameters(tensor.parameters)
    values = _values(tensor.data, shape) if size is None and not tensors else _binary_values(tensors, size, shape)
    how = request_parameters(request.parameters)
    output = requested_output([(one.name, one.parameters) for one in request.outputs or ()], signature)
    binary = how.binary if output.binary is None else output.binary
    return Asked(values, shape[0], request.id, bool(binary), how.timeout_s, output.classification)


def answer(asked: Asked, answered: Answered) -> Answer:
    """Return the response with the model's numbers, in the form that was asked for."""
    model, numbers = answered.model, answered.numbers
    parameters = AnswerParameters(answered.prediction)
    parameters.unknown = ",".join(map(str, answered.unknown))
    if answered.outside:
        parameters.outside = answered.outside.reasons
        parameters.abstained = unanswered_rows(answered)
    output = OutputTensor(model.signature.output, DATATYPE, list(numbers.shape))
    if asked.classification:
        texts = classifications(numbers, asked.classification, model.signature)
        output.datatype, output.shape = TEXTS, [len(texts), len(texts[0])]
    response = InferResponse(model.manifest.model, str(model.manifest.version), [output], parameters, asked.id)
    if not asked.binary:
        output.data = list(chain.from_iterable(texts)) if asked.classification else numbers.ravel().tolist()
        return Answer(body=encoded(response))
    tensor = binary_texts(texts) if asked.classification else numbers.astype("<f4", copy=False).tobytes()
    output.parameters = {"binary_data_size": len(tensor)}
    head = encoded(response)
    return Answer(body=head + tensor, kind=BINARY, headers=((HEADER_LENGTH, b"%d" % len(head)),))


def unanswered_rows(answered: Answered) -> str | None:
    """Return the numbers of the rows without an answer, or None if there are none."""
    unknown = np.flatnonzero(np.isnan(answered.numbers).any(axis=1))
    return ",".join(map(str, unknown)) or None


def index_request(body: bytes) -> IndexRequest:
    """Return the request in a body, which may be empty; raises RequestRefused (400) if it is not one."""
    return _decoded(_index_requests, body or b"{}", "the body is no index request")  # type: ignore[no-any-return]


def manage_parameters(body: bytes) -> Parameters | None:
    """Return the parameters of a load or unload; raises RequestRefused (400) where the body is none."""
    return _decoded(_manage_requests, body or b"{}", "the body is no load or unload").parameters  # type: ignore[no-any-return]


def classifications(numbers: Rows, count: int, signature: Signature) -> list[list[str]]:
    """Return the highest values of each row, so many at most, as `value:index:name`; of equal ones the first first."""
    best = np.argsort(-numbers, axis=1, kind="stable")[:, :count]
    names = signature.answers
    return [
        [f"{row[place]:.6f}:{place}:{names[place]}" for place in places]
        for row, places in zip(numbers.tolist(), best.tolist(), strict=True)
    ]


def binary_texts(rows: Sequence[Sequence[str]]) -> bytes:
    """Return texts as a binary tensor of datatype BYTES."""
    texts = [text.encode() for row in rows for text in row]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


class Tensor(Protocol):
    """An input as either door has it."""

    name: str
    datatype: str


def require_input(inputs: Sequence[Tensor]) -> None:
    """Raise RequestRefused (400) unless there is exactly the one input, of the right type."""
    if len(inputs) != 1 or inputs[0].name != INPUT:
        names = ", ".join(shown(tensor.name) for tensor in inputs[:5]) or "none"
        raise RequestRefused(400, f"{len(inputs)} inputs ({names}); expected exactly one, {INPUT!r}")
    if inputs[0].datatype != DATATYPE:
        raise RequestRefused(400, f"input {INPUT!r} has datatype {shown(inputs[0].datatype)}; expected {DATATYPE!r}")


def require_shape(shape: Sequence[int], signature: Signature) -> tuple[int, ...]:
    """Return the tensor's shape; raises RequestRefused (400) unless it is some rows of what the model takes."""
    asked, takes = tuple(shape), signature.input_shape
    if asked[1:] != takes or asked[0] < 1:
        said = f"{len(asked)} dimensions" if len(asked) > 8 else shown(str(list(asked)))
        expected = ", ".join(map(str, takes))
        raise RequestRefused(400, f"input {INPUT!r} has shape {said}; expected [rows, {expected}] with one row or more")
    if asked[0] > MAX_BATCH:
        raise RequestRefused(
            400, f"{shown(str(asked[0]))} rows in one request; the limit is {MAX_BATCH}: send several requests"
        )
    return asked


def requested_output(outputs: Sequence[tuple[str, Parameters | None]], signature: Signature) -> OutputParameters:
    """Return how the one output is wanted, of those that a request names, each with its parameters.

    Raises RequestRefused (400) if an output is asked for that the model does not have, or one twice.
    """
    for name, _ in outputs:
        if name != signature.output:
            raise RequestRefused(400, f"no output {shown(name)}; there is {signature.output!r}")
    if len(outputs) > 1:
        raise RequestRefused(400, f"output {signature.output!r} is asked for {len(outputs)} times; name it once")
    return output_parameters(outputs[0][1]) if outputs else NO_OUTPUT_PARAMETERS


def binary_values(tensor: bytes, shape: tuple[int, ...]) -> Rows:
    """Return little-endian FP32 values; raises RequestRefused (400) unless there are as many as the shape says."""
    needed = math.prod(shape) * _VALUE_BYTES
    if len(tensor) != needed:
        raise RequestRefused(400, f"{len(tensor)} bytes of tensor; the shape {list(shape)} needs {needed}")
    return np.frombuffer(tensor, "<f4")


def _split(body: bytes, header_length: bytes) -> tuple[bytes, bytes]:
    if len(header_length) > 12 or not header_length.isdigit() or int(header_length) > len(body):
        said = shown(header_length.decode("latin-1"))
        raise RequestRefused(400, f"Inference-Header-Content-Length is {said}; the body has {len(body)} bytes")
    length = int(header_length)
    return body[:length], body[length:]


def _binary_values(tensors: bytes, size: int | None, shape: tuple[int, ...]) -> Rows:
    if size != len(tensors):
        raise RequestRefused(
            400, f"binary_data_size is {size or 'not given'}; after the JSON there are {len(tensors)} bytes"
        )
    return binary_values(tensors, shape)


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes, what: str) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestRefused(400, f"{what}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, f"{what}: {error}; write null, not NaN, for an unknown value") from error


def _request(body: bytes, dimensions: int) -> InferRequest[Any]:
    """Return the request with its data flat or nested as they are; as raw JSON where they are neither.

    To decode everything in one pass takes half the time, so how the data are nested is guessed before it is known.
    """
    for depth in _depths(body, dimensions):
        try:
            return _requests[depth].decode(body)  # type: ignore[no-any-return]
        except msgspec.ValidationError:
            continue
        except (ValueError, RecursionError):  # no JSON at all
            break
    return _decoded(_requests_of_any, body, _NO_REQUEST)  # type: ignore[no-any-return]


def _depths(content: bytes, dimensions: int) -> tuple[int, int]:
    """Return how deep data may be nested, the likelier first."""
    return (dimensions, 1) if b"[[" in content else (1, dimensions)


def _values(data: Any, shape: tuple[int, ...]) -> Flat:
    """Return the values, row after row; raises RequestRefused (400) unless they are as many as the shape says."""
    if data is msgspec.UNSET:
        data = []
    elif isinstance(data, msgspec.Raw):
        content = bytes(data)
        data = _decoded(_data[_depths(content, len(shape))[0]], content, _NO_NUMBERS)  # which says why not
    if data and isinstance(data[0], list):
        return _flattened(data, shape)
    if len(data) != math.prod(shape):
        raise RequestRefused(400, f"{len(data)} values; the shape {list(shape)} needs {math.prod(shape)}")
    return data  # type: ignore[no-any-return]


def _flattened(nested: list[Any], shape: tuple[int, ...]) -> Flat:
    level: list[Any] = [nested]
    for size in shape:
        for part in level:
            if len(part) != size:
                said = f"the shape {list(shape)} says, which has {_said(shape)}"
                raise RequestRefused(400, f"data are not nested as {said}")
        level = list(chain.from_iterable(level))
    return level


def _said(shape: tuple[int, ...]) -> str:
    rows, *steps, columns = shape
    return f"{rows} rows of {''.join(f'{count} steps of ' for count in steps)}{columns} values each"

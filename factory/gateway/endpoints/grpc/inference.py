"""The messages of an inference: a ModelInferRequest into values, a model's numbers into a ModelInferResponse."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from factory.gateway.endpoints.bodies import TEXTS
from factory.gateway.endpoints.grpc.messages import CLASSES
from factory.gateway.endpoints.open_inference import (
    binary_texts,
    binary_values,
    classifications,
    requested_output,
    require_input,
    require_shape,
    unanswered_rows,
)
from factory.gateway.endpoints.parameters import input_parameters, request_parameters
from factory.gateway.models.question import Answered
from factory.gateway.models.served_model import DATATYPE
from factory.gateway.refusal import RequestRefused
from factory.model.session import Rows
from factory.model.signature import Signature


class Asked(NamedTuple):
    """A request that fits the model, and how the client wants the answer."""

    values: Rows
    rows: int
    id: str
    timeout_s: float | None
    classification: int


def asked(message: Any, signature: Signature) -> Asked:
    """Return what a ModelInferRequest asks; raises RequestRefused (400) unless it fits the model."""
    require_input(message.inputs)
    tensor = message.inputs[0]
    shape = require_shape(tensor.shape, signature)
    output = requested_output([(one.name, plain(one.parameters)) for one in message.outputs], signature)
    how = request_parameters(plain(message.parameters))
    for name, binary in (("binary_data", output.binary), ("binary_data_output", how.binary)):
        if binary is False:
            raise RequestRefused(400, f"parameter {name!r} is false; over gRPC an answer is always binary")
    content = _content(message, tensor)
    if (size := input_parameters(plain(tensor.parameters))) not in (None, len(content)):
        raise RequestRefused(400, f"binary_data_size is {size}; the input has {len(content)} bytes")
    return Asked(binary_values(content, shape), shape[0], message.id, how.timeout_s, output.classification)


def response(asked: Asked, answered: Answered) -> Any:
    """Return the ModelInferResponse with the model's numbers, in the form that was asked for."""
    manifest, numbers = answered.model.manifest, answered.numbers
    parameters = {"prediction_id": answered.prediction, "unknown": ",".join(map(str, answered.unknown))}
    if answered.outside:
        parameters["outside"] = answered.outside.reasons
        if abstained := unanswered_rows(answered):
            parameters["abstained"] = abstained
    signature = answered.model.signature
    if asked.classification:
        texts = classifications(numbers, asked.classification, signature)
        datatype, shape, content = TEXTS, (len(texts), len(texts[0])), binary_texts(texts)
    else:
        datatype, shape, content = DATATYPE, numbers.shape, numbers.astype("<f4", copy=False).tobytes()
    return CLASSES["ModelInferResponse"](
        model_name=manifest.model,
        model_version=str(manifest.version),
        id=asked.id,
        parameters={name: CLASSES["InferParameter"](string_param=text) for name, text in parameters.items()},
        outputs=[{"name": signature.output, "datatype": datatype, "shape": shape}],
        raw_output_contents=[content],
    )


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message's parameters as plain values; one whose kind is not known has none."""
    return {name: _value(one) for name, one in parameters.items()} if parameters else {}


def _value(parameter: Any) -> Any:
    choice = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, choice) if choice else None


def _content(message: Any, tensor: Any) -> bytes:
    """Return the input's values as little-endian FP32; raises RequestRefused (400) where they are given otherwise."""
    raw, contents = message.raw_input_contents, tensor.contents
    if not raw:
        if other := [field.name for field, _ in contents.ListFields() if field.name != "fp32_contents"]:
            raise RequestRefused(400, f"an input of datatype {DATATYPE} has {other[0]}; expected fp32_contents")
        return np.array(contents.fp32_contents, "<f4").tobytes()
    if len(raw) != 1:
        raise RequestRefused(400, f"{len(raw)} raw contents for one input")
    if contents.ListFields():
        raise RequestRefused(400, "an input has raw contents and contents of its own; send one of them")
    return raw[0]  # type: ignore[no-any-return]  # gRPC has no types

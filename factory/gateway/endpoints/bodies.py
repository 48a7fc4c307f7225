"""What bodies of the Open Inference Protocol v2 over HTTP hold, as far as the gateway reads or writes it."""

from typing import Generic, TypeVar

import msgspec

from factory.gateway.refusal import RequestRefused

_SHORT_BYTES = 64 * 1024
Flat = list[float | None]
"""Values row after row, None where unknown."""

Data = TypeVar("Data")
"""What the data of an input are: lists, as deep as they are nested, or whatever there is."""


class InputParameters(msgspec.Struct):
    """What a binary tensor says of itself."""

    binary_data_size: int | None = None


class InputTensor(msgspec.Struct, Generic[Data]):
    """One input of a request; a binary tensor has its data elsewhere."""

    name: str
    shape: list[int]
    datatype: str
    data: Data | msgspec.UnsetType = msgspec.UNSET
    parameters: InputParameters | None = None


class OutputParameters(msgspec.Struct):
    """How the client wants an output."""

    binary_data: bool | None = None


class RequestedOutput(msgspec.Struct):
    """One output that the client asks for."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(msgspec.Struct):
    """How the client wants outputs that it does not name."""

    binary_data_output: bool = False


class InferRequest(msgspec.Struct, Generic[Data]):
    """An inference request; fields that are not named here are ignored, as the protocol allows."""

    inputs: list[InputTensor[Data]]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    parameters: RequestParameters | None = None


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One output of an answer; its data are numbers here, or bytes after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float] | None = None
    parameters: dict[str, int] | None = None


class AnswerParameters(msgspec.Struct, omit_defaults=True):
    """What there is to say beside the numbers: the prediction's name, and rows unlike those of the training."""

    prediction_id: str
    outside: str | None = None
    abstained: str | None = None
    """Numbers of the rows without an answer, from 0, separated by commas."""


class InferResponse(msgspec.Struct, omit_defaults=True):
    """An inference answer; the id is the request's."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    parameters: AnswerParameters
    id: str | None = None


class IndexRequest(msgspec.Struct):
    """What `/v2/repository/index` is asked for: all models, or only those that are ready."""

    ready: bool = False


def require_few_values(body: bytes, most: int) -> None:
    """Raise RequestRefused (413) where JSON has more values than any question needs, for to decode them holds all up.

    No value but the first stands in a list or an object without a comma, a bracket or a brace before it.
    """
    if len(body) > _SHORT_BYTES and (found := body.count(b",") + body.count(b"[") + body.count(b"{")) > most:
        raise RequestRefused(413, f"the body has some {found} values, the limit is {most}: send fewer rows at once")

"""What bodies over HTTP hold, as far as the gateway reads or writes it; OpenAPI's schemas are made from these types.

What a `Meta` says here is for that document alone: it is described, not checked. The checks are where a body is read,
with a message that says what was found and expected.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypedDict, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from factory.gateway.models.attributions import MAX_REASONS, Reason
from factory.gateway.models.feature_builders import Field
from factory.gateway.models.served_model import DATATYPE
from factory.gateway.refusal import RequestRefused
from factory.model.signature import INPUT
from factory.release.triton import MAX_BATCH

MAX_CONTEXT = MAX_BATCH
"""So many rows that are not decided may come with a request."""
TEXTS = "BYTES"
"""The datatype of an output that is wanted as classifications."""
_SHORT_BYTES = 64 * 1024
_SAME_VERSION = "while a canary runs, requests of one id are answered by one version"
_FP32 = Meta(extra_json_schema={"minimum": -1e30, "maximum": 1e30})
_ROW_COUNT = {"minItems": 1, "maxItems": MAX_BATCH}


def _parameters(**schemas: Any) -> Meta:
    """Describe the parameters that are done; every other one is refused by its name."""
    return Meta(extra_json_schema={"properties": schemas, "additionalProperties": False})


_WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_REQUEST_PARAMETERS = Annotated[
    dict[str, Any] | None,
    _parameters(
        timeout={**_WHOLE, "description": "microseconds, after which the model is not asked; 0 for none"},
        binary_data_output={**_FLAG, "description": "of outputs that do not say it themselves"},
    ),
]
_INPUT_PARAMETERS = Annotated[dict[str, Any] | None, _parameters(binary_data_size=_WHOLE)]
_OUTPUT_PARAMETERS = Annotated[
    dict[str, Any] | None,
    _parameters(
        binary_data=_FLAG,
        classification={**_WHOLE, "description": "so many of the highest values a row, as `value:index:name`"},
    ),
]
_MANAGE_PARAMETERS = Annotated[dict[str, Any] | None, _parameters(unload_dependents=_FLAG)]

Number = Annotated[float, _FP32]
Flat = list[Number | None]
"""Values row after row, None where unknown."""

Data = TypeVar("Data")
"""What the data of an input are: lists, as deep as they are nested, or whatever there is."""

# The Open Inference Protocol: requests


class InputTensor(msgspec.Struct, Generic[Data]):
    """One input of a request; a binary tensor has its data after the JSON."""

    name: Annotated[str, Meta(extra_json_schema={"const": INPUT})]
    shape: Annotated[
        list[Annotated[int, Meta(extra_json_schema={"minimum": 1})]],
        Meta(description=f"rows (at most {MAX_BATCH}), and what one row of the model is: see its metadata"),
    ]
    datatype: Annotated[str, Meta(extra_json_schema={"const": DATATYPE})]
    data: Annotated[Data, Meta(description="row after row, flat or nested; null where unknown")] | UnsetType = UNSET
    parameters: _INPUT_PARAMETERS = None


class RequestedOutput(msgspec.Struct):
    """One output that the client asks for."""

    name: str
    parameters: _OUTPUT_PARAMETERS = None


class InferRequest(msgspec.Struct, Generic[Data], kw_only=True):
    """An inference request; fields that are not named here are ignored, as the protocol allows."""

    inputs: list[InputTensor[Data]]
    outputs: list[RequestedOutput] | None = None
    id: Annotated[str | None, Meta(description=f"comes back with the answer; {_SAME_VERSION}")] = None
    parameters: _REQUEST_PARAMETERS = None


class FlatInputTensor(InputTensor[Flat]):
    """One input of a request, its data row after row; a binary tensor has its data after the JSON."""


class FlatInferRequest(InferRequest[Flat], kw_only=True):
    """An inference request; fields that are not named here are ignored, as the protocol allows."""

    inputs: Annotated[list[FlatInputTensor], Meta(extra_json_schema={"minItems": 1, "maxItems": 1})]  # type: ignore[assignment]


class IndexRequest(msgspec.Struct):
    """What `/v2/repository/index` is asked for: all models, or only those that are ready."""

    ready: bool = False


class ManageRequest(msgspec.Struct):
    """What a load or unload says beside the model's name."""

    parameters: _MANAGE_PARAMETERS = None


# The Open Inference Protocol: answers


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One output of an answer; its data are numbers here, or bytes after the JSON."""

    name: str
    datatype: Annotated[str, Meta(extra_json_schema={"enum": [DATATYPE, TEXTS]})]
    shape: list[int]
    data: Sequence[float | str | None] | None = None
    parameters: dict[str, int] | None = None


class AnswerParameters(msgspec.Struct, omit_defaults=True):
    """What there is to say beside the numbers: the prediction's name, and rows unlike those of the training."""

    prediction_id: Annotated[str, Meta(description="names this prediction in the records")]
    outside: Annotated[str | None, Meta(description="values that the training never saw")] = None
    abstained: Annotated[
        str | None, Meta(description="numbers of the rows without an answer, from 0, separated by commas")
    ] = None
    unknown: Annotated[
        str, Meta(description="how many features of each row were unknown, row by row, separated by commas")
    ] = ""


class InferResponse(msgspec.Struct, omit_defaults=True):
    """An inference answer; the id is the request's."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    parameters: AnswerParameters
    id: str | None = None


class TensorMetadata(TypedDict):
    """An input or an output of a model; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(TypedDict):
    """What `ServedModel.metadata` tells of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Annotated[
        dict[str, Any], Meta(description="line, site, digest, threshold, features, an example and more")
    ]


class ServerMetadata(msgspec.Struct, frozen=True):
    """What this server is."""

    name: str
    version: str
    extensions: tuple[str, ...]


class Live(msgspec.Struct, frozen=True):
    """Whether the gateway runs."""

    live: bool = True


class Ready(msgspec.Struct, frozen=True):
    """Whether any model answers."""

    ready: bool = True


class ModelReady(msgspec.Struct, frozen=True):
    """Whether a model answers."""

    name: str
    ready: bool = True


# Decisions for business software

Record = Annotated[
    dict[str, Number | bool | None], Meta(description="each feature of the model by its name, null where unknown")
]
Steps = Annotated[list[Record], Meta(description="a sequence, oldest step first")]


class PredictRequest(msgspec.Struct, kw_only=True):
    """What is asked about rows: the business's own, as `records`, or features by name, as `rows`."""

    records: (
        Annotated[
            list[dict[str, Field]],
            Meta(
                description="rows of the line's decision table, as the business has them; a column that is left out "
                "is unknown",
                extra_json_schema=_ROW_COUNT,
            ),
        ]
        | None
    ) = None
    context: Annotated[
        list[dict[str, Field]],
        Meta(
            description="beside `records`: rows of the same table, of any site, that are looked at and not decided, "
            "such as what is announced since the gateway's own rows were brought in",
            extra_json_schema={"maxItems": MAX_CONTEXT},
        ),
    ] = []
    known_until: Annotated[
        str | None,
        Meta(
            description="beside `context`: the moment until which it has all that happened, ISO with an offset; an "
            "announced row from before that is then known to be late"
        ),
    ] = None
    id: Annotated[str | None, Meta(description=_SAME_VERSION)] = None
    reasons: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_REASONS,
            description=f"how many a row; rows times (1 + features) is at most {MAX_BATCH} then",
        ),
    ] = 0


class PredictRows(PredictRequest, kw_only=True):
    """What is asked of a model of single rows: either `records`, the business's own, or `rows`, features by name."""

    rows: Annotated[list[Record], Meta(extra_json_schema=_ROW_COUNT)] | None = None


class PredictSequences(PredictRequest, kw_only=True):
    """What is asked of a model of sequences: either `records`, the business's own, or `rows`, features by name."""

    rows: Annotated[list[Steps], Meta(extra_json_schema=_ROW_COUNT)] | None = None


class PredictedRow(msgspec.Struct, kw_only=True):
    """A decision about one row; no answer, no decision and no value where the row is not answered."""

    answer: Annotated[dict[str, float] | None, Meta(description="the model's numbers by name")] = None
    decision: Annotated[
        bool | str | float | None,
        Meta(description="whether to act; the class, or null for a person; the number to act on"),
    ] = None
    expected_value_eur: Annotated[
        float | None, Meta(description="what the decision is worth on average above the best constant decision")
    ] = None
    outside: bool
    unknown: Annotated[int, Meta(description="how many of its features were unknown")] | UnsetType = UNSET
    refused: Annotated[str, Meta(description="of a record that is not answered: why")] | UnsetType = UNSET
    reasons: (
        Annotated[
            list[Reason] | None,
            Meta(description="if asked for: the features that moved the answer most, strongest first"),
        ]
        | UnsetType
    ) = UNSET


class PredictResponse(msgspec.Struct, kw_only=True):
    """The decisions about a request's rows."""

    line: str
    site: str
    model_version: int
    prediction_id: Annotated[str, Meta(description="names this prediction in the records")]
    rows: list[PredictedRow]
    known_until: (
        Annotated[str | None, Meta(description="of records: the newest row their features know")] | UnsetType
    ) = UNSET
    outside: Annotated[str, Meta(description="values that the training never saw")] | UnsetType = UNSET


def require_few_values(body: bytes, most: int) -> None:
    """Raise RequestRefused (413) where JSON has more values than any question needs, for to decode them holds all up.

    No value but the first stands in a list or an object without a comma, a bracket or a brace before it.
    """
    if len(body) > _SHORT_BYTES and (count := body.count(b",") + body.count(b"[") + body.count(b"{")) > most:
        raise RequestRefused(413, f"the body has some {count} values, the limit is {most}: send fewer rows at once")

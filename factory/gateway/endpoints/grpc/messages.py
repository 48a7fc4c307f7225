"""The messages of the Open Inference Protocol over gRPC, wire-compatible, from one table instead of generated code.

They live in a pool of their own, so that a client library of the same messages may be in the same process.
"""

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
HEALTH = "grpc.health.v1"

_PARAMETERS = "map<InferParameter> parameters"
_TENSOR = "string name = 1; string datatype = 2; repeated int64 shape = 3"
_CONTENTS = f"{_PARAMETERS} = 4; InferTensorContents contents = 5"
_NAMED = "string name = 1; string version = 2"
_LOADED = "string repository_name = 1; string model_name = 2; map<ModelRepositoryParameter> parameters = 3"
_INFER = "string model_name = 1; string model_version = 2; string id = 3; " + _PARAMETERS + " = 4"

MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live = 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready = 1",
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": "bool ready = 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": f"{_NAMED}; repeated string extensions = 3",
    "ModelMetadataRequest": _NAMED,
    "TensorMetadata": _TENSOR,
    "ModelMetadataResponse": "string name = 1; repeated string versions = 2; string platform = 3; "
    "repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5",
    "InferParameter": "bool bool_param = 1; int64 int64_param = 2; string string_param = 3; double double_param = 4; "
    "uint64 uint64_param = 5",
    "ModelRepositoryParameter": "bool bool_param = 1; int64 int64_param = 2; string string_param = 3; "
    "bytes bytes_param = 4",
    "InferTensorContents": "repeated bool bool_contents = 1; repeated int32 int_contents = 2; "
    "repeated int64 int64_contents = 3; repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5; "
    "repeated float fp32_contents = 6; repeated double fp64_contents = 7; repeated bytes bytes_contents = 8",
    "InferInputTensor": f"{_TENSOR}; {_CONTENTS}",
    "InferRequestedOutputTensor": f"string name = 1; {_PARAMETERS} = 2",
    "InferOutputTensor": f"{_TENSOR}; {_CONTENTS}",
    "ModelInferRequest": f"{_INFER}; repeated InferInputTensor inputs = 5; "
    "repeated InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7",
    "ModelInferResponse": f"{_INFER}; repeated InferOutputTensor outputs = 5; repeated bytes raw_output_contents = 6",
    "ModelIndex": f"{_NAMED}; string state = 3; string reason = 4",
    "RepositoryIndexRequest": "string repository_name = 1; bool ready = 2",
    "RepositoryIndexResponse": "repeated ModelIndex models = 1",
    "RepositoryModelLoadRequest": _LOADED,
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": _LOADED,
    "RepositoryModelUnloadResponse": "",
}
"""By message, its fields; on the wire a message is its numbers and kinds, wherever it was declared."""

_FIELD = re.compile(r"(repeated )?(?:map<(\w+)>|(\w+)) (\w+) = (\d+)")
_FieldProto = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for repeated, map_of, kind, field, number in _FIELD.findall(fields):
            if map_of:
                _add_map(message, field, int(number), map_of)
            else:
                label = _FieldProto.LABEL_REPEATED if repeated else _FieldProto.LABEL_OPTIONAL
                message.field.add(name=field, number=int(number), label=label, **_kind(kind))
        if name in ("InferParameter", "ModelRepositoryParameter"):
            message.oneof_decl.add(name="parameter_choice")
            for choice in message.field:
                choice.oneof_index = 0
    return file


def _add_map(message: descriptor_pb2.DescriptorProto, name: str, number: int, value: str) -> None:
    """Add a map from strings, which on the wire is a list of pairs."""
    entry = f"{name.title()}Entry"
    pair = message.nested_type.add(name=entry)
    pair.options.map_entry = True
    pair.field.add(name="key", number=1, label=_FieldProto.LABEL_OPTIONAL, **_kind("string"))
    pair.field.add(name="value", number=2, label=_FieldProto.LABEL_OPTIONAL, **_kind(value))
    pairs = f"{message.name}.{entry}"
    message.field.add(name=name, number=number, label=_FieldProto.LABEL_REPEATED, **_kind(pairs))


def _kind(kind: str) -> dict[str, Any]:
    if kind[0].islower():
        return {"type": getattr(_FieldProto, f"TYPE_{kind.upper()}")}
    return {"type": _FieldProto.TYPE_MESSAGE, "type_name": f".{PACKAGE}.{kind}"}


METHODS = tuple(name.removesuffix("Request") for name in MESSAGES if name.endswith("Request"))
"""The methods of the service; each has a message to ask with and one to answer with, named after it."""


def _pool() -> descriptor_pool.DescriptorPool:
    """Return a pool of its own with the service and the health service, for these messages and for reflection."""
    file, pool = _file(), descriptor_pool.DescriptorPool()
    service = file.service.add(name=SERVICE.removeprefix(f"{PACKAGE}."))
    for name in METHODS:
        types = (f".{PACKAGE}.{name}Request", f".{PACKAGE}.{name}Response")
        service.method.add(name=name, input_type=types[0], output_type=types[1])
    pool.Add(file)
    pool.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    return pool


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


POOL = _pool()
CLASSES: dict[str, Any] = {name: _class(f"{PACKAGE}.{name}") for name in MESSAGES}
"""The message classes by name."""
HealthRequest, HealthResponse = (_class(f"{HEALTH}.HealthCheck{kind}") for kind in ("Request", "Response"))

"""The parameters of the Open Inference Protocol, over HTTP and gRPC alike: each is done, or refused by its name.

In: the parameters of a request, of its input, of an output it names, of a load or unload, as names and plain values.
Out: what the client wants. A parameter that would change nothing (`priority` 0, `sequence_start` false, null) is taken
for one that is not given, as clients send them unasked.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from factory.gateway.refusal import RequestRefused, shown

Parameters = Mapping[str, Any]

_MICROSECONDS = 1e6
_STATELESS = "a model here keeps nothing from one request to the next; send a sequence whole, as one row"
_NO_SHARED_MEMORY = "no memory is shared with clients; data go in the body"
_NO_OVERRIDE = "a model is served as it was released and signed, never with a configuration or files of a request"

_NOT_DONE: dict[str, tuple[tuple[Any, ...], str]] = {
    "sequence_id": ((0, ""), _STATELESS),
    "sequence_start": ((False,), _STATELESS),
    "sequence_end": ((False,), _STATELESS),
    "priority": ((0,), "all requests to a model wait in one queue"),
    "shared_memory_region": ((), _NO_SHARED_MEMORY),
    "shared_memory_offset": ((0,), _NO_SHARED_MEMORY),
    "shared_memory_byte_size": ((), _NO_SHARED_MEMORY),
    "triton_enable_empty_final_response": ((False,), "each request has exactly one answer"),
    "triton_final_response": ((), "each request has exactly one answer"),
    "content_type": ((), "codecs are not applied; send FP32 values"),
    "headers": ((), "send them as headers of HTTP or metadata of gRPC"),
    "config": ((), _NO_OVERRIDE),
}
"""By parameter that is not done here, values that change nothing, and why it is not done."""


class RequestParameters(msgspec.Struct, frozen=True):
    """How a client wants its whole request answered."""

    timeout_s: float | None = None
    """It is not asked of the model later than this."""
    binary: bool | None = None


class OutputParameters(msgspec.Struct, frozen=True):
    """How a client wants one output."""

    binary: bool | None = None
    classification: int = 0
    """So many of the highest values a row, as texts; 0 for all values as numbers."""


NO_REQUEST_PARAMETERS, NO_OUTPUT_PARAMETERS = RequestParameters(), OutputParameters()


def request_parameters(parameters: Parameters | None) -> RequestParameters:
    """Return what a request's parameters want; raises RequestRefused (400) with the name of one that is not done."""
    if not parameters:
        return NO_REQUEST_PARAMETERS
    said = _given(parameters, "the request", "timeout", "binary_data_output")
    microseconds = _whole("timeout", said.get("timeout"), 0)
    return RequestParameters(
        timeout_s=microseconds / _MICROSECONDS if microseconds else None,
        binary=_yes_or_no("binary_data_output", said.get("binary_data_output")),
    )


def input_parameters(parameters: Parameters | None) -> int | None:
    """Return how many bytes the input says to have, None if it does not; raises as `request_parameters` does."""
    if not parameters:
        return None
    said = _given(parameters, "an input", "binary_data_size")
    return _whole("binary_data_size", said.get("binary_data_size"), 0)


def output_parameters(parameters: Parameters | None) -> OutputParameters:
    """Return how an output is wanted; raises as `request_parameters` does."""
    if not parameters:
        return NO_OUTPUT_PARAMETERS
    said = _given(parameters, "an output", "binary_data", "classification")
    return OutputParameters(
        binary=_yes_or_no("binary_data", said.get("binary_data")),
        classification=_whole("classification", said.get("classification"), 0) or 0,
    )


def require_load_parameters(parameters: Parameters | None, *, unloading: bool) -> None:
    """Raise as `request_parameters` does; no model depends on another, so unloading those that do is done."""
    known = ("unload_dependents",) if unloading else ()
    said = _given(parameters or {}, "an unload" if unloading else "a load", *known)
    _yes_or_no("unload_dependents", said.get("unload_dependents"))


def _given(parameters: Parameters, where: str, *done: str) -> dict[str, Any]:
    """Return the parameters that are done and say something; raises RequestRefused (400) for any other."""
    said: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in done:
            if value is not None:
                said[name] = value
            continue
        neutral, why = _NOT_DONE.get(name, ((), ""))
        if name.startswith("file:"):
            why = _NO_OVERRIDE
        if why and (value is None or any(value == one and type(value) is type(one) for one in neutral)):
            continue
        known = f"known of {where}: {', '.join(done) or 'none'}"
        raise RequestRefused(400, f"parameter {shown(name)} of {where} is not done here: {why or known}")
    return said


def _whole(name: str, value: Any, least: int) -> int | None:
    if value is None or (type(value) is int and least <= value < 2**63):
        return value
    raise RequestRefused(400, f"parameter {name!r} is {shown(str(value))}; expected a whole number from {least}")


def _yes_or_no(name: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise RequestRefused(400, f"parameter {name!r} is {shown(str(value))}; expected true or false")

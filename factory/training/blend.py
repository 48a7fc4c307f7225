"""A blend: several models' answers to the same row, averaged by weights that add up to 1 (a linear opinion pool).

An average of probabilities is a probability, and one of intervals around estimates is an interval around their average.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from factory.errors import ModelRefused
from factory.model.signature import INPUT, Signature
from factory.tasks.plain import Rows

Weights = Mapping[str, float]
"""Each member's share, those of no share left out; they add up to 1."""
_TENTHS = 10
"""Weights are tenths: what a validation window can tell apart, and people can read."""


def mixtures(members: Sequence[str]) -> list[Weights]:
    """Return every way to share 1 out in tenths among the members, the members alone among them."""
    shares = _shared_out(_TENTHS, len(members))
    return [{name: share / _TENTHS for name, share in zip(members, some, strict=True) if share} for some in shares]


def blended(answers: Mapping[str, Rows], weights: Weights) -> Rows:
    """Return the weighted average of members' answers, float32 `[rows, answers]`."""
    average: Rows = np.sum(
        [np.float32(weight) * answers[name] for name, weight in weights.items()], axis=0, dtype=np.float32
    )
    return average


def blend_onnx(members: Sequence[tuple[bytes, float]], signature: Signature) -> bytes:
    """Return one graph of several models' files and their weights; one model is its own file, byte for byte.

    Raises ModelRefused where they do not fit together.
    """
    if len(members) == 1:
        return members[0][0]
    models = [onnx.load_model_from_string(content) for content, _ in members]
    graph = onnx.GraphProto(name="blend", input=models[0].graph.input)
    weighted = []
    for number, (model, (_, weight)) in enumerate(zip(models, members, strict=True)):
        if model.functions:
            raise ModelRefused("a graph with functions of its own cannot be part of a blend")
        prefix = f"m{number}_"
        _add(graph, model.graph, prefix)
        share = numpy_helper.from_array(np.float32(weight), f"{prefix}weight")
        graph.initializer.append(share)
        weighted.append(f"{prefix}weighted")
        graph.node.append(helper.make_node("Mul", [prefix + signature.output, share.name], weighted[-1:]))
    graph.node.append(helper.make_node("Sum", weighted, [signature.output]))
    graph.output.append(
        helper.make_tensor_value_info(signature.output, TensorProto.FLOAT, ["batch", len(signature.answers)])
    )
    blend = helper.make_model(
        graph,
        opset_imports=_opsets(models),
        ir_version=max(model.ir_version for model in models),
        producer_name="ai-factory",
    )
    onnx.checker.check_model(blend)
    return bytes(blend.SerializeToString(deterministic=True))


def _add(graph: onnx.GraphProto, part: onnx.GraphProto, prefix: str) -> None:
    """Add a part's nodes and constants under names of its own; its input is the whole's."""

    def named(name: str) -> str:
        return name if name in ("", INPUT) else prefix + name

    for node in part.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelRefused(f"node {node.name} of a graph holds another graph, which cannot be part of a blend")
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.name = prefix + node.name
        copy.input[:] = [named(name) for name in node.input]
        copy.output[:] = [named(name) for name in node.output]
    for constant in part.initializer:
        place = graph.initializer.add()
        place.CopyFrom(constant)
        place.name = named(constant.name)


def _opsets(models: Sequence[onnx.ModelProto]) -> list[onnx.OperatorSetIdProto]:
    """Return the newest version of each set of operators; those of plain models mean the same in every later one."""
    newest: dict[str, int] = {}
    for model in models:
        for opset in model.opset_import:
            newest[opset.domain] = max(newest.get(opset.domain, 0), opset.version)
    return [helper.make_opsetid(domain, version) for domain, version in newest.items()]


def _shared_out(whole: int, places: int) -> Iterator[tuple[int, ...]]:
    if places == 1:
        yield (whole,)
        return
    for first in range(whole, -1, -1):
        for rest in _shared_out(whole - first, places - 1):
            yield (first, *rest)

"""A plain model as ONNX: `features` in, the task's answers out, as of a network (factory/training/onnx_export.py)."""

import warnings
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from factory.errors import ModelRefused
from factory.model.signature import INPUT, Signature
from factory.tasks.plain import Readout
from factory.training.plain import PlainModel, Prepared

OPSET = 18
_TREES_OPSET = 3
_IR_VERSION = 10
_RAW = "raw"


def plain_onnx(model: PlainModel, signature: Signature) -> bytes:
    """Return a plain model's file; equal models give equal bytes. Raises ModelRefused where it cannot be one."""
    if signature.steps is not None:
        raise ModelRefused("a plain model of sequences cannot be exported")
    graph = _Graph()
    if model.prepared:
        graph.linear(model.estimator, model.prepared)
    else:
        graph.trees(model.estimator, len(signature.features))
    graph.read_out(model.readout, signature.output)
    return graph.finished(signature)


class _Graph:
    """A graph under way: nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n{len(self.nodes)}", **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def linear(self, estimator: Any, prepared: Prepared) -> None:
        """Add what `Prepared.of` does, and the model's own sums."""
        unknown = self.add("IsNaN", [INPUT], "unknown")
        filled = self.add("Where", [unknown, self.constant("fill", prepared.fill), INPUT], "filled")
        above = self.add("Max", [filled, self.constant("low", prepared.low)], "above")
        cut = self.add("Min", [above, self.constant("high", prepared.high)], "cut")
        centered = self.add("Sub", [cut, self.constant("center", prepared.center)], "centered")
        rows = self.add("Mul", [centered, self.constant("scale", prepared.scale)], "scaled")
        if prepared.flagged.size:
            flags = self.add("Cast", [unknown], "flags", to=TensorProto.FLOAT)
            some = self.add("Gather", [flags, self.constant("flagged", prepared.flagged)], "some_flags", axis=1)
            rows = self.add("Concat", [rows, some], "row", axis=1)
        weights, bias = _weights(estimator)
        product = self.add("MatMul", [rows, self.constant("weights", weights)], "product")
        if hasattr(estimator, "classes_"):
            self.add("Softmax", [self.add("Add", [product, self.constant("bias", bias)], "logits")], _RAW, axis=1)
        else:
            self.add("Add", [product, self.constant("bias", bias)], _RAW)

    def trees(self, estimator: Any, features: int) -> None:
        """Add the trees, as skl2onnx writes them."""
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        with warnings.catch_warnings():
            # It writes numpy's truth values as whole numbers, which numpy deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            model = convert_sklearn(
                estimator,
                initial_types=[(INPUT, FloatTensorType([None, features]))],
                target_opset={"": OPSET, "ai.onnx.ml": _TREES_OPSET},
                options={id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None,
            )
        (node,) = model.graph.node
        # Of a classifier the first output is the likeliest class, the second the probabilities.
        node.output[-1], node.name = _RAW, "trees"
        self.nodes.append(node)
        self.constants.extend(model.graph.initializer)

    def read_out(self, readout: Readout, output: str) -> None:
        """Add what `Readout.answers` does."""
        product = self.add("MatMul", [_RAW, self.constant("matrix", readout.matrix)], "read")
        last = self.add("Add", [product, self.constant("offset", readout.offset)], "answers")
        if readout.bounded:
            limits = {"minimum": readout.minimum, "maximum": readout.maximum}
            names = ["" if limit is None else self.constant(name, np.float32(limit)) for name, limit in limits.items()]
            last = self.add("Clip", [last, *names], "cut_answers")
        self.add("Identity", [last], output)

    def finished(self, signature: Signature) -> bytes:
        """Return the file's bytes."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
            for name, size in ((INPUT, len(signature.features)), (signature.output, len(signature.answers)))
        ]
        graph = helper.make_graph(self.nodes, "plain", ends[:1], ends[1:], self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _TREES_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="ai-factory")
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def _weights(estimator: Any) -> tuple[Any, Any]:
    """Return a linear model's weights and bias, float32; with two classes, those of the second against the first."""
    weights, bias = np.atleast_2d(estimator.coef_).T, np.atleast_1d(estimator.intercept_)
    if hasattr(estimator, "classes_") and weights.shape[1] == 1:
        weights, bias = np.hstack([0 * weights, weights]), np.hstack([0 * bias, bias])
    return weights.astype(np.float32), bias.astype(np.float32)

"""A plain model as ONNX: `features` in, the task's answers out, as of a network (factory/training/onnx_export.py).

Each method of the graph writes what one function of a plain model or of factory/training/plain_features.py computes,
operation by operation, so that the file gives the trees the very numbers that they were fitted on.
"""

import warnings
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from factory.model.signature import INPUT, Signature
from factory.tasks.plain import Readout
from factory.training.conditions import FAR, Conditions
from factory.training.plain import PlainModel
from factory.training.plain_features import Prepared, halves

OPSET = 18
_TREES_OPSET = 3
_IR_VERSION = 10


def plain_onnx(model: PlainModel, signature: Signature) -> bytes:
    """Return a plain model's file; equal models give equal bytes."""
    graph = _Graph()
    table = INPUT if signature.steps is None else graph.tabular(signature.steps, model.conditions)
    columns = len(signature.features) * (1 if signature.steps is None else 3)
    raw = (
        graph.linear(table, model.prepared, model.estimator)
        if model.prepared
        else graph.trees(table, columns, model.estimator)
    )
    graph.read_out(raw, model.readout, signature.output)
    return graph.finished(signature)


class _Graph:
    """A graph under way: nodes and constants. A method that adds to it returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: "str | np.generic | NDArray[Any] | None", **attributes: Any) -> str:
        """Add a node; an input is the name of a value, a constant, or None where an optional one is left out."""
        names = [one if isinstance(one, str) else "" if one is None else self._constant(one) for one in inputs]
        name, output = f"n{len(self.nodes)}", f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], name=name, **attributes))
        return output

    def _constant(self, value: "np.generic | NDArray[Any]") -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def cast(self, value: str, kind: int) -> str:
        return self.add("Cast", value, to=kind)

    def tabular(self, steps: int, conditions: Conditions | None) -> str:
        """Add what `tabular` makes of sequences of so many steps."""
        unknown = self.add("IsNaN", INPUT)
        value = self.add("Clip", self.add("Where", unknown, np.float32(0), INPUT), -FAR, FAR)
        if conditions is not None:
            value = self.add("Where", unknown, np.float32(0), self.measured(value, unknown, conditions))
        last, is_gap = (self.add("Gather", moments, np.int64(steps - 1), axis=1) for moments in (value, unknown))
        exact, known = (self.cast(moments, TensorProto.DOUBLE) for moments in (value, self.add("Not", unknown)))
        mean = self.mean(exact, known, slice(0, steps))
        first, second = (self.mean(exact, known, half) for half in halves(steps))
        columns = [self.cast(column, TensorProto.FLOAT) for column in (mean, self.add("Sub", second, first))]
        return self.add("Concat", self.add("Where", is_gap, np.float32("nan"), last), *columns, axis=1)

    def measured(self, value: str, unknown: str, conditions: Conditions) -> str:
        """Add what `Conditions.measured` makes of moments, of which unknown ones are 0."""
        mean, scale = conditions.mean, conditions.scale
        if not (settings := conditions.settings).size:
            return self.add("Mul", self.add("Sub", value, mean[0]), scale[0])
        own, gap = (self.add("Gather", moments, settings, axis=2) for moments in (value, unknown))
        own = self.add("Sub", own, conditions.setting_mean[settings])
        own = self.add("Mul", own, conditions.setting_scale[settings])
        own = self.cast(self.add("Where", gap, np.float32(0), own), TensorProto.DOUBLE)
        centre = conditions.centre[:, settings].T.astype(np.float64)
        known = self.cast(self.add("Not", gap), TensorProto.DOUBLE)
        distance = self.add("Sub", self.add("MatMul", known, np.square(centre)), self.add("MatMul", own, 2.0 * centre))
        condition = self.add("ArgMin", distance, axis=2, keepdims=0)
        own_mean, own_scale = (self.add("Gather", of_condition, condition, axis=0) for of_condition in (mean, scale))
        return self.add("Mul", self.add("Sub", value, own_mean), own_scale)

    def mean(self, value: str, known: str, part: slice) -> str:
        """Add the mean over what is known of some moments, of which unknown ones are 0."""
        sums = []
        for moments in (value, known):
            some = self.add("Slice", moments, *(np.array([place]) for place in (part.start, part.stop, 1)))
            sums.append(self.add("ReduceSum", some, np.array([1]), keepdims=0))
        return self.add("Div", *sums)

    def linear(self, table: str, prepared: Prepared, estimator: Any) -> str:
        """Add what `Prepared.of` does, and the model's own sums."""
        unknown = self.add("IsNaN", table)
        filled = self.add("Where", unknown, prepared.fill, table)
        cut = self.add("Min", self.add("Max", filled, prepared.low), prepared.high)
        rows = self.add("Mul", self.add("Sub", cut, prepared.center), prepared.scale)
        flags = [self.add("Gather", unknown, prepared.flagged, axis=1)] if prepared.flagged.size else []
        if prepared.category.size:
            flags.append(self.add("Equal", self.add("Gather", table, prepared.category, axis=1), prepared.code))
        if flags:
            rows = self.add("Concat", rows, *(self.cast(some, TensorProto.FLOAT) for some in flags), axis=1)
        weights, bias = _weights(estimator)
        sums = self.add("Add", self.add("MatMul", rows, weights), bias)
        return self.add("Softmax", sums, axis=1) if hasattr(estimator, "classes_") else sums

    def trees(self, table: str, columns: int, estimator: Any) -> str:
        """Add the trees, as skl2onnx writes them."""
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        with warnings.catch_warnings():
            # It writes numpy's truth values as whole numbers, which numpy deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            model = convert_sklearn(
                estimator,
                initial_types=[(table, FloatTensorType([None, columns]))],
                target_opset={"": OPSET, "ai.onnx.ml": _TREES_OPSET},
                options={id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None,
            )
        (node,) = model.graph.node
        # Of a classifier the first output is the likeliest class, the second the probabilities.
        node.output[-1], node.name = "raw", "trees"
        self.nodes.append(node)
        self.constants.extend(model.graph.initializer)
        return "raw"

    def read_out(self, raw: str, readout: Readout, output: str) -> None:
        """Add what `Readout.answers` does, as the graph's output."""
        last = self.add("Add", self.add("MatMul", raw, readout.matrix), readout.offset)
        if readout.bounded:
            limits = (readout.minimum, readout.maximum)
            last = self.add("Clip", last, *(None if limit is None else np.float32(limit) for limit in limits))
        self.nodes.append(helper.make_node("Identity", [last], [output], name="answers"))

    def finished(self, signature: Signature) -> bytes:
        """Return the file's bytes."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            for name, shape in ((INPUT, signature.input_shape), (signature.output, (len(signature.answers),)))
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

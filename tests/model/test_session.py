"""The one way to run a model's file: what it refuses, and that everybody is answered alike."""

import ast
from pathlib import Path

import numpy as np
import onnx
import pytest

import factory.model.session as session_module
from factory.errors import ModelRefused
from factory.model.session import Latencies, OnnxSession, graph_digest, onnx_answer
from factory.model.signature import INPUT, Signature
from tests.gateway.builders import onnx_model

ROOT = Path(__file__).resolve().parents[2]
SIGNATURE = Signature(task="binary", features=("a", "b", "c"), output="probability", answers=("probability",))


def test_nobody_else_in_the_library_opens_a_session():
    opening = [
        path.relative_to(ROOT)
        for path in (ROOT / "factory").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "InferenceSession"
    ]
    # A registered model is loaded by MLflow where this library is not: its file opens its own.
    assert set(opening) == {Path("factory/model/session.py"), Path("factory/registry/frame_model.py")}


def test_rows_are_answered_alike_one_by_one_in_parts_and_in_one_call():
    content, rows = onnx_model(), np.random.default_rng(0).normal(size=(700, 3)).astype(np.float32)
    session = OnnxSession(content).require(SIGNATURE)
    whole = session.call()(rows)
    assert np.array_equal(onnx_answer(content, rows), whole)
    assert np.allclose(np.concatenate([session.call()(row[None]) for row in rows[:20]]), whole[:20], atol=1e-6)
    assert len(session.answer(rows[:0])) == 0


def test_what_is_no_model_or_another_than_is_said_is_refused():
    with pytest.raises(ModelRefused, match="cannot run it"):
        OnnxSession(b"no model")
    other = Signature(task="binary", features=("a", "b"), output="probability", answers=("probability",))
    with pytest.raises(ModelRefused, match=r"expected 'features' of floats, \[any, 2\]"):
        OnnxSession(onnx_model()).require(other)
    with pytest.raises(ModelRefused, match=r"whose libraries or device are missing|cannot run it"):
        OnnxSession(onnx_model(), ("CUDAExecutionProvider", "CPUExecutionProvider"))


TABLE_ROWS = 100_000


def looked_up(location):
    """A model whose table lies outside it, too large and too much used for an optimizer to fold it away."""
    table = onnx.TensorProto(name="table", data_type=onnx.TensorProto.FLOAT, dims=[TABLE_ROWS, 1])
    table.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(4 * TABLE_ROWS))):
        table.external_data.add(key=key, value=value)
    nodes = [
        onnx.helper.make_node("Cast", [INPUT], ["places"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("Gather", ["table", "places"], ["seen"]),
        onnx.helper.make_node("ReduceSum", ["seen"], ["p"], keepdims=0),
    ]
    takes = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, ["batch", 3])
    gives = onnx.helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "g", [takes], [gives], [table])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "../weights.bin", "below/../weights.bin", "{}"])
def test_weights_outside_the_file_are_never_read(tmp_path, monkeypatch, location):
    """A graph may name a file for its weights: whatever lies in the working directory or above it is left alone."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "here"):
        (folder / "weights.bin").write_bytes(b"\0" * 4 * TABLE_ROWS)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ModelRefused, match="cannot run it"):
        OnnxSession(looked_up(location.format(tmp_path / "weights.bin")))


def test_an_example_that_is_answered_with_no_number_is_refused():
    session = OnnxSession(onnx_model(bias=float("nan")))
    with pytest.raises(ModelRefused, match="its own example gives"):
        session.try_example((1.0, 2.0, 3.0), SIGNATURE)


def test_one_graph_is_timed_once_whatever_its_weights_and_another_one_anew(monkeypatch):
    timed = []
    measure = OnnxSession.latency_ms
    monkeypatch.setattr(
        session_module.OnnxSession, "latency_ms", lambda self, signature: timed.append(1) or measure(self, signature)
    )
    latencies = Latencies()
    found = {latencies.of(onnx_model(bias=float(site)), SIGNATURE) for site in range(16)}
    assert len(found) == len(timed) == 1
    model = onnx.load_model_from_string(onnx_model())
    model.graph.node.append(onnx.helper.make_node("Identity", [INPUT], ["unused"]))
    latencies.of(model.SerializeToString(), SIGNATURE)
    assert len(timed) == 2


def test_a_graph_s_digest_knows_shapes_and_nodes_and_no_weight():
    assert graph_digest(onnx_model(bias=1.0)) == graph_digest(onnx_model(bias=2.0))
    model = onnx.load_model_from_string(onnx_model())
    (weights, *_) = model.graph.initializer
    weights.dims[0] += 1
    assert graph_digest(model.SerializeToString()) != graph_digest(onnx_model())

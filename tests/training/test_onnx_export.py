import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from factory.errors import ModelRefused
from factory.model.reference_answers import ReferenceAnswers
from factory.model.session import OnnxSession, onnx_answer
from factory.model.signature import Signature
from factory.training.onnx_export import export_onnx
from factory.training.predict import answers
from factory.training.weights import from_bytes, to_bytes
from tests.training.builders import SMALL, TASK, probability, rows

COLUMNS = ("a", "b", "c", "d")
SIGNATURE = Signature(task=TASK.kind, features=COLUMNS, output=TASK.output, answers=TASK.answers)


@pytest.fixture(scope="module")
def models(base):
    other = {
        name: tensor * 1.1 if tensor.requires_grad or "weight" in name else tensor
        for name, tensor in base.weights.items()
    }
    return {"A": base.weights, "B": {**other, "head.scale": torch.tensor(0.5), "head.shift": torch.tensor(-1.0)}}


@pytest.fixture(scope="module")
def exported(models):
    return export_onnx(models, SMALL, TASK, SIGNATURE)


def awkward_rows():
    """NaN, infinities, values far outside training, and ordinary ones."""
    features = rows(count=400, seed=77).features.copy()
    features[:4] = [[np.nan] * 4, [np.inf] * 4, [-np.inf] * 4, [1e30, -1e30, 0, np.nan]]
    return features


def parity_error(content, weights):
    features = awkward_rows()
    return ReferenceAnswers(rows=features, answers=answers(weights, SMALL, TASK, features)).parity_error(content)


def test_onnx_and_torch_agree_for_every_site_on_awkward_rows(exported, models):
    for site, content in exported.items():
        assert parity_error(content, models[site]) < 1e-6
        assert np.isfinite(onnx_answer(content, awkward_rows())).all()


def test_each_site_gets_its_own_weights(exported):
    assert np.abs(onnx_answer(exported["A"], awkward_rows()) - onnx_answer(exported["B"], awkward_rows())).max() > 0.05


def test_weights_in_another_order_are_put_into_the_same_graph_which_is_exported_once(exported, models, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("exported a second time"))
    turned_round = {site: dict(reversed(weights.items())) for site, weights in models.items()}
    assert export_onnx(turned_round, SMALL, TASK, SIGNATURE) == exported


def test_parity_error_sees_other_weights(exported, models):
    assert parity_error(exported["A"], models["B"]) > 0.05


@pytest.mark.parametrize("count", [1, 2, 7, 400])
def test_a_row_has_the_same_answer_in_a_batch_of_any_size(exported, count):
    everything = onnx_answer(exported["A"], awkward_rows())
    np.testing.assert_allclose(onnx_answer(exported["A"], awkward_rows()[:count]), everything[:count], atol=1e-6)


def test_the_signature_is_one_tensor_in_and_one_out(exported):
    graph = onnx.load_from_string(exported["A"]).graph
    (features,), (answer,) = graph.input, graph.output
    assert (features.name, features.type.tensor_type.elem_type) == ("features", onnx.TensorProto.FLOAT)
    assert (answer.name, answer.type.tensor_type.elem_type) == ("probability", onnx.TensorProto.FLOAT)
    assert [dim.dim_value or dim.dim_param for dim in features.type.tensor_type.shape.dim] == ["batch", len(COLUMNS)]
    assert [dim.dim_value or dim.dim_param for dim in answer.type.tensor_type.shape.dim] == ["batch", 1]


def test_exporting_twice_and_in_any_company_gives_the_same_bytes(exported, models):
    assert export_onnx({"B": models["B"]}, SMALL, TASK, SIGNATURE)["B"] == exported["B"]


def test_the_bytes_name_no_file_of_the_machine(exported):
    assert b".py" not in exported["A"]
    assert b"torch" not in exported["A"]


def test_a_busy_machine_does_not_make_a_model_slow(exported):
    quiet = OnnxSession(exported["A"]).latency_ms(SIGNATURE)
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        assert OnnxSession(exported["A"]).latency_ms(SIGNATURE) < 5 * quiet + 1
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_one_row_takes_less_than_a_few_milliseconds(exported):
    assert 0 < OnnxSession(exported["A"]).latency_ms(SIGNATURE) < 50


def test_weights_of_another_shape_are_refused(models):
    cut = {**models["B"], "members.head_bias": models["B"]["members.head_bias"][:1]}
    with pytest.raises(ModelRefused, match=r"'B'.*members.head_bias"):
        export_onnx({"A": models["A"], "B": cut}, SMALL, TASK, SIGNATURE)


def test_weights_survive_safetensors_and_give_equal_bytes(base):
    content = to_bytes(base.weights)
    assert to_bytes(from_bytes(content)) == content
    features = awkward_rows()
    np.testing.assert_array_equal(
        probability(from_bytes(content), SMALL, features), probability(base.weights, SMALL, features)
    )


def test_bytes_that_are_no_safetensors_file_are_refused():
    with pytest.raises(ModelRefused, match="not a safetensors file"):
        from_bytes(b"\x80\x04pickle")

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.model.reference_answers import ReferenceAnswers
from factory.model.session import OnnxSession, graph_digest, onnx_answer
from factory.model.signature import Signature
from factory.training.blend import blend_onnx, blended, mixtures
from factory.training.onnx_export import export_onnx
from factory.training.plain import fit_plain
from factory.training.plain_export import plain_onnx
from tests.training.builders import SMALL, TASK, rows

SIGNATURE = Signature(task=TASK.kind, features=("a", "b", "c", "d"), output=TASK.output, answers=TASK.answers)


@pytest.fixture(scope="module")
def files(base, train):
    """One graph of each rung."""
    plain = {
        rung: plain_onnx(fit_plain(rung, train, rows(count=300, seed=8), SMALL, TASK).model, SIGNATURE)
        for rung in ("linear", "trees")
    }
    return {"network": export_onnx({"A": base.weights}, SMALL, TASK, SIGNATURE)["A"], **plain}


@settings(max_examples=12, deadline=None)
@given(weights=st.sampled_from(mixtures(["network", "trees", "linear"])))
def test_one_graph_answers_the_weighted_average_of_its_members_on_any_rows(files, weights):
    features = rows(count=60, seed=3).features.copy()
    features[:2] = [[np.nan] * 4, [np.inf, -np.inf, 1e30, 0]]
    content = blend_onnx([(files[name], share) for name, share in weights.items()], SIGNATURE)
    OnnxSession(content).require(SIGNATURE)
    expected = blended({name: onnx_answer(files[name], features) for name in weights}, weights)
    assert ReferenceAnswers(rows=features, answers=expected).parity_error(content) < 1e-6


def test_one_member_is_its_own_file(files):
    assert blend_onnx([(files["trees"], 1.0)], SIGNATURE) == files["trees"]


def test_blends_of_the_same_members_are_one_graph_with_other_numbers(files):
    some, others = (
        blend_onnx([(files["network"], share), (files["trees"], 1 - share)], SIGNATURE) for share in (0.3, 0.6)
    )
    assert some != others
    assert graph_digest(some) == graph_digest(others)
    assert blend_onnx([(files["network"], 0.3), (files["trees"], 0.7)], SIGNATURE) == some


def test_a_blend_names_no_file_and_no_library(files):
    content = blend_onnx([(files["network"], 0.5), (files["trees"], 0.5)], SIGNATURE)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    assert b".py" not in content
    assert b"torch" not in content


def test_the_mixtures_are_all_ways_to_share_out_tenths():
    tried = mixtures(["a", "b", "c"])
    assert len(tried) == 66
    assert all(abs(sum(weights.values()) - 1) < 1e-9 for weights in tried)
    assert {"a": 1.0} in tried

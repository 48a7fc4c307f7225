"""The registry against a real MLflow on SQLite: registering is not promoting, and nothing is promoted unproven."""

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from onnx import TensorProto, helper
from safetensors.numpy import load, save

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.candidate import (
    MODEL_FILE,
    REFERENCE_FILE,
    RUNGS_FILE,
    WEIGHTS_FILE,
    Candidate,
    PlainRung,
    rung_file,
)
from factory.model.reference_answers import ReferenceAnswers, tensors_of
from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of
from factory.names import LINE_SITE
from factory.release.history import Event, History
from factory.release.signing import signing_key
from tests.toy.line import registry_at

EXAMPLE = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]], np.float32)
SIGNATURE = Signature(task="binary", features=("hops", "malt", "hour"), output="probability", answers=("probability",))


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("a registry, 100% local #1 ")


@pytest.fixture(scope="session")
def registry(home):
    """One database for all tests, since making it takes seconds; each test has a site of its own."""
    return registry_at(home)


@pytest.fixture(scope="session")
def client(registry):
    return registry.connection.runs


@pytest.fixture
def site(request):
    return request.node.name.replace("[", "_").replace("]", "")[:60]


def graph(weight):
    """Return a tiny graph with the factory's signature: probability = sigmoid(features · weight)."""
    tensor = helper.make_tensor("weight", TensorProto.FLOAT, [3, 1], [weight] * 3)
    nodes = [
        helper.make_node("MatMul", ["features", "weight"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    ends = [
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1]),
    ]
    body = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], [tensor])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    # An unknown field, as a newer exporter may write: parsed and written again the bytes would not stay in this order.
    return b"\xfa\x3f\x05later" + model.SerializeToString()


def candidate(site, weight=1.0, **changes):
    file = graph(weight)
    facts = {
        "line": "brewing",
        "site": site,
        "onnx": file,
        "reference": ReferenceAnswers(rows=EXAMPLE, answers=np.full((2, 1), 0.5, np.float32)),
        "threshold": 0.4,
        "safetensors": save({"weight": np.full(3, weight, np.float32)}),
        "digest": digest_of(file),
        "signature": SIGNATURE,
        "example": EXAMPLE,
        "ranges": {"hops": (1.0, 4.0)},
        "typical": {"hops": 2.0},
        "params": {"width": 128, "seed": 7},
        "metrics": {"validation_average_precision": 0.6},
        "epochs": [{"loss": 0.7}, {"loss": 0.5}, {"loss": float("nan")}],
        "provenance": {"delta.features": "12", "git_commit": "abc", "until": "2013-05-01"},
        "fine_tuned": True,
        "why": "4000 rows, validation loss fell",
    }
    return Candidate(**{**facts, **changes})


def verdict(candidate, passed=True, **changes):
    facts = {
        "line": candidate.line,
        "site": candidate.site,
        "digest": candidate.digest,
        "passed": passed,
        "reasons": () if passed else ("scored on 32 rows, needs 500",),
        "figures": {"average_precision": 0.61, "champion_average_precision": None, "fine_tuned": True, "rows": 900},
    }
    return Verdict(**{**facts, **changes})


def promoted(registry, made, by="lena"):
    kept = registry.register(made)
    registry.promote(kept.model, kept.version, verdict(made), by=by)
    return kept


def folder_of(client, kept):
    return Path(client.get_model_version(kept.model, str(kept.version)).source)


def alias(client, model, name):
    return client.get_registered_model(model).aliases.get(name)


def test_a_candidate_is_challenger_once_its_verdict_passed_and_not_before_and_never_champion(registry, client, site):
    kept = registry.register(candidate(site))
    assert (kept.model, kept.version) == (f"brewing.{site}", 1)
    assert alias(client, kept.model, "challenger") is None
    registry.record_verdict(kept.model, kept.version, verdict(candidate(site)))
    assert int(alias(client, kept.model, "challenger")) == 1
    assert registry.champion(kept.model) is None


def test_a_refused_candidate_is_no_challenger_and_one_judged_again_and_refused_is_one_no_longer(registry, client, site):
    first, second = candidate(site), candidate(site, weight=2.0)
    kept = registry.register(first)
    registry.record_verdict(kept.model, 1, verdict(first))
    registry.register(second)
    registry.record_verdict(kept.model, 2, verdict(second, passed=False))
    assert int(alias(client, kept.model, "challenger")) == 1
    registry.record_verdict(kept.model, 1, verdict(first, passed=False))
    assert alias(client, kept.model, "challenger") is None


def test_the_registered_bytes_are_the_judged_bytes(registry, site):
    made = candidate(site)
    rewritten = onnx.load_model_from_string(made.onnx).SerializeToString()
    assert rewritten != made.onnx  # so that a registry which writes the graph anew would be found out
    kept = registry.register(made)
    assert registry.onnx(kept.model, kept.version) == made.onnx
    assert registry.file(kept.model, kept.version, WEIGHTS_FILE) == made.safetensors
    assert load(registry.file(kept.model, kept.version, WEIGHTS_FILE))["weight"].tolist() == [1.0, 1.0, 1.0]


def test_mlflow_can_load_and_run_what_was_registered(registry, client, site):
    import mlflow.pyfunc

    kept = registry.register(candidate(site))
    model = mlflow.pyfunc.load_model(str(folder_of(client, kept)))
    rows = pd.DataFrame({"hour": [6, -2], "malt": [-2.0, 1.0], "hops": [-4.0, 1.0], "beside": ["a", "b"]}, index=[7, 9])
    answer = model.predict(rows)
    assert list(answer.columns) == ["probability"]
    assert answer.index.tolist() == [7, 9]
    assert answer["probability"].tolist() == [0.5, 0.5]
    assert model.metadata.signature.inputs.input_names() == ["hops", "malt", "hour"]
    assert model.metadata.signature.outputs.input_names() == ["probability"]
    np.testing.assert_array_equal(model.input_example.to_numpy(np.float32), candidate(site).example)
    with pytest.raises(MlflowException, match="missing inputs \\['hops'\\]"):
        model.predict(rows.rename(columns={"hops": "hopps"}))
    with pytest.raises(ValueError, match="columns malt hold something that is no number"):
        model.predict(rows.assign(malt=["pale", "dark"]))
    signature = json.loads(json.dumps(dataclasses.asdict(SIGNATURE)))
    assert model.metadata.metadata == {**signature, "digest": kept_digest(client, kept)}


def kept_digest(client, kept):
    return client.get_model_version(kept.model, str(kept.version)).tags["digest"]


def test_no_pickle_is_among_the_files(registry, client, home, site):
    kept = registry.register(candidate(site))
    registry.record_verdict(kept.model, kept.version, verdict(candidate(site)))
    files = [file for file in (home / "artifacts").rglob("*") if file.is_file()]
    assert {file.name for file in folder_of(client, kept).iterdir()} >= {"model.onnx", "weights.safetensors", "MLmodel"}
    for file in files:
        assert file.suffix in {".onnx", ".safetensors", ".json", ".yaml", ".txt", ".lock", ".py", ""}, file
        assert not file.read_bytes().startswith((b"\x80\x04", b"\x80\x05", b"PK")), file


def test_the_record_says_how_the_model_came_to_be(registry, client, site):
    kept = registry.register(candidate(site))
    run, version = client.get_run(kept.run_id), client.get_model_version(kept.model, str(kept.version))
    assert run.data.params == {
        "width": "128",
        "seed": "7",
        "fine_tuned": "True",
        "why": "4000 rows, validation loss fell",
    }
    assert run.data.metrics["validation_average_precision"] == 0.6
    assert [(point.step, point.value) for point in client.get_metric_history(kept.run_id, "loss")] == [
        (0, 0.7),
        (1, 0.5),
    ]
    assert run.info.status == "FINISHED"
    for tags in (run.data.tags, version.tags):
        assert tags["delta.features"] == "12"
        assert tags["git_commit"] == "abc"
        assert tags["digest"] == candidate(site).digest
    assert version.description == "4000 rows, validation loss fell"
    assert kept.url == registry.link(kept.run_id)
    assert kept.url.endswith(
        f"/#/experiments/{run.info.experiment_id}/runs/{kept.run_id}?workflowType=machine_learning"
    )


def test_a_metric_of_epochs_ends_with_the_kept_network_and_shows_it(registry, client, site):
    kept = registry.register(candidate(site, metrics={"loss": 0.4, "rows": 9}, epochs=[{"loss": 0.7}, {"loss": 0.5}]))
    told = client.get_metric_history(kept.run_id, "loss")
    assert [(point.step, point.value) for point in told] == [(0, 0.7), (1, 0.5), (2, 0.4)]
    assert client.get_run(kept.run_id).data.metrics == {"loss": 0.4, "rows": 9.0}


def test_a_model_with_several_answers_gives_a_column_for_each(registry, client, site):
    import mlflow.pyfunc

    signature = dataclasses.replace(SIGNATURE, task="regression", output="answer", answers=("low", "expected", "high"))
    tensor = helper.make_tensor("weight", TensorProto.FLOAT, [3, 3], np.eye(3, dtype=np.float32).ravel())
    ends = [("features", ["batch", 3]), ("answer", ["batch", 3])]
    given, answer = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends)
    node = helper.make_node("MatMul", ["features", "weight"], ["answer"])
    body = helper.make_graph([node], "three", [given], [answer], [tensor])
    file = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    kept = registry.register(candidate(site, onnx=file, digest=digest_of(file), signature=signature))
    model = mlflow.pyfunc.load_model(str(folder_of(client, kept)))
    answers = model.predict(pd.DataFrame({"hour": [3.0, 6.0], "malt": [2.0, 5.0], "hops": [1.0, None]}))
    assert answers.columns.tolist() == ["low", "expected", "high"]
    assert answers.iloc[0].tolist() == [1.0, 2.0, 3.0]


def test_the_sequence_model_takes_its_tensor(registry, client, site):
    import mlflow.pyfunc

    signature = dataclasses.replace(SIGNATURE, features=("hops",), steps=3)
    example = np.array([[[0], [1], [5]], [[1], [1], [1]]], np.float32)
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3, 1])
    answer = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceMean", ["features", "axes"], ["probability"], keepdims=0)
    body = helper.make_graph([node], "mean", [given], [answer], [axes])
    file = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    made = candidate(site, onnx=file, digest=digest_of(file), signature=signature, example=example)
    kept = registry.register(made)
    model = mlflow.pyfunc.load_model(str(folder_of(client, kept)))
    assert model.metadata.signature.inputs.to_dict()[0]["tensor-spec"]["shape"] == (-1, 3, 1)
    assert model.predict({"features": example})["probability"].tolist() == [2.0, 1.0]


def test_a_run_is_named_by_its_site_lasts_as_long_as_the_work_and_names_the_rows_it_learnt_from(registry, client, site):
    began, ended = datetime(2024, 1, 1, 8, tzinfo=UTC), datetime(2024, 1, 1, 9, 30, tzinfo=UTC)
    made = candidate(site, began=began, ended=ended, provenance={"delta_version.features": "12", "as_of": "2024-01-01"})
    run = client.get_run(registry.register(made).run_id)
    assert run.info.run_name == site
    assert run.info.end_time - run.info.start_time == 90 * 60 * 1000
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.name == "brewing/features"
    assert json.loads(used.dataset.source) == {"line": "brewing", "site": site, "delta_version.features": "12"}
    assert [tag.value for tag in used.tags] == ["training"]
    later = candidate(site, 2.0, provenance={"delta_version.features": "13", "as_of": "2024-01-01"})
    (other,) = client.get_run(registry.register(later).run_id).inputs.dataset_inputs
    assert other.dataset.digest != used.dataset.digest


def test_requirements_are_said_and_not_guessed(registry, client, site):
    kept = registry.register(candidate(site))
    said = (folder_of(client, kept) / "requirements.txt").read_text().split()
    assert [line.split("==")[0] for line in said] == ["mlflow", "onnxruntime", "numpy", "pandas"]


def test_the_same_digest_again_gives_the_same_version_and_no_new_run(registry, client, site):
    first = registry.register(candidate(site))
    runs = len(client.search_runs([client.get_run(first.run_id).info.experiment_id]))
    assert registry.register(candidate(site)) == first
    assert len(client.search_runs([client.get_run(first.run_id).info.experiment_id])) == runs
    assert len(client.search_model_versions(f"name='{first.model}'")) == 1


def test_another_file_is_another_version_and_the_new_challenger(registry, client, site):
    for version, weight in enumerate((1.0, 2.0), 1):
        kept = registry.register(candidate(site, weight))
        registry.record_verdict(kept.model, kept.version, verdict(candidate(site, weight)))
        assert kept.version == int(alias(client, kept.model, "challenger")) == version
    assert registry.register(candidate(site)).version == 1


def test_two_runs_that_register_the_same_file_at_once_make_one_version(registry, client, site):
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(lambda _: registry.register(candidate(site)), range(4)))
    assert {one.version for one in kept} == {1}
    assert len(client.search_model_versions(f"name='brewing.{site}'")) == 1


def test_the_same_file_at_another_site_is_another_model(registry, site):
    assert registry.register(candidate(site)).model != registry.register(candidate(f"{site}2")).model


def test_the_base_model_of_a_line_is_registered_too(registry):
    made = candidate(LINE_SITE, line="bottling")
    kept = registry.register(made)
    assert kept.model == "bottling._base"
    assert registry.file(kept.model, kept.version, WEIGHTS_FILE) == made.safetensors


def test_a_candidate_that_claims_another_digest_cannot_be_made(site):
    with pytest.raises(ModelRefused, match=rf"brewing\.{site}: the model file's digest is .*, not 000000000000"):
        candidate(site, digest="0" * 64)


def test_an_example_of_other_features_is_refused(site):
    with pytest.raises(ModelRefused, match=r"example has shape \(1, 2\), the model takes \(3,\)"):
        candidate(site, example=np.zeros((1, 2), np.float32))


def test_a_file_that_is_no_onnx_leaves_no_version_and_a_failed_run(registry, client, site):
    junk = b"not a model"
    with pytest.raises(Exception, match=r"(?i)pars|decod|onnx"):
        registry.register(candidate(site, onnx=junk, digest=digest_of(junk)))
    assert client.search_model_versions(f"name='brewing.{site}'") == []
    experiment = client.get_experiment_by_name("brewing").experiment_id
    (run,) = client.search_runs([experiment], f"tags.site = '{site}'")
    assert run.info.status == "FAILED"


def test_a_passing_verdict_promotes_and_the_champion_is_the_very_file(registry, client, site):
    made = candidate(site)
    kept = promoted(registry, made, by="lena")
    champion = registry.champion(kept.model)
    assert (champion.version, champion.digest, champion.onnx) == (1, made.digest, made.onnx)
    assert champion.verdict == verdict(made)
    tags = client.get_model_version(kept.model, "1").tags
    assert tags["promoted_by"] == "lena"
    assert tags["promoted_at"]
    assert alias(client, kept.model, "challenger") is None


def test_a_promotion_leaves_another_challenger_alone(registry, client, site):
    first = registry.register(candidate(site))
    registry.register(candidate(site, weight=2.0))
    registry.record_verdict(first.model, 2, verdict(candidate(site, weight=2.0)))
    registry.promote(first.model, 1, verdict(candidate(site)), by="lena")
    assert int(alias(client, first.model, "challenger")) == 2


@pytest.mark.parametrize("shown", ["none", "failing", "other file", "other site"])
def test_without_a_passing_verdict_on_this_file_nothing_is_promoted(registry, client, site, shown):
    site = site.replace(" ", "-")
    made = candidate(site)
    kept = registry.register(made)
    verdicts = {
        "none": None,
        "failing": verdict(made, passed=False),
        "other file": verdict(made, digest="1" * 64),
        "other site": verdict(made, site="elsewhere"),
    }
    with pytest.raises(ReleaseRefused):
        registry.promote(kept.model, kept.version, verdicts[shown], by="lena")
    assert registry.champion(kept.model) is None
    assert alias(client, kept.model, "challenger") is None


def test_a_file_changed_after_its_verdict_is_not_promoted_whatever_its_tags_say(registry, client, site):
    made = candidate(site)
    kept = registry.register(made)
    (folder_of(client, kept) / "model.onnx").write_bytes(graph(9.0))
    with pytest.raises(ReleaseRefused, match="is for another file"):
        registry.promote(kept.model, kept.version, verdict(made), by="lena")
    client.set_model_version_tag(kept.model, "1", "digest", digest_of(graph(9.0)))
    with pytest.raises(ReleaseRefused, match="is for another file"):
        registry.promote(kept.model, kept.version, verdict(made), by="lena")
    assert registry.champion(kept.model) is None


def test_a_version_that_is_not_there_is_refused_by_name(registry, site):
    kept = registry.register(candidate(site))
    with pytest.raises(ReleaseRefused, match=rf"{kept.model} has no version 99"):
        registry.promote(kept.model, 99, verdict(candidate(site)), by="lena")


def test_an_alias_moved_by_hand_is_not_a_champion(registry, client, site):
    promoted(registry, candidate(site))
    kept = registry.register(candidate(site, weight=2.0))
    client.set_registered_model_alias(kept.model, "champion", str(kept.version))
    with pytest.raises(ModelRefused, match="version 2 is champion but was never promoted"):
        registry.champion(kept.model)
    registry.promote(kept.model, kept.version, verdict(candidate(site, weight=2.0)), by="lena")
    assert registry.champion(kept.model).version == 2


@pytest.mark.parametrize("copied", ["tag", "tag and file"])
def test_a_promotion_copied_from_another_version_does_not_make_a_champion(registry, client, site, copied):
    site = site.replace(" ", "-")
    first = promoted(registry, candidate(site))
    kept = registry.register(candidate(site, weight=2.0))
    stolen = client.get_model_version(first.model, "1").tags["promotion"]
    client.set_model_version_tag(kept.model, "2", "promotion", stolen)
    if copied == "tag and file":
        client.log_artifact(kept.run_id, client.download_artifacts(first.run_id, stolen), "promotions")
    client.set_registered_model_alias(kept.model, "champion", "2")
    with pytest.raises(ModelRefused, match="the promotion on record does not permit it"):
        registry.champion(kept.model)


@pytest.mark.parametrize("file", [MODEL_FILE, REFERENCE_FILE, WEIGHTS_FILE])
def test_a_tampered_file_is_refused_and_named(registry, client, site, file):
    site = site.replace(".", "-")
    kept = promoted(registry, candidate(site))
    place = folder_of(client, kept) / file
    place.write_bytes(place.read_bytes() + b"\0")
    with pytest.raises(ModelRefused, match=rf"{kept.model} version 1: {file} is .* registered was"):
        registry.file(kept.model, 1, file)
    if file == "model.onnx":
        with pytest.raises(ModelRefused):
            registry.champion(kept.model)


def test_a_candidate_that_is_no_network_is_kept_without_weights_and_whole(registry, client, site):
    site = site.replace(".", "-")
    made = candidate(site, safetensors=None)
    kept = registry.register(made)
    assert WEIGHTS_FILE not in {file.name for file in folder_of(client, kept).iterdir()}
    assert registry.lost(kept.model, kept.version, made.digest) is None
    assert registry.register(made).version == kept.version
    with pytest.raises(ModelRefused, match="registered without weights"):
        registry.file(kept.model, kept.version, WEIGHTS_FILE)


def test_the_plain_rungs_of_a_base_model_are_kept_beside_it_and_each_is_the_very_file(registry, client):
    trees = PlainRung(onnx=graph(2.0), reference=np.full((2, 1), 0.75, np.float32))
    kept = registry.register(candidate(LINE_SITE, plain={"trees": trees}))
    assert registry.file(kept.model, kept.version, rung_file("trees")) == trees.onnx
    assert tensors_of(registry.file(kept.model, kept.version, RUNGS_FILE))["trees"].tolist() == [[0.75], [0.75]]
    place = folder_of(client, kept) / rung_file("trees")
    place.write_bytes(graph(3.0))
    with pytest.raises(ModelRefused, match=r"trees\.onnx is .* registered was"):
        registry.file(kept.model, kept.version, rung_file("trees"))
    assert "trees.onnx" in registry.lost(kept.model, kept.version, digest_of(graph(1.0)))


def test_the_same_network_with_other_rungs_beside_it_is_another_version(registry):
    trees = PlainRung(onnx=graph(2.0), reference=np.full((2, 1), 0.75, np.float32))
    alone, beside = candidate(LINE_SITE, 5.0), candidate(LINE_SITE, 5.0, plain={"trees": trees})
    first, second = (registry.register(made).version for made in (alone, beside))
    assert second == first + 1
    assert registry.register(beside).version == second


def test_a_version_from_before_reference_answers_were_kept_is_made_anew_and_says_so(registry, client, site):
    site = site.replace(".", "-")
    made = candidate(site)
    kept = promoted(registry, made)
    client.delete_model_version_tag(kept.model, "1", f"{REFERENCE_FILE}.digest")
    with pytest.raises(ModelRefused, match="Make it anew: factory run brewing --from base_model"):
        registry.file(kept.model, 1, REFERENCE_FILE)
    assert registry.champion(kept.model).onnx == made.onnx  # what is served goes on
    assert registry.register(made).version == 2


def test_a_file_that_is_gone_is_refused(registry, client, site):
    kept = promoted(registry, candidate(site))
    (folder_of(client, kept) / "model.onnx").unlink()
    with pytest.raises(ModelRefused, match=r"model\.onnx cannot be read"):
        registry.champion(kept.model)


def test_promoting_again_changes_nothing(registry, client, site):
    kept = promoted(registry, candidate(site), by="lena")
    before = client.get_model_version(kept.model, "1").tags
    promoted(registry, candidate(site), by="noah")
    assert client.get_model_version(kept.model, "1").tags == before
    assert alias(client, kept.model, "challenger") is None


def test_going_back_to_an_earlier_champion_is_a_promotion_too_and_both_stay_on_record(registry, client, site):
    first = promoted(registry, candidate(site), by="lena")
    promoted(registry, candidate(site, weight=2.0), by="lena")
    registry.promote(first.model, 1, verdict(candidate(site)), by="noah")
    assert registry.champion(first.model).version == 1
    assert len(client.list_artifacts(first.run_id, "promotions")) == 2


def test_a_later_failing_verdict_does_not_take_the_champion_down(registry, site):
    made = candidate(site)
    kept = promoted(registry, made)
    registry.record_verdict(kept.model, kept.version, verdict(made, passed=False))
    assert registry.champion(kept.model).version == 1


def test_a_model_that_nobody_registered_has_no_champion(registry):
    assert registry.champion("brewing.nowhere") is None


def test_a_verdict_is_kept_whole_and_shown_in_tags_and_metrics(registry, client, site):
    made = candidate(site)
    kept = registry.register(made)
    long = verdict(made, passed=False, reasons=tuple(f"reason {number}" for number in range(2000)))
    registry.record_verdict(kept.model, kept.version, long)
    tags = client.get_model_version(kept.model, "1").tags
    assert (tags["passed"], tags["digest"]) == ("false", made.digest)
    assert tags["reasons"].startswith("reason 0; reason 1; ")
    assert len(tags["reasons"]) < 5000
    metrics = client.get_run(kept.run_id).data.metrics
    assert (metrics["average_precision"], metrics["rows"]) == (0.61, 900.0)
    assert "champion_average_precision" not in metrics
    file = client.download_artifacts(kept.run_id, "verdict.json")
    assert Verdict.from_dict(json.loads(Path(file).read_text())) == long


def test_recording_a_verdict_again_adds_nothing_and_another_replaces_it(registry, client, site):
    made = candidate(site)
    kept = registry.register(made)
    for passed in (True, True, False):
        registry.record_verdict(kept.model, kept.version, verdict(made, passed=passed))
    assert len(client.get_metric_history(kept.run_id, "average_precision")) == 2
    assert client.get_model_version(kept.model, "1").tags["passed"] == "false"


@pytest.mark.parametrize("changes", [{"digest": "2" * 64}, {"site": "elsewhere"}])
def test_a_verdict_on_something_else_is_not_kept_here(registry, client, site, changes):
    kept = registry.register(candidate(site))
    with pytest.raises(ReleaseRefused, match="judge this file"):
        registry.record_verdict(kept.model, kept.version, verdict(candidate(site), **changes))
    assert "passed" not in client.get_model_version(kept.model, "1").tags


def test_two_promotions_at_once_leave_one_whole_champion(registry, site):
    made = [candidate(site), candidate(site, weight=2.0)]
    kept = [registry.register(one) for one in made]
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda pair: registry.promote(pair[0].model, pair[0].version, verdict(pair[1]), by="x"),
                zip(kept, made, strict=True),
            )
        )
    champion = registry.champion(kept[0].model)
    assert champion.onnx == made[champion.version - 1].onnx


def test_mlflows_process_wide_state_and_the_working_folder_stay_as_they_were(registry, site, monkeypatch, tmp_path):
    import mlflow

    monkeypatch.chdir(tmp_path)
    before = (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run(), dict(os.environ))
    kept = promoted(registry, candidate(site))
    registry.champion(kept.model)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run(), dict(os.environ)) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("client")
def test_sqlite_lets_readers_go_on_while_one_writes(home):
    with sqlite3.connect(home / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_importing_the_registry_does_not_import_mlflow():
    code = "import sys, factory.registry.registry; sys.exit(not {'mlflow', 'onnx', 'torch'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0


def test_a_tracking_server_is_linked_at_its_own_address():
    remote = dataclasses.replace(registry_at(Path("home")), tracking_uri="https://mlflow.example/")
    assert remote._url("3", "abc") == "https://mlflow.example/#/experiments/3/runs/abc?workflowType=machine_learning"


# --- the site's history


def history(home):
    return History(home / "history")


def told(home, site):
    return [(r.kind, r.actor, r.version) for r in history(home).read(f"brewing.{site}").records()]


def test_promotions_and_refusals_are_on_record_each_once(registry, home, site):
    made, better = candidate(site), candidate(site, 2.0)
    kept = promoted(registry, made)
    registry.promote(kept.model, kept.version, verdict(made), by="otto")  # is champion already
    challenger = registry.register(better)
    for _ in range(2):  # as when a run that died is run again
        registry.record_verdict(challenger.model, challenger.version, verdict(better, passed=False))
    with pytest.raises(ReleaseRefused):
        registry.promote(challenger.model, challenger.version, verdict(better, passed=False), by="otto")
    assert told(home, site) == [("promotion", "lena", 1), ("refusal", "gates", 2), ("refusal", "otto", 2)]
    refusals = history(home).read(kept.model).records()[1:]
    assert all("scored on 32 rows, needs 500" in refusal.reason for refusal in refusals)
    assert {refusal.digest for refusal in refusals} == {better.digest}


def test_where_an_approval_is_wanted_no_file_is_promoted_without_its_own(registry, home, site):
    made, other = candidate(site), candidate(site, 2.0)
    kept, key = registry.register(made), signing_key(home / "keys")
    with pytest.raises(ReleaseRefused, match=f"factory approve {site}"):
        registry.promote(kept.model, kept.version, verdict(made), by="line", approval_required=True)
    history(home).append(kept.model, Event(kind="approval", actor="lena", reason="ok", digest=other.digest), key)
    with pytest.raises(ReleaseRefused, match="wants a person's approval"):
        registry.promote(kept.model, kept.version, verdict(made), by="line", approval_required=True)
    assert registry.champion(kept.model) is None
    history(home).append(kept.model, Event(kind="approval", actor="lena", reason="ok", digest=made.digest), key)
    registry.promote(kept.model, kept.version, verdict(made), by="line", approval_required=True)
    assert registry.champion(kept.model).digest == made.digest
    tags = registry.connection.runs.get_model_version(kept.model, str(kept.version)).tags
    assert tags["approved_by"] == "lena"


def test_an_approval_does_not_replace_a_passing_verdict(registry, home, site):
    made = candidate(site)
    kept = registry.register(made)
    approval = Event(kind="approval", actor="lena", reason="I like it", digest=made.digest)
    history(home).append(kept.model, approval, signing_key(home / "keys"))
    with pytest.raises(ReleaseRefused, match="did not pass its gates"):
        registry.promote(kept.model, kept.version, verdict(made, passed=False), by="lena", approval_required=True)


def test_while_a_rollback_holds_only_the_file_it_went_back_to_may_be_champion(registry, home, site):
    good, bad = candidate(site), candidate(site, 2.0)
    first = promoted(registry, good)
    second = promoted(registry, bad)
    back = Event(kind="rollback", actor="lena", reason="late", release=1, digest=good.digest, withdrawn=bad.digest)
    history(home).append(first.model, back, signing_key(home / "keys"))
    with pytest.raises(ReleaseRefused, match="holds it on release 1"):
        registry.promote(second.model, second.version, verdict(bad), by="line")
    registry.promote(first.model, first.version, verdict(good), by="line")  # the alias is put right
    assert registry.champion(first.model).digest == good.digest


def test_before_its_turn_in_a_rollout_a_site_promotes_nothing_but_what_it_served(registry, home, site):
    old, new = candidate(site), candidate(site, 2.0)
    first, second = promoted(registry, old), registry.register(new)
    key, kept = signing_key(home / "keys"), history(home)
    kept.append(first.model, Event(kind="wait", actor="lena", reason="wider", digest=old.digest), key)
    kept.append(first.model, Event(kind="allowance", actor="otto", reason="mended"), key)  # not what it waits for
    with pytest.raises(ReleaseRefused, match="has not come to it; how far it is: factory rollout status"):
        registry.promote(second.model, second.version, verdict(new), by="line")
    registry.promote(first.model, first.version, verdict(old), by="line")
    kept.append(first.model, Event(kind="turn", actor="lena", reason="wider"), key)
    registry.promote(second.model, second.version, verdict(new), by="line")
    assert registry.champion(first.model).digest == new.digest


# --- what it costs


class RoundTrips:
    """Counts the calls that reach MLflow's stores: each is a transaction of a database or a request to a server."""

    def __init__(self, monkeypatch, *stores):
        self.names, self._depth = [], 0
        for store in stores:
            for name in dir(type(store)):
                if not name.startswith("_") and name != "shut_down_async_logging" and callable(getattr(store, name)):
                    monkeypatch.setattr(store, name, self._counted(name, getattr(store, name)))

    def _counted(self, name, call):
        def counted(*args, **how):
            self.names += [] if self._depth else [name]  # what a store asks of itself is part of one call
            self._depth += 1
            try:
                return call(*args, **how)
            finally:
                self._depth -= 1

        return counted


@pytest.fixture
def round_trips(registry, monkeypatch):
    registry.register(candidate("the-first"))  # from then on the line's experiment is known
    return RoundTrips(monkeypatch, registry.connection.runs._tracking_client.store, registry.connection.models.store)


def trained(registry, made):
    kept = registry.register(made)
    registry.record_verdict(kept.model, kept.version, verdict(made))
    registry.promote(kept.model, kept.version, verdict(made), by="line")


@pytest.mark.parametrize("weight", [1.0, 2.0], ids=["first", "later"])
def test_a_site_that_is_trained_judged_and_promoted_makes_19_round_trips(registry, round_trips, site, weight):
    if weight > 1:
        trained(registry, candidate(site))
        round_trips.names.clear()
    trained(registry, candidate(site, weight))
    assert len(round_trips.names) <= 19, round_trips.names


def test_a_site_where_nothing_changed_makes_three_round_trips(registry, round_trips, site):
    trained(registry, candidate(site))
    round_trips.names.clear()
    trained(registry, candidate(site))
    assert len(round_trips.names) <= 3, round_trips.names


def test_a_champion_is_read_in_two_round_trips_by_who_never_saw_its_run(registry, home, site, monkeypatch):
    kept, other = promoted(registry, candidate(site)), registry_at(home)
    connection = other.connection
    found = RoundTrips(monkeypatch, connection.runs._tracking_client.store, connection.models.store)
    assert other.champion(kept.model).digest == candidate(site).digest
    assert len(found.names) == 2, found.names

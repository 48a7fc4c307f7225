"""A prediction is found again, and rebuilt by the release that gave it, though another one serves now."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory.cli.records import taken_in
from factory.errors import PredictionUnknown
from factory.gateway.models.explanation import why
from factory.model.signature import Signature
from factory.monitoring.prediction_log.files import recorded, segments
from factory.monitoring.prediction_log.rows import PREDICTION_LOG, served_rows
from factory.release import Guard
from factory.storage.lake import Lake
from factory.storage.lake_store import LakeStore
from tests.gateway.builders import (
    Shop,
    eventually,
    expected,
    gateway,
    onnx_model,
    question,
    sums_model,
)
from tests.monitoring.recorded import batch

GUARD = Guard(ranges={"f0": (0.0, 5.0)}, outside="abstain")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A home in which version 1 answered three questions at once, and version 2 serves now; the second one's name."""
    home = tmp_path_factory.mktemp("home")
    shop = Shop(home)
    shop.release(onnx_model(), version=1, guard=GUARD)
    with gateway(shop, records=home / "predictions") as client:
        names = [ask(client, rows) for rows in ([[1, 2, 3]], [[1, None, 3], [9, 1, 1]], [[4, 4, 4]])]
        shop.release(onnx_model(bias=2.0), version=2, guard=GUARD)
        eventually(lambda: client.get("/v2/models/toy.UA").json()["versions"] == ["2"])
        ask(client, [[1, 2, 3]])
    return shop, names[1]


def ask(client, rows, **changed):
    return client.post("/v2/models/toy.UA/infer", json=question(rows, **changed)).json()["parameters"]["prediction_id"]


def test_it_is_told_what_was_asked_what_was_answered_and_that_it_can_be_rebuilt(asked):
    shop, name = asked
    told = why(shop.home / "predictions", shop.repository, shop.key.public_key(), name)
    assert (told["line"], told["site"], told["version"], told["rebuilt"]) == ("toy", "UA", 1, True)
    assert told["role"] == "champion"
    first, second = told["rows"]
    assert first["features"] == {"f0": 1.0, "f1": None, "f2": 3.0}
    assert first["answer"]["probability"] == pytest.approx(expected([[1, 0, 3]])[0], abs=1e-6)
    assert first["decision"] is True
    assert (second["answer"], second["decision"]) == (None, None)
    assert told["outside"] == "row 1: f0 is 9, training saw 0 to 5"
    assert told["provenance"] == {"clean": "7", "commit": "abc"}


def test_a_prediction_that_nobody_made_is_unknown(asked):
    shop, _ = asked
    lake = taken_in(LakeStore(url=str(shop.home / "no lake")), shop.repository)
    with pytest.raises(PredictionUnknown, match=r"in no record under .*, and in the lake of no line"):
        why(shop.home / "predictions", shop.repository, shop.key.public_key(), "nobody-1", lake)


def in_lake(shop, root):
    """What finds predictions in a lake that has taken in all that a shop's gateway recorded."""
    lake = Lake(root, "toy")
    batches = [batch for segment in segments(shop.home / "predictions") for batch, _ in recorded(segment)]
    lake.append(PREDICTION_LOG, served_rows(batches, [], {}), {"UA": 0})
    return taken_in(LakeStore(url=str(root)), shop.repository)


def test_a_prediction_whose_record_is_gone_is_told_the_same_from_the_lake(asked, tmp_path):
    shop, name = asked
    key = shop.key.public_key()
    told = why(tmp_path / "nothing", shop.repository, key, name, in_lake(shop, tmp_path / "lake"))
    assert told["rebuilt"] is True
    assert told == why(shop.home / "predictions", shop.repository, key, name)


def test_so_is_that_of_a_sequence(tmp_path):
    shop = Shop(tmp_path)
    sequence = Signature(task="regression", features=("a", "b"), steps=3, output="life", answers=("life", "low"))
    shop.release(sums_model(3, 2, 2, "life"), signature=sequence)
    with gateway(shop, records=tmp_path / "predictions") as client:
        name = ask(client, [[[1, 2], [3, None], [5, 6]]], shape=[1, 3, 2], data=[1, 2, 3, None, 5, 6])
    key = shop.key.public_key()
    told = why(tmp_path / "nothing", shop.repository, key, name, in_lake(shop, tmp_path / "lake"))
    assert told["rows"][0]["features"] == [{"a": 1, "b": 2}, {"a": 3, "b": None}, {"a": 5, "b": 6}]
    assert told["rows"][0]["answer"] == {"life": 17, "low": 34}
    assert told == why(tmp_path / "predictions", shop.repository, key, name)


def test_a_trial_that_failed_gave_no_answer_that_could_be_rebuilt(asked, tmp_path):
    shop, _ = asked
    lake = Lake(tmp_path, "toy")
    failed = batch("f-1", role="canary", copies=["c"], error="it broke")
    lake.append(PREDICTION_LOG, served_rows([failed], [], {}), {"UA": 0})
    with pytest.raises(PredictionUnknown):
        why(
            tmp_path,
            shop.repository,
            shop.key.public_key(),
            "f-1",
            taken_in(LakeStore(url=str(tmp_path)), shop.repository),
        )


def test_the_command_shows_it(asked):
    shop, name = asked
    command = [Path(sys.executable).with_name("factory"), "why", name, "--home", str(shop.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["prediction"] == name

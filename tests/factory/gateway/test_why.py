"""A prediction is found again, and rebuilt by the release that gave it, though another one serves now."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory.errors import PredictionUnknown
from factory.gateway.why import why
from factory.repository import Guard
from tests.factory.gateway.builders import Shop, eventually, expected, gateway, onnx_model, question

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


def ask(client, rows):
    return client.post("/v2/models/toy.UA/infer", json=question(rows)).json()["parameters"]["prediction_id"]


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
    with pytest.raises(PredictionUnknown, match="in no record"):
        why(shop.home / "predictions", shop.repository, shop.key.public_key(), "nobody-1")


def test_the_command_shows_it(asked):
    shop, name = asked
    command = [Path(sys.executable).with_name("factory"), "why", name, "--home", str(shop.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["prediction"] == name

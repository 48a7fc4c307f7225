"""The business door: features by name in, decisions out, problem details for who asks wrongly."""

import re

import numpy as np
import pytest

from factory.gateway.access.key_file import add_key
from factory.model.payoff import Payoff
from factory.model.signature import Signature
from factory.release import Guard
from factory.tasks import Binary
from factory.tasks.binary import BinaryValue
from tests.gateway.builders import Shop, expected, gateway, onnx_model, sums_model
from tests.gateway.test_gateway import LIFE

ROW = {"f0": 1.0, "f1": None, "f2": 3}
CLASSES = Signature(task="multiclass", features=("f0",), steps=1, output="classes", answers=("a", "b", "c"))


MONEY = BinaryValue(caught_eur=-40.0, missed_eur=-200.0, false_alarm_eur=-30.0)
PERSON = Payoff(right_eur=2.0, wrong_eur=-10.0)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    guard = Guard(ranges={"f0": (0.0, 5.0)})
    shop.release(onnx_model(), version=3, threshold=0.6, guard=guard, stakes=MONEY.stakes)
    shop.release(onnx_model(), site="DL", guard=Guard(ranges={"f0": (0.0, 5.0)}, outside="abstain"))
    shop.release(sums_model(3, 2, 3, "life"), site="life", signature=LIFE, threshold=1.5)
    shop.release(sums_model(1, 1, 3, "classes"), site="classes", signature=CLASSES, threshold=2.0, example=(1.0,))
    classes = {"signature": CLASSES, "threshold": 0.75, "example": (1.0,), "stakes": PERSON}
    shop.release(sums_model(1, 1, 3, "classes"), site="sure", **classes)
    shop.release(onnx_model(), site="busy", threshold=0.6, guard=guard, stakes=MONEY.stakes, constant=1.0)
    shop.release(sums_model(1, 1, 3, "classes"), site="usual", constant=2.0, **classes)
    with gateway(shop) as made:
        yield made


def ask(client, rows, site="UA", **headers):
    return client.post(f"/v1/lines/toy/sites/{site}/predict", json={"rows": rows}, headers=headers)


def test_a_row_is_answered_with_numbers_by_name_and_whether_to_act(client):
    answer = ask(client, [ROW, {"f0": 0, "f1": 5, "f2": False}]).json()
    assert answer["prediction_id"]
    assert (answer["line"], answer["site"], answer["model_version"]) == ("toy", "UA", 3)
    first, second = answer["rows"]
    assert first["answer"]["probability"] == pytest.approx(expected([[1, 0, 3]])[0], abs=1e-6)
    assert (first["decision"], first["outside"]) == (True, False)
    assert second["answer"]["probability"] == pytest.approx(expected([[0, 5, 0]])[0], abs=1e-6)
    assert second["decision"] is False


def test_an_answer_says_how_many_features_of_each_row_were_unknown(client):
    rows = ask(client, [ROW, {"f0": None, "f1": None, "f2": 3}, {"f0": 0, "f1": 5, "f2": 1}]).json()["rows"]
    assert [row["unknown"] for row in rows] == [1, 2, 0]


def test_a_row_outside_is_told_or_not_answered(client):
    told = ask(client, [{**ROW, "f0": 9}, ROW]).json()
    assert [row["outside"] for row in told["rows"]] == [True, False]
    assert told["rows"][0]["decision"] is True
    assert "f0 is 9" in told["outside"]
    kept = ask(client, [{**ROW, "f0": 9}, ROW], "DL").json()["rows"]
    assert kept[0] == {"answer": None, "decision": None, "expected_value_eur": None, "outside": True, "unknown": 1}
    assert kept[1]["answer"] is not None


def test_an_estimate_is_acted_on_less_the_margin_and_a_class_below_the_threshold_is_for_a_person(client):
    steps = [{"f0": 1, "f1": 2}, {"f0": 3, "f1": None}, {"f0": 5, "f1": 6}]
    (row,) = ask(client, [steps], "life").json()["rows"]
    assert row["answer"] == {"estimate": 17, "low": 34, "high": 51}
    assert row["decision"] == 15.5
    rows = ask(client, [[{"f0": 1}], [{"f0": 0.5}]], "classes").json()["rows"]
    assert [row["decision"] for row in rows] == ["c", None]


@pytest.mark.parametrize(("site", "constant"), [("UA", 0.0), ("busy", 1.0)])
def test_a_decision_says_what_it_is_worth_on_average_above_the_constant_one_of_its_release(client, site, constant):
    asked = [{"f0": f0 / 2, "f1": f1, "f2": 1} for f0 in range(10) for f1 in range(-3, 8)]
    rows = ask(client, asked, site).json()["rows"]
    assert {row["decision"] for row in rows} == {True, False}
    for row in rows:
        chance = row["answer"]["probability"]
        answer = np.full((2, 1), chance, np.float32)
        positive, negative = Binary().row_values_eur(np.array([1.0, 0.0]), answer, 0.6, MONEY, constant)
        assert row["expected_value_eur"] == pytest.approx(chance * positive + (1 - chance) * negative)


def test_a_class_is_worth_its_chance_and_a_row_handed_to_a_person_nothing(client):
    sure, unsure = ask(client, [[{"f0": 0.3}], [{"f0": 0.2}]], "sure").json()["rows"]
    assert (sure["decision"], unsure["decision"]) == ("c", None)
    assert sure["expected_value_eur"] == pytest.approx(0.9 * 2.0 + 0.1 * -10.0, abs=1e-5)
    assert unsure["expected_value_eur"] == 0.0


def test_a_class_is_worth_what_it_is_more_than_the_class_that_would_always_be_chosen(client):
    sure, unsure = ask(client, [[{"f0": 0.3}], [{"f0": 0.2}]], "usual").json()["rows"]
    always = [PERSON.expected_eur(row["answer"]["b"]) for row in (sure, unsure)]
    assert sure["expected_value_eur"] == pytest.approx(PERSON.expected_eur(sure["answer"]["c"]) - always[0])
    assert unsure["expected_value_eur"] == pytest.approx(-always[1])


@pytest.mark.parametrize("site", ["DL", "life"], ids=["a release from before", "an estimate"])
def test_without_stakes_nothing_is_said_of_a_decisions_worth(client, site):
    row = ROW if site == "DL" else [{"f0": 1, "f1": 2}] * 3
    (told,) = ask(client, [row], site).json()["rows"]
    assert told["decision"] is not None
    assert told["expected_value_eur"] is None


@pytest.mark.parametrize(
    ("rows", "site", "says"),
    [
        ([], "UA", "0 rows"),
        ([ROW] * 4097, "UA", "4097 rows"),
        ([{"f0": 1, "f2": 1}], "UA", "row 0 lacks f1"),
        ([ROW, {**ROW, "f9": 1}], "UA", "row 1 has 'f9', no feature"),
        ([{**ROW, "f0": "1"}], "UA", "no question"),
        ([{**ROW, "f0": 1e39}], "UA", "beyond the range"),
        ([[ROW]], "UA", "no question"),
        ([[{"f0": 1, "f1": 2}]], "life", "row 0 has 1 steps; the model sees 3"),
        ([ROW], "life", "no question"),
    ],
)
def test_a_question_that_does_not_fit_is_a_problem_that_says_why(client, rows, site, says):
    answer = ask(client, rows, site)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code == 400
    assert answer.json()["title"] == "Bad Request"
    assert says in answer.json()["detail"]


def test_a_path_a_method_a_site_or_a_key_that_is_not_there_is_a_problem_too(client, tmp_path):
    assert ask(client, [ROW], "ZZ").status_code == 404
    assert client.get("/v1/lines/toy/sites/UA/predict").headers["allow"] == "POST, OPTIONS"
    assert client.post("/v1/lines/toy/predict").json()["status"] == 404
    shop, keys = Shop(tmp_path), tmp_path / "keys" / "gateway.json"
    shop.release(onnx_model())
    secret = add_key(keys, "erp", sites=["DL"])
    with gateway(shop, keys=keys) as closed:
        assert ask(closed, [ROW]).json()["title"] == "Unauthorized"
        assert ask(closed, [ROW], **{"x-api-key": secret}).json()["title"] == "Forbidden"


def test_a_body_that_cannot_be_read_counts_as_a_failure_of_its_site(client):
    def failures():
        found = re.search(r'nv_inference_request_failure{.*model="toy.DL".*} (\d+)', client.get("/metrics").text)
        return int(found[1])

    before = failures()
    assert client.post("/v1/lines/toy/sites/DL/predict", content=b"{").status_code == 400
    assert failures() == before + 1

"""Which features moved an answer, of a model for which that is known; and that asking for it changes nothing else."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.gateway.access.key_file import add_key
from factory.model.payoff import Payoff
from factory.monitoring.prediction_log.files import recorded, segments
from factory.release import Guard
from tests.gateway.builders import Shop, eventually, expected, gateway, onnx_model, sums_model
from tests.gateway.test_business import CLASSES, ROW
from tests.gateway.test_gateway import LIFE
from tests.gateway.test_trials import failing_model, metric, on_trial, try_out

NAMES, TYPICAL = ("f0", "f1", "f2"), {"f0": 2.0, "f1": -1.0, "f2": 1.0}
RANGES = {"f0": (0.0, 5.0)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(home):
    shop = Shop(home)
    stakes = Payoff(right_eur=100.0, wrong_eur=-20.0)
    shop.release(onnx_model(), guard=Guard(ranges=RANGES, typical=TYPICAL), stakes=stakes)
    shop.release(onnx_model(), site="DL", guard=Guard(ranges=RANGES, typical=TYPICAL, outside="abstain"))
    shop.release(onnx_model(), site="old", version=7)
    shop.release(onnx_model(), site="some", guard=Guard(typical={"f2": 1.0}))
    shop.release(sums_model(3, 2, 3, "life"), site="life", signature=LIFE, guard=Guard(typical={"f0": 1.0, "f1": 0.0}))
    typical = Guard(typical={"f0": 0.5})
    shop.release(sums_model(1, 1, 3, "classes"), site="classes", signature=CLASSES, example=(1.0,), guard=typical)
    with gateway(shop) as made:
        yield made


def ask(client, rows, reasons, site="UA", **headers):
    return client.post(f"/v1/lines/toy/sites/{site}/predict", json={"rows": rows, "reasons": reasons}, headers=headers)


def rows_of(client, rows, reasons, site="UA"):
    answer = ask(client, rows, reasons, site)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def moved(row):
    """By how much each feature moves the answer of a logistic regression, in closed form."""
    values = [row[name] for name in NAMES]
    found = {}
    for place, name in enumerate(NAMES):
        changed = [*values[:place], TYPICAL[name], *values[place + 1 :]]
        found[name] = float(np.diff(expected([changed, values]))[0])
    return found


numbers = st.integers(-8, 8).map(float)
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, numbers)), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, most=st.integers(1, 3))
def test_a_logistic_regressions_reasons_are_its_own_terms_the_strongest_first(client, rows, most):
    for row, told in zip(rows, rows_of(client, rows, most), strict=True):
        moves = {name: move for name, move in moved(row).items() if row[name] != TYPICAL[name]}
        found = {reason["feature"]: reason["moves"] for reason in told["reasons"]}
        assert len(found) == min(most, len(moves))
        assert found == pytest.approx({name: moves[name] for name in found}, abs=1e-6)
        assert all(abs(moves[name]) <= min(map(abs, found.values())) + 1e-6 for name in set(moves) - set(found))
        assert [*map(abs, found.values())] == sorted(map(abs, found.values()), reverse=True)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, reasons=st.integers(1, 10))
def test_asking_for_reasons_changes_nothing_else_of_the_answer(client, rows, reasons):
    plain, told = ask(client, rows, 0).json(), ask(client, rows, reasons).json()
    assert all(row.pop("reasons") is not None for row in told["rows"])
    assert plain.pop("prediction_id") != told.pop("prediction_id")
    numbers = [(row.pop("answer"), row.pop("expected_value_eur")) for row in plain["rows"]]
    for (answer, worth), row in zip(numbers, told["rows"], strict=True):
        assert row.pop("answer") == pytest.approx(answer, abs=1e-6)
        assert row.pop("expected_value_eur") == pytest.approx(worth, abs=1e-4)
    assert told == plain


def test_a_reason_says_value_and_typical_value_and_an_unknown_value_can_be_one(client):
    (row,) = rows_of(client, [{"f0": True, "f1": None, "f2": 1}], 10)
    by_name = {reason["feature"]: reason for reason in row["reasons"]}
    assert set(by_name) == {"f0", "f1"}  # f2 is typical
    assert (by_name["f0"]["value"], by_name["f0"]["typical"]) == (1.0, 2.0)
    assert by_name["f1"]["value"] is None
    assert by_name["f1"]["moves"] == pytest.approx(float(np.diff(expected([[1, -1, 1], [1, 0, 1]]))[0]), abs=1e-6)


def test_a_feature_without_a_typical_value_is_no_reason(client):
    (row,) = rows_of(client, [ROW], 10, "some")
    assert [reason["feature"] for reason in row["reasons"]] == ["f2"]


def test_without_reasons_asked_none_are_told(client):
    assert "reasons" not in rows_of(client, [ROW], 0)[0]


def test_of_a_sequence_the_last_step_is_explained_and_of_classes_the_likeliest(client):
    steps = [{"f0": 1, "f1": 2}, {"f0": 3, "f1": None}, {"f0": 5, "f1": 6}]
    (row,) = rows_of(client, [steps], 2, "life")
    assert row["expected_value_eur"] is None
    assert row["reasons"] == [
        {"feature": "f1", "value": 6.0, "typical": 0.0, "moves": 6.0},
        {"feature": "f0", "value": 5.0, "typical": 1.0, "moves": 4.0},
    ]
    (row,) = rows_of(client, [[{"f0": 1}]], 2, "classes")
    assert row["reasons"] == [{"feature": "f0", "value": 1.0, "typical": 0.5, "moves": 1.5}]


def test_a_row_that_is_not_answered_has_no_reasons_and_one_that_is_told_of_has(client):
    out, inside = rows_of(client, [{**ROW, "f0": 9}, ROW], 2, "DL")
    assert out == {
        "answer": None,
        "decision": None,
        "expected_value_eur": None,
        "outside": True,
        "unknown": 1,
        "reasons": None,
    }
    assert len(inside["reasons"]) == 2
    told, _ = rows_of(client, [{**ROW, "f0": 9}, ROW], 2)
    assert told["outside"]
    assert told["reasons"][0]["value"] == 9.0


@pytest.mark.parametrize(
    ("rows", "reasons", "site", "says"),
    [
        ([ROW], 11, "UA", "<= 10"),
        ([ROW], -1, "UA", ">= 0"),
        ([ROW], "3", "UA", "Expected `int`"),
        (
            [ROW] * 1025,
            1,
            "UA",
            "1025 rows with reasons of 3 features ask the model 4100 rows; the limit is 4096: send",
        ),
        ([ROW], 1, "old", "version 7 was released without typical values"),
        ([{**ROW, "f0": 1e39}], 3, "UA", "beyond the range"),
    ],
)
def test_reasons_that_cannot_be_given_are_a_problem_that_says_why(client, rows, reasons, site, says):
    answer = ask(client, rows, reasons, site)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


def test_as_many_rows_as_one_call_takes_have_reasons(client):
    rows = rows_of(client, [ROW] * 1024, 1)
    assert all(row["reasons"] == rows[0]["reasons"] != [] for row in rows)


def test_what_only_names_reasons_is_recorded_nowhere_and_counted_apart(tmp_path):
    shop, folder = Shop(tmp_path), tmp_path / "predictions"
    shop.release(onnx_model(), guard=Guard(ranges={"f2": (2.0, 4.0)}, typical=TYPICAL))
    with gateway(shop, records=folder) as client:
        rows_of(client, [ROW, ROW], 3)
        assert metric(client, "nv_inference_count") == 2
        assert metric(client, "factory_reason_rows_total") == 6
        assert metric(client, "factory_batch_rows_sum") == 8
        assert metric(client, "nv_inference_exec_count") == 1
        assert metric(client, "factory_rows_outside_total") == 0  # a typical f2 of 1.0 would be
    (batch,) = [batch for segment in segments(folder) for batch, _ in recorded(segment)]
    assert list(batch.rows) == [2]
    assert batch.inputs().shape == (2, 3)
    assert batch.outputs().shape == (2, 1)


def test_rows_that_name_reasons_are_paid_for_from_the_keys_rate(tmp_path):
    shop, keys = Shop(tmp_path), tmp_path / "keys" / "gateway.json"
    shop.release(onnx_model(), guard=Guard(typical=TYPICAL))
    secret = add_key(keys, "erp", rows_per_s=1.75)
    with gateway(shop, keys=keys) as client:
        assert ask(client, [ROW], 3, **{"x-api-key": secret}).status_code == 429  # 4 rows, and 3.5 may come at once
        assert ask(client, [ROW], 0, **{"x-api-key": secret}).status_code == 200


@pytest.mark.parametrize(("mode", "bias"), [("canary", 3.0), ("shadow", 0.0)])
def test_the_model_that_answers_says_why_and_a_shadow_is_not_asked_that(tmp_path, mode, bias):
    shop = Shop(tmp_path)
    shop.release(onnx_model(), guard=Guard(typical=TYPICAL))
    try_out(shop, mode)
    other = {"canary": "champion", "shadow": "shadow"}[mode]
    with gateway(shop) as client:
        eventually(lambda: on_trial(client))
        answer = ask(client, [{"f0": 1.0, "f1": -1.0, "f2": 1.0}], 3).json()
        (reason,) = answer["rows"][0]["reasons"]
        moves = np.diff(expected([[2, -1, 1], [1, -1, 1]], bias=bias))[0]
        assert (reason["feature"], reason["moves"]) == ("f0", pytest.approx(float(moves), abs=1e-6))
        assert answer["model_version"] == (2 if mode == "canary" else 1)
        eventually(lambda: metric(client, "nv_inference_count", role=mode) == 1)
        assert metric(client, "factory_reason_rows_total") == 3
        assert metric(client, "factory_reason_rows_total", role=other) == 0


def test_where_a_canary_fails_the_champion_answers_and_says_why(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model(), guard=Guard(typical=TYPICAL))
    try_out(shop, "canary", content=failing_model())
    with gateway(shop) as client:
        eventually(lambda: on_trial(client))
        answer = ask(client, [{"f0": 9.0, "f1": -1.0, "f2": 1.0}], 3).json()
        (reason,) = answer["rows"][0]["reasons"]
    assert answer["model_version"] == 1
    assert reason["moves"] == pytest.approx(float(np.diff(expected([[2, -1, 1], [9, -1, 1]]))[0]), abs=1e-6)

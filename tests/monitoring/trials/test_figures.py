"""The gateway's records in, figures of a trial out: of the right time, the right files, the same rows."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.model.signature import Signature
from factory.monitoring.prediction_log.files import MAGIC, RecordedBatch, framed
from factory.monitoring.trials.decisions import MIN_REQUESTS, objections
from factory.monitoring.trials.figures import figures
from factory.monitoring.trials.gathering import gathered, recorded_since
from factory.release import Draft, Guard, Terms
from tests.gateway.builders import Shop, onnx_model, verdict

BEGAN = 1_000_000.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A site with a trial; releases 1 and 2 decide at 0.5 and at 0.6."""
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model(), version=1, threshold=0.5)
    return shop


@pytest.fixture(scope="module")
def trial(shop):
    content, served = onnx_model(bias=1.0), shop.repository.current("toy.UA")
    draft = replace(Draft.again(content, served), version=2, verdict=verdict(content), threshold=0.6, guard=Guard())
    made = shop.repository.try_out(draft, Terms(mode="shadow", share=1.0, by="b", reason="r"), key=shop.key)
    return replace(made, since="1970-01-12T13:46:40+00:00")  # BEGAN


@pytest.fixture(scope="module")
def both(shop, trial):
    return [shop.repository.manifest("toy.UA", sequence) for sequence in (trial.beside, trial.release)]


def batch(manifest, answers, *, role="champion", names=None, copies=(), rows=None, **changed):
    """A batch with one question a row, unless `rows` says how many each has."""
    numbers = np.array(answers, np.float32).reshape(len(answers), -1)
    rows = rows or [1] * len(numbers)
    parts = {
        "at": BEGAN + 1,
        "line": manifest.line,
        "site": manifest.site,
        "version": manifest.version,
        "digest": manifest.digest,
        "ids": names or [f"{role}-{number}" for number in range(len(rows))],
        "keys": [""] * len(rows),
        "rows": rows,
        "input_shape": (1,),
        "values": b"",
        "answers": numbers.tobytes(),
        "role": role,
        "copies": copies,
        "took_s": 0.002,
    }
    return RecordedBatch(**{**parts, **changed})


def of(records, trial, both):
    return figures(gathered(records, trial, both[0].digest), *both)


def test_a_shadow_is_compared_with_the_champion_on_the_rows_that_both_answered(trial, both):
    champion, challenger = both
    nan = float("nan")
    records = [
        batch(champion, [0.1, 0.55, 0.9, nan, 0.7], names=list("abcde"), call_s=0.001),
        batch(challenger, [0.3, 0.55, 0.7, 0.5, nan, 0.2], role="shadow", copies=["a", "b", "c", "d", "e", "gone"]),
    ]
    found = of(records, trial, both)
    assert (found.compared.requests, found.compared.rows) == (5, 3)
    assert found.compared.agreement == pytest.approx(2 / 3)  # at 0.55 they decide otherwise
    assert found.compared.mean_absolute_difference["probability"] == pytest.approx((0.2 + 0 + 0.2) / 3, abs=1e-6)
    assert (found.champion.requests, found.champion.rows, found.champion.abstained) == (5, 5, 1)
    assert found.champion.decisions == {"False": 0.25, "True": 0.75}
    assert (found.challenger.requests, found.challenger.abstained) == (6, 1)
    assert found.challenger.decisions == {"False": 0.8, "True": 0.2}
    assert found.challenger.latency_mean_ms == pytest.approx(2.0)
    assert found.champion.latency_mean_ms == pytest.approx(1.0)
    assert json.loads(json.dumps(asdict(found)))["compared"]["rows"] == 3


def test_what_is_of_another_time_file_site_or_role_does_not_count(trial, both):
    champion, challenger = both
    records = [
        batch(champion, [0.9], at=BEGAN - 1),
        batch(champion, [0.9], digest="0" * 64),
        batch(champion, [0.9], site="DL"),
        batch(champion, [0.9], line="other"),
        batch(challenger, [0.9], role="canary"),
        batch(challenger, [0.9], role="champion"),
        batch(champion, [0.9], role="shadow"),
    ]
    found = of(records, trial, both)
    assert (found.champion.requests, found.challenger.requests, found.compared) == (0, 0, None)
    assert found.challenger.decisions == {}
    assert found.challenger.latency_p95_ms is None


def test_an_error_counts_as_a_request_that_was_not_answered(trial, both):
    challenger = both[1]
    records = [
        batch(challenger, [0.9, 0.2], role="shadow"),
        batch(challenger, [[]], role="shadow", names=["x"], copies=["a"], error="it broke"),
    ]
    found = of(records, trial, both)
    assert (found.challenger.requests, found.challenger.rows, found.challenger.errors) == (3, 2, 1)
    assert found.challenger.error == "it broke"


def test_questions_of_several_rows_are_told_apart(trial, both):
    champion, challenger = both
    records = [
        batch(champion, [0.1, 0.2, 0.3], names=["a", "b"], rows=[1, 2]),
        batch(challenger, [0.4, 0.5, 0.1], role="shadow", rows=[2, 1], copies=["b", "a"]),
    ]
    compared = of(records, trial, both).compared
    assert (compared.requests, compared.rows) == (2, 3)
    assert compared.mean_absolute_difference["probability"] == pytest.approx((0.2 + 0.2 + 0.0) / 3, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=30), st.data())
def test_figures_do_not_depend_on_the_order_of_the_records(trial, both, pairs, data):
    names = [f"p{number}" for number in range(len(pairs))]
    records = [batch(both[0], [one], names=[name]) for name, (one, _) in zip(names, pairs, strict=True)]
    records += [
        batch(both[1], [other], role="shadow", names=[f"s-{name}"], copies=[name])
        for name, (_, other) in zip(names, pairs, strict=True)
    ]
    found = of(data.draw(st.permutations(records)), trial, both)
    assert found.compared.rows == len(pairs)
    wanted = np.mean([(one >= 0.5) == (np.float64(other) >= 0.6) for one, other in pairs])
    assert found.compared.agreement == pytest.approx(wanted)


def test_of_numbers_to_act_on_there_are_no_shares_and_no_agreement(trial, both):
    signature = Signature(task="regression", features=("x",), output="estimate", answers=("estimate", "low", "high"))
    numeric = [replace(one, model_signature=signature, example=(1.0,)) for one in both]
    records = [
        batch(numeric[0], [[10.0, 8.0, 12.0]], names=["a"]),
        batch(numeric[1], [[12.0, 9.0, 12.0]], role="shadow", copies=["a"]),
    ]
    found = of(records, trial, numeric)
    assert found.compared.agreement is None
    assert found.compared.mean_absolute_difference == {"estimate": 2.0, "low": 1.0, "high": 0.0}
    assert found.challenger.decisions == {}
    assert found.challenger.mean_answers["estimate"] == 12.0


def test_too_few_requests_and_any_error_speak_against_a_promotion(trial, both):
    many = batch(both[1], [0.5] * MIN_REQUESTS, role="shadow")
    assert objections(of([many], trial, both)) == []
    few = batch(both[1], [0.5] * (MIN_REQUESTS - 1), role="shadow")
    assert objections(of([few], trial, both)) == [f"it was asked {MIN_REQUESTS - 1} times, needs {MIN_REQUESTS}"]
    failed = batch(both[1], [[]], role="shadow", names=["x"], copies=["a"], error="it broke")
    (told,) = objections(of([many, failed], trial, both))
    assert told == f"1 of {MIN_REQUESTS + 1} requests failed, the last one: it broke"


def test_records_from_a_time_on_are_read_from_the_segments_that_can_hold_them(tmp_path, both):
    early, late = batch(both[0], [0.1], at=BEGAN - 5), batch(both[0], [0.2], at=BEGAN + 5)
    (tmp_path / "1-1-1.log").write_bytes(MAGIC + framed(early))
    (tmp_path / "2-1-1.open").write_bytes(MAGIC + framed(early) + framed(late))
    assert [found.at for found in recorded_since(tmp_path, BEGAN)] == [BEGAN + 5]
    assert list(recorded_since(tmp_path / "none", BEGAN)) == []

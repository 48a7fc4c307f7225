"""Recorded batches become rows of the lake that say all that was recorded, and go back to the same batch."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.model.signature import Signature
from factory.monitoring.prediction_log.files import RecordedBatch, RequestNames
from factory.monitoring.prediction_log.rows import (
    PREDICTION_LOG,
    as_recorded,
    by_name,
    columns,
    not_served,
    recorded_again,
    served_rows,
)
from factory.storage.lake import Lake
from tests.monitoring.recorded import AT, NAN, batch

BINARY = Signature(task="binary", features=("a", "b", "c"), output="probability", answers=("probability",))
ANSWERS = ["probability"]
UA = ("UA", "d" * 64)


def rows_of(*batches, answers=ANSWERS, signatures=None):
    return served_rows(batches, answers, {UA: BINARY} if signatures is None else signatures)


def kept(lake, rows):
    sites = rows["site"].unique().to_list()
    lake.append(PREDICTION_LOG, rows, lake.site_versions(PREDICTION_LOG, sites), widen=True)


def test_each_asked_row_is_a_row_that_says_who_asked_whom_and_what_was_answered():
    about = json.dumps({"part": 7, "decided_at": "2024-02-08T00:00:00+00:00"})
    made = rows_of(
        batch("x", "y", rows=[2, 1], answers=[[0.25], [0.5], [0.75]], keys=["erp", ""], subjects=[about, "", about])
    )
    assert made.select("prediction", "row", "predicted_probability", "asked_by", "subject").rows() == [
        ("x", 0, 0.25, "erp", about),
        ("x", 1, 0.5, "erp", None),
        ("y", 0, 0.75, None, about),
    ]
    first = made.row(0, named=True)
    assert (first["site"], first["version"], first["digest"], first["role"], first["told"]) == (
        *UA[:1],
        3,
        UA[1],
        "champion",
        True,
    )
    assert first["answered_at"].timestamp() == AT
    assert (first["took_s"], first["copy_of"], first["error"]) == (0.002, None, None)
    assert made["inputs"].to_list() == [[0.0, None, 3.0], [1.0, None, 3.0], [2.0, None, 3.0]]
    assert made["unknown"].to_list() == [1, 1, 1]
    assert made["answers"].to_list() == [[0.25], [0.5], [0.75]]
    assert dict(made.schema) == {name: kind for name, (kind, _) in columns(ANSWERS).items()}


def test_what_clients_call_their_requests_stands_beside_each_row_and_comes_back_from_the_lake(tmp_path):
    named = RequestNames("order 7", "r-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b")
    made = rows_of(batch("x", "y", rows=[2, 1], names=[named, RequestNames()], call_s=0.001))
    columns_of_names = ["request_id", "x_request_id", "trace_parent", "trace_state"]
    assert made.select(columns_of_names).rows() == [tuple(named)] * 2 + [(None,) * 4]
    assert made["call_s"].to_list() == [0.001] * 3
    assert as_recorded("toy", made[:2]).names == [named]
    assert as_recorded("toy", made[2:].drop(columns_of_names)).names == ()


def test_a_row_that_was_not_answered_has_no_answer_and_keeps_what_was_asked():
    made = rows_of(batch("x", rows=[2], answers=[[NAN], [0.5]]))
    assert made["predicted_probability"].to_list() == [None, 0.5]
    assert made["answers"].to_list() == [[None], [0.5]]
    assert made["inputs"].null_count() == 0


def test_a_trial_that_failed_is_a_row_a_question_with_the_reason_and_nobody_was_told():
    made = rows_of(
        batch("s", rows=[2], role="canary", copies=["x"], error="it broke"),
        batch("t", role="shadow", copies=["x"], answers=[[0.5]]),
    )
    assert made.select("prediction", "row", "role", "told", "copy_of", "error", "predicted_probability").rows() == [
        ("s", 0, "canary", False, "x", "it broke", None),
        ("s", 1, "canary", False, "x", "it broke", None),
        ("t", 0, "shadow", False, "x", None, 0.5),
    ]
    assert made["inputs"].to_list()[:2] == [None, None]
    assert made["unknown"].to_list()[:2] == [None, None]


def test_a_release_with_other_features_and_answers_stands_beside_the_others():
    other = Signature(task="multiclass", features=("a", "z"), output="p", answers=("no", "probability"))
    made = rows_of(
        batch("x", answers=[[0.25]]),
        batch("y", digest="e" * 64, inputs=[[1.0, 2.0]], answers=[[0.125, 0.875]]),
        batch("z", digest="f" * 64, inputs=[[1.0]], answers=[[0.5]]),
        signatures={UA: BINARY, ("UA", "e" * 64): other},
    )
    assert made["predicted_probability"].to_list() == [0.25, 0.875, None]
    assert made["answers"].to_list() == [[0.25], [0.125, 0.875], [0.5]]
    assert by_name(made[1:2], other).rows(named=True) == [{"a": 1.0, "z": 2.0}]
    assert by_name(made[:1], BINARY).rows(named=True) == [{"a": 0.0, "b": None, "c": 3.0}]


def test_of_a_sequence_the_last_step_has_names():
    sequence = dataclasses.replace(BINARY, steps=2)
    made = rows_of(batch("x", inputs=[[[1.0, 2.0, 3.0], [4.0, NAN, 6.0]]]), signatures={UA: sequence})
    assert made["inputs"].to_list() == [[1.0, 2.0, 3.0, 4.0, None, 6.0]]
    assert by_name(made, sequence).rows() == [(4.0, None, 6.0)]


def test_what_is_recorded_twice_is_one_row():
    assert len(rows_of(batch("x", "y"), batch("y", "z"))) == 3


def test_of_rows_only_those_that_the_lake_has_not_are_new(tmp_path):
    lake = Lake(tmp_path, "toy")
    first = rows_of(batch("x", "y"))
    assert not_served(first, lake).equals(first)
    kept(lake, first)
    both = rows_of(batch("x", "y"), batch("z", at=AT + 5))
    assert not_served(both, lake)["prediction"].to_list() == ["z"]
    assert len(not_served(rows_of(batch("x", site="DL")), lake)) == 1


def test_a_line_whose_answers_are_others_now_goes_on_in_the_same_table(tmp_path):
    lake = Lake(tmp_path, "toy")
    kept(lake, rows_of(batch("x")))
    kept(lake, rows_of(batch("y", at=AT + 1), answers=["probability", "maybe"]))
    found = lake.scan(PREDICTION_LOG).sort("answered_at").collect()
    assert found["predicted_probability"].to_list() == [0.25, 0.25]
    assert found["predicted_maybe"].to_list() == [None, None]


numbers = st.floats(width=32, allow_infinity=False)


@given(st.data())
def test_of_rows_one_can_make_the_batch_that_was_recorded(data):
    rows, features, answers = (data.draw(st.integers(1, 3)) for _ in range(3))
    recorded = batch(
        "x",
        rows=[rows],
        inputs=[data.draw(st.lists(numbers, min_size=features, max_size=features)) for _ in range(rows)],
        answers=[data.draw(st.lists(numbers, min_size=answers, max_size=answers)) for _ in range(rows)],
        keys=[data.draw(st.sampled_from(["", "erp"]))],
        role=data.draw(st.sampled_from(["champion", "canary", "shadow"])),
        copies=data.draw(st.sampled_from([(), ["c"]])),
        subjects=data.draw(st.sampled_from([(), ["{}"] * rows])),
    )
    again = as_recorded("toy", rows_of(recorded)[::-1])
    np.testing.assert_array_equal(again.inputs(), recorded.inputs())
    np.testing.assert_array_equal(again.outputs(), recorded.outputs())
    told = {name: getattr(again, name) for name in RecordedBatch.__struct_fields__ if name not in ("values", "answers")}
    assert told == {name: getattr(recorded, name) for name in told}


def test_a_trial_that_failed_comes_back_with_its_reason(tmp_path):
    lake = Lake(tmp_path, "toy")
    assert recorded_again(lake, "s") is None
    kept(lake, rows_of(batch("s", role="canary", copies=["x"], error="it broke")))
    assert recorded_again(lake, "nobody") is None
    again = recorded_again(lake, "s")
    assert (again.error, again.told, again.values, list(again.copies)) == ("it broke", False, b"", ["x"])


@pytest.mark.parametrize("at", [1_700_000_000.123456, 1_764_042_289.999999])
def test_the_moment_of_an_answer_is_kept_to_the_microsecond(at):
    assert rows_of(batch("x", at=at))["answered_at"][0].timestamp() == pytest.approx(at, abs=1e-6)

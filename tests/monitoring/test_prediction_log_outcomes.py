"""Of what the gateway told, the decisions whose rows the door knew: with their key, answers and threshold."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from factory.monitoring.outcomes import delivered_decisions
from factory.monitoring.prediction_log.rows import served_rows
from tests.monitoring.recorded import NAN, batch
from tests.toy.line import toy_line

DIGEST = "d" * 64
AT = datetime(2024, 2, 8, 6, 30, 0, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def line():
    return toy_line()


def about(part, at=AT):
    return json.dumps({"part": part, "decided_at": at.isoformat()})


def told(line, *batches, thresholds=None, zone="UTC"):
    rows = served_rows(batches, line.task.answers, {("UA", DIGEST): line.signature})
    schema = {"site": pl.String(), "part": pl.Int64(), "decided_at": pl.Datetime("us", zone), "label": pl.Float64()}
    return delivered_decisions(line, rows.lazy(), schema, {DIGEST: 0.4} if thresholds is None else thresholds)


def test_each_row_that_the_door_knew_is_a_decision_with_its_key_and_the_threshold_of_its_model(line):
    made = told(line, batch("x", "y", rows=[2, 1], answers=[[0.25], [0.5], [0.75]], subjects=[about(7), "", about(8)]))
    assert made.select(
        "site", "part", "decided_at", "predicted_probability", "threshold", "prediction", "row"
    ).rows() == [
        ("UA", 7, AT, 0.25, 0.4, "x", 0),
        ("UA", 8, AT, 0.75, 0.4, "y", 0),
    ]
    assert set(made["digest"]) == {DIGEST}


def test_what_nobody_was_told_and_what_was_not_answered_was_not_decided(line):
    known = {"subjects": [about(7)], "answers": [[0.5]]}
    made = told(
        line,
        batch("champion", **known),
        batch("canary", role="canary", **known),
        batch("shadow", role="shadow", copies=["champion"], **known),
        batch("failed", role="canary", error="it broke", copies=["champion"], subjects=[about(7)]),
        batch("abstained", subjects=[about(7)], answers=[[NAN]]),
    )
    assert sorted(made["prediction"]) == ["canary", "champion"]
    assert sorted(made["role"]) == ["canary", "champion"]


def test_a_model_whose_release_is_gone_has_no_threshold_and_so_no_decision(line):
    assert told(line, batch("x", subjects=[about(7)]), thresholds={}).is_empty()


def test_moments_without_a_zone_are_read_as_the_line_has_them(line):
    made = told(line, batch("x", subjects=[about(7, AT.replace(tzinfo=None))]), zone=None)
    assert made["decided_at"].to_list() == [AT.replace(tzinfo=None)]

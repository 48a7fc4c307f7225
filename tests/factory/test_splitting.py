"""Invariant 5: splits are by time."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from factory.splitting import TimeSplit

UNTIL = datetime(2013, 5, 1)
SPLIT = TimeSplit(holdout_days=30, validation_days=14, train_days=76)


def rows(days, labels=None):
    moments = [UNTIL.replace(tzinfo=UTC) + timedelta(days=day) for day in days]
    return pl.DataFrame(
        {
            "site": ["A"] * len(days),
            "decided_at": moments,
            "label": labels or [1.0] * len(days),
            "x": [float(d) for d in days],
        },
        schema={"site": pl.String, "decided_at": pl.Datetime("us", "UTC"), "label": pl.Float32, "x": pl.Float32},
    )


@given(st.lists(st.floats(-200, 10), min_size=1, max_size=50))
def test_nothing_in_training_is_later_than_anything_judged(days):
    parts = SPLIT.divided(rows(days), UNTIL, ["x"])
    ordered = [part["decided_at"] for part in (parts.train, parts.validation, parts.holdout)]
    for earlier, later in [(0, 1), (1, 2), (0, 2)]:
        if len(ordered[earlier]) and len(ordered[later]):
            assert ordered[earlier].max() < ordered[later].min()
    assert all(len(part) == 0 or part.max() < UNTIL.replace(tzinfo=UTC) for part in ordered)


def test_a_row_without_an_outcome_is_in_no_window():
    parts = SPLIT.divided(rows([-1, -2], [None, 0.0]), UNTIL, ["x"])
    assert len(parts.holdout) == 1

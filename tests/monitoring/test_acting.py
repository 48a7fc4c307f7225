"""Decisions that are acted on, and held out: what is known of them, and what their outcomes count for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import LineError
from factory.line.outcomes import Outcomes
from factory.monitoring.acting import live_performance, weights, with_acting, without_acted_on
from factory.monitoring.messages import decided
from factory.monitoring.outcomes import outcomes
from factory.tasks import Regression
from tests.toy.line import toy_line

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
DIGEST = "d" * 64


def line(acted_on="hold_out", share=0.25):
    return replace(toy_line(), outcomes=Outcomes(acted_on=acted_on, hold_out_share=share))


def predictions(rows, *, chance=0.9, version=1, first=0):
    return pl.DataFrame(
        {
            "site": ["north"] * rows,
            "part": range(first, first + rows),
            "decided_at": [FIRST + timedelta(minutes=number) for number in range(rows)],
            "predicted_probability": pl.Series([chance] * rows, dtype=pl.Float32),
            "threshold": [0.5] * rows,
            "version": [version] * rows,
            "digest": [DIGEST] * rows,
        }
    )


def features(made, label):
    labels = pl.Series("label", [label] * len(made) if label is None or np.isscalar(label) else label, dtype=pl.Float32)
    return made.select("site", "part", "decided_at").with_columns(labels)


def test_about_the_share_is_held_out_the_same_whoever_asks_and_in_whatever_order():
    made = predictions(4000)
    acting = with_acting(line(), made, features(made, None))
    assert acting["held_out"].mean() == pytest.approx(0.25, abs=0.03)
    assert (acting["held_out"] ^ acting["acted_on"]).all()
    again = with_acting(line(), made.reverse(), features(made.reverse(), None)).reverse()
    assert acting.equals(again)
    more = with_acting(line(share=0.5), made, features(made, None))
    assert (more["held_out"] | ~acting["held_out"]).all()  # a greater share holds out those of a smaller one too


def test_what_calls_for_nothing_or_was_known_before_is_neither_acted_on_nor_held_out():
    calm, late = predictions(50, chance=0.1), predictions(50)
    for made, label in ((calm, None), (late, 1.0)):
        acting = with_acting(line(), made, features(made, label))
        assert not acting["acted_on"].any()
        assert not acting["held_out"].any()
        assert weights(line(), acting).to_list() == [1.0] * 50


@given(st.integers(0, 2**32), st.floats(0.1, 0.5))
def test_weighted_worths_estimate_what_acting_on_nobody_would_have_shown(seed, share):
    """A world in which acting prevents each fault: the naive estimate sees false alarms, the held-out one the truth."""
    asked = line(share=share)
    made = predictions(3000, first=seed % 10**9)
    acting = with_acting(asked, made, features(made, None))
    fault = np.random.default_rng(seed).uniform(size=len(made)) < 0.8
    seen = (fault & ~acting["acted_on"].to_numpy()).astype(float)
    known = outcomes(asked, acting, features(made, seen), {DIGEST: 0.0})
    truth = outcomes(line("as_labelled"), made, features(made, fault.astype(float)), {DIGEST: 0.0})
    held = known.filter("held_out")
    assert known["value_eur"].sum() == pytest.approx(held["value_eur"].sum())
    spread = 12 * np.sqrt(len(made) * 40 / share)  # of a sum of so many draws, five standard errors and more
    assert abs(known["value_eur"].sum() - truth["value_eur"].sum()) < spread
    naive = outcomes(line("as_labelled"), acting, features(made, seen), {DIGEST: 0.0})
    assert naive["value_eur"].sum() < truth["value_eur"].sum()


def test_of_left_out_decisions_nothing_is_counted_and_nothing_learnt():
    asked = line("left_out")
    made = pl.concat([predictions(20), predictions(20, chance=0.1, first=20)])
    acting = with_acting(asked, made, features(made, None))
    assert not acting["held_out"].any()
    rows = features(made, 1.0)
    known = outcomes(asked, acting, rows, {DIGEST: 0.0})
    assert known["weight"].to_list() == [0.0] * 20 + [1.0] * 20
    assert known.head(20)["value_eur"].abs().sum() == 0
    learnt = without_acted_on(asked, rows, acting)
    assert learnt["label"].to_list() == [None] * 20 + [1.0] * 20
    assert without_acted_on(line("as_labelled"), rows, acting).equals(rows)


def test_what_the_gateway_answered_is_taken_for_acted_on_where_it_calls_for_that():
    made = pl.concat([predictions(3), predictions(3, chance=0.1, first=3)])
    assert weights(line(), made).to_list() == [0.0] * 3 + [1.0] * 3


def test_live_performance_tells_known_and_overdue_outcomes_of_each_version():
    made = pl.concat([predictions(10), predictions(5, version=2, first=10)])
    known = outcomes(line("as_labelled"), made, features(made, 1.0).head(8), {DIGEST: 0.0})
    told = live_performance(line("as_labelled"), made, known, pl.lit(FIRST + timedelta(days=1)), "value_eur")
    assert told == {
        "version 1": "10 decisions, 8 outcomes known, 2 overdue, 15.00 EUR each",
        "version 2": "5 decisions, 0 outcomes known, 5 overdue",
    }


def test_a_share_that_holds_nobody_or_most_out_is_refused_and_so_is_an_estimate():
    for share in (0.0, 0.6):
        with pytest.raises(LineError, match=r"must be above 0 and at most 0\.5"):
            Outcomes(acted_on="hold_out", hold_out_share=share)
    with pytest.raises(LineError, match="every estimate is acted on"):
        replace(line(), task=Regression(), value=Regression.value(under_unit_eur=-1, over_unit_eur=-1))


def test_a_sink_is_told_to_act_on_none_that_is_held_out():
    made = predictions(400)
    acting = with_acting(line(), made, features(made, None))
    told = decided(line(), acting)
    assert told["acts"].to_list() == acting["acted_on"].to_list()
    assert decided(line(), made)["acts"].all()

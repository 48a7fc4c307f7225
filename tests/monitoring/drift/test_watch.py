"""An alert is rare, comes once, says what moved and what is at stake, and keeps quiet after a retraining."""

from datetime import timedelta
from fractions import Fraction
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.line.drift import Limits
from factory.monitoring.drift.alerts import DecisionValue, SiteState, discovered, watched
from factory.monitoring.drift.measure import Shift, measured
from tests.monitoring.drift.builders import COLUMNS, START, profiles, week


def moved(site="east", feature="force", *, effect=0.5, p_value=1e-9, rows=280, measure="distribution"):
    share = (0.5, 0.5) if measure == "distribution" else (10.0,) if measure == "value" else (0.1,)
    return Shift(
        site=site,
        feature=feature,
        measure=measure,
        effect=effect,
        ks=0.3,
        p_value=p_value,
        rows=rows,
        was=share,
        now=share[::-1],
    )


def walk(windows, limits=None, state=None, first=0):
    """The alerts of each week in turn, and the state at the end."""
    states, told = {"east": state} if state else {}, []
    for number, shifts in enumerate(windows, first):
        states, found = watched(states, shifts, at=START + timedelta(days=7 * number), limits=limits or Limits())
        told.append(found)
    return told, states


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ([1], [0]),
        ([1, 1], [0, 1]),
        ([1, 0, 1], [0, 0, 1]),
        ([1, 0, 0, 1], [0, 0, 0, 0]),
    ],
)
def test_a_feature_must_have_moved_in_two_of_three_windows(windows, told):
    found, _ = walk([[moved()] if here else [moved(effect=0, p_value=0.5)] for here in windows])
    assert [len(alerts) for alerts in found] == told


def test_two_features_that_moved_once_each_are_not_one_that_moved_twice():
    found, _ = walk([[moved(feature="force")], [moved(feature="speed")]])
    assert found == [[], []]


@pytest.mark.parametrize(
    "shift",
    [
        moved(effect=0.09),
        moved(p_value=0.2),
        moved(rows=19),
        moved(measure="nulls", effect=0.04),
        moved(measure="value", effect=1.9),
    ],
    ids=["small", "noise", "few rows", "few nulls", "little money"],
)
def test_what_is_small_or_may_be_noise_is_no_alert(shift):
    assert walk([[shift]] * 3)[0] == [[], [], []]


@pytest.mark.parametrize("measure", ["distribution", "nulls", "value"])
def test_each_measure_alone_can_raise_an_alert(measure):
    found, _ = walk([[moved(measure=measure, effect=3)]] * 2)
    assert [shift.measure for shift in found[1][0].shifts] == [measure]


def test_after_an_alert_and_after_a_retraining_it_is_quiet_for_a_while():
    limits = Limits(quiet_days=20)
    found, _ = walk([[moved()]] * 6, limits)
    assert [len(alerts) for alerts in found] == [0, 1, 0, 0, 1, 0]
    found, _ = walk([[moved()]] * 4, limits, state=SiteState().retrained(START, limits))
    assert [len(alerts) for alerts in found] == [0, 0, 0, 1]


def test_a_retraining_forgets_what_moved_before():
    limits = Limits(quiet_days=0)
    _, states = walk([[moved()]], limits)
    found, _ = walk([[moved()]], limits, state=states["east"].retrained(START, limits), first=1)
    assert found == [[]]


def test_a_dry_run_tells_and_does_not_act_and_disabled_remembers_nothing():
    found, _ = walk([[moved()]] * 2, Limits(mode="dry_run"))
    assert [alert.acts for alert in found[1]] == [False]
    found, states = walk([[moved()]] * 2, Limits(mode="disabled"))
    assert (found, states) == ([[], []], {})


def test_one_alert_a_site_says_what_moved_farthest_first_and_the_money_at_stake():
    shifts = [moved(feature="speed", effect=0.2), moved(feature="force", effect=0.9), moved("west", effect=0.3)]
    states, _ = watched({}, shifts, at=START, limits=Limits())
    values = {"east": DecisionValue(value_per_decision_eur=2.5, decisions=400)}
    _, alerts = watched(states, shifts, at=START + timedelta(days=7), limits=Limits(), values=values)
    east, west = alerts
    assert (east.site, west.site) == ("east", "west")
    assert [shift.feature for shift in east.shifts] == ["force", "speed"]
    assert east.at_risk_eur == 1000
    assert "1,000 EUR a window" in east.text
    assert east.text.index("force") < east.text.index("speed")
    assert west.at_risk_eur is None
    assert "EUR" not in west.text


def test_the_picture_is_an_svg_whatever_a_feature_is_called():
    found, _ = walk([[moved(feature="<a&b>" * 9), moved(measure="nulls"), moved(measure="value", effect=9)]] * 2)
    drawn = ElementTree.fromstring(found[1][0].picture)  # noqa: S314  our own text
    assert drawn.tag.endswith("svg")
    assert len(drawn.findall("{*}rect")) == 2 * (2 + 1 + 1)
    assert "<a&b>" in "".join(drawn.itertext())


def by_definition(p_values, share):
    """Which are discoveries, in exact numbers: with k the largest for which the kth smallest is at most k/m · share."""
    ordered = sorted(range(len(p_values)), key=p_values.__getitem__)
    passing = [k for k, n in enumerate(ordered, 1) if p_values[n] * len(p_values) <= k * share]
    return set(ordered[: max(passing, default=0)])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.001, 0.5))
def test_discoveries_are_those_of_benjamini_and_hochberg(p_values, share):
    found = discovered([moved(feature=str(n), p_value=p) for n, p in enumerate(p_values)], share)
    exact = [Fraction(p) for p in p_values]
    sure = by_definition(exact, Fraction(share) * (1 - Fraction(1, 10**9)))
    maybe = by_definition(exact, Fraction(share) * (1 + Fraction(1, 10**9)))
    assert sure <= {int(shift.feature) for shift in found} <= maybe
    assert [shift.p_value for shift in found] == sorted(shift.p_value for shift in found)


def test_a_p_value_that_is_no_number_is_no_discovery_and_hides_none():
    nowhere = moved(feature="still", p_value=float("nan"))
    assert [shift.feature for shift in discovered([nowhere, moved(), nowhere], 0.05)] == ["force"]


def test_one_moved_feature_in_a_thousand_quiet_ones_is_found_and_the_quiet_ones_are_not():
    quiet = [moved(feature=str(n), effect=0.5, p_value=(n + 1) / 1000) for n in range(1000)]
    assert [shift.feature for shift in discovered([*quiet, moved()], 0.05)] == ["force"]


def test_from_rows_to_alert_a_machine_that_drifts_is_told_of_and_its_neighbour_is_not():
    sites = ("east", "west")
    reference, states, told = profiles(sites=sites), {}, []
    for number in range(3):
        window = week(seed=5 + number, number=number, sites=sites)
        drifting = pl.when(pl.col("site") == "east").then(pl.col("force") + 1.0).otherwise("force").alias("force")
        shifts = measured(window.with_columns(drifting).lazy(), COLUMNS, reference)
        states, alerts = watched(states, shifts, at=START + timedelta(days=98 + 7 * number), limits=Limits())
        told += alerts
    assert {alert.site for alert in told} == {"east"}
    assert {shift.feature for alert in told for shift in alert.shifts} == {"force"}

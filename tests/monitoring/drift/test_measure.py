"""Shifts of known size are measured as what they are, and noise as noise, however alike the rows of a day are."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.monitoring.drift.counting import Columns, counted
from factory.monitoring.drift.measure import measured
from factory.monitoring.drift.profile import Profile, reference_profiles
from tests.monitoring.drift.builders import COLUMNS, FEATURES, profiles, rows, week


@pytest.fixture(scope="module")
def reference():
    return profiles()


def shift(window, reference, feature, measure="distribution"):
    found = measured(window.lazy(), COLUMNS, reference)
    (one,) = [each for each in found if (each.feature, each.measure) == (feature, measure)]
    return one


def test_a_profile_comes_back_from_json_as_it_was(reference):
    again = Profile.from_dict(json.loads(json.dumps(reference["east"].to_dict())))
    assert again == reference["east"]


def test_a_window_like_the_reference_has_no_effect_above_noise(reference):
    for found in measured(week().lazy(), COLUMNS, reference):
        assert found.p_value > 0.001, found
        assert found.effect < (10 if found.measure == "value" else 0.1), found


@pytest.mark.parametrize(("size", "at_least"), [(0.5, 0.1), (1.0, 0.5), (2.0, 2.0)])
def test_the_larger_a_shift_the_larger_its_effect_and_the_smaller_its_p_value(size, at_least):
    reference = profiles(alike=0.05)
    moved = shift(week(alike=0.05).with_columns(pl.col("force") + size), reference, "force")
    assert moved.effect > at_least
    assert moved.p_value < 0.01
    assert 0 < moved.ks < 1
    assert sum(moved.now) == pytest.approx(1)


def test_a_feature_that_went_unknown_is_told_by_its_nulls_and_not_as_another_distribution(reference):
    lost = week().with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then("force").alias("force"))
    nulls = shift(lost, reference, "force", "nulls")
    assert nulls.effect == pytest.approx(0.5)
    assert nulls.p_value < 1e-6
    assert shift(lost, reference, "force").effect < 0.1


def test_a_feature_that_was_constant_and_is_no_longer_is_found():
    still = rows().with_columns(force=pl.lit(3.0))
    reference = reference_profiles(still.lazy(), COLUMNS)
    same = shift(week().with_columns(force=pl.lit(3.0)), reference, "force")
    assert (same.effect, same.p_value > 0.5) == (pytest.approx(0, abs=0.05), True)
    for value in (2.9, 3.1):
        moved = shift(week().with_columns(force=pl.lit(value)), reference, "force")
        assert moved.effect > 1
        assert moved.p_value < 1e-6


def test_a_feature_never_known_before_is_told_by_its_nulls():
    reference = reference_profiles(rows().with_columns(force=pl.lit(None, pl.Float64)).lazy(), COLUMNS)
    assert shift(week(), reference, "force", "nulls").effect == 1.0


def test_not_a_number_and_the_infinities_count_as_unknown(reference):
    broken = week().with_columns(force=pl.lit(float("nan")), speed=pl.lit(float("inf")))
    for feature in ("force", "speed"):
        assert shift(broken, reference, feature, "nulls").now == (1.0,)


def test_decisions_that_are_worth_less_are_found_and_those_worth_more_are_not(reference):
    less = shift(week().with_columns(pl.col("value_eur") - 8), reference, "value", "value")
    assert less.effect == pytest.approx(8, abs=3)
    assert less.p_value < 0.01
    more = shift(week().with_columns(pl.col("value_eur") + 8), reference, "value", "value")
    assert (more.effect, more.p_value > 0.5) == (0, True)


def test_value_waits_for_outcomes(reference):
    waiting = week().with_columns(value_eur=pl.lit(None, pl.Float64))
    assert "value" not in {found.measure for found in measured(waiting.lazy(), COLUMNS, reference)}


def test_a_site_without_rows_or_without_a_profile_is_not_judged():
    reference = profiles(sites=("east", "west"))
    assert {found.site for found in measured(week(sites=("west", "south")).lazy(), COLUMNS, reference)} == {"west"}


def test_a_site_with_rows_on_too_few_days_has_no_profile():
    assert reference_profiles(rows(days=13).lazy(), COLUMNS) == {}
    assert set(reference_profiles(rows(days=14).lazy(), COLUMNS)) == {"east"}


def test_sites_do_not_colour_each_other():
    both = rows(sites=("east", "west"))
    alone = reference_profiles(both.filter(pl.col("site") == "west").lazy(), COLUMNS)
    assert reference_profiles(both.lazy(), COLUMNS)["west"] == alone["west"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.floats(-5, 5) | st.sampled_from([float("nan"), float("inf")]), min_size=1, max_size=40))
def test_every_row_is_in_one_bin_or_unknown(values):
    frame = week(per_day=6)
    column = pl.Series([values[place % len(values)] for place in range(len(frame))], dtype=pl.Float64)
    columns = Columns(features=("force",))
    found = counted(frame.with_columns(force=column).lazy(), columns, {"east": {"force": (-1.0, 0.0, 2.0)}})["east"]
    known = [value for value in column if value is not None and np.isfinite(value)]
    assert found.rows.sum() == len(frame)
    assert (found.bins["force"] >= 0).all()
    expected = np.histogram(known, [-np.inf, np.nextafter(-1, 9), np.nextafter(0, 9), np.nextafter(2, 9), np.inf])[0]
    assert found.bins["force"].sum(0).tolist() == expected.tolist()


def test_p_values_are_honest_though_rows_of_a_day_are_alike():
    """Naive chi-squares would all be near nought here: a week of 280 rows is seven days, not 280 independent rows."""
    names = tuple(f"f{number}" for number in range(40))
    columns, rng = Columns(features=names), np.random.default_rng(3)

    def alike(days, first_day):
        frame = rows(days=days, first_day=first_day)
        common = np.repeat(rng.normal(size=(days, 40)), 40, 0)
        values = 0.8 * common + 0.6 * rng.normal(size=common.shape)
        return frame.select("site", "decided_at").hstack(pl.DataFrame(values, schema=list(names)))

    reference = reference_profiles(alike(91, 0).lazy(), columns)
    found = [
        each.p_value
        for number in range(5)
        for each in measured(alike(7, 91 + 7 * number).lazy(), columns, reference)
        if each.measure == "distribution"
    ]
    assert len(found) == 200
    assert np.mean(np.array(found) < 0.05) <= 0.10
    assert np.mean(np.array(found) < 0.001) <= 0.01
    assert np.mean(np.array(found) < 0.3) >= 0.1  # cautious, not blind


def test_features_are_watched_in_the_order_of_the_line(reference):
    assert tuple(reference["east"].shapes) == FEATURES

"""Freshness by site: each site's newest row against the line's limit."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import LineError
from factory.line.freshness import Freshness

NOW = datetime(2024, 3, 1)
AGES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1000))


@given(AGES, st.floats(0.1, 900))
def test_a_site_is_named_exactly_if_its_newest_row_is_older_than_the_limit_whatever_the_others_are(ages, limit):
    newest = {site: NOW - timedelta(hours=age) for site, age in ages.items()}
    stale = Freshness(stale_after_hours=limit).stale(newest, newest, NOW)
    assert set(stale) == {site for site, moment in newest.items() if NOW - moment > timedelta(hours=limit)}


def test_a_site_without_a_row_is_named_and_one_that_is_not_asked_about_is_not():
    stale = Freshness(stale_after_hours=24).stale({"gone": datetime(2020, 1, 1)}, ["new"], NOW)
    assert stale == {"new": "has delivered no row yet"}


def test_the_sentence_says_when_how_old_and_which_limit():
    stale = Freshness(stale_after_hours=72).stale({"east": datetime(2024, 2, 1)}, ["east"], NOW)
    assert stale["east"] == (
        "its newest row is of 2024-02-01 00:00 UTC, 696 hours before 2024-03-01 00:00; the limit is 72 hours"
    )


def test_without_a_limit_nothing_is_stale():
    assert Freshness().stale({}, ["east"], NOW) == {}


@pytest.mark.parametrize("hours", [0, -1])
def test_a_limit_that_everything_would_break_is_refused(hours):
    with pytest.raises(LineError, match="stale_after_hours"):
        Freshness(stale_after_hours=hours)

"""Weeks that drift is judged by."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from factory.monitoring.drift.alerts import WEEK, whole_weeks

MOMENTS = st.datetimes(min_value=datetime(1960, 1, 1), max_value=datetime(2040, 1, 1))


@given(MOMENTS, st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=100)))
def test_weeks_begin_on_mondays_lie_within_and_none_is_left_out(since, span):
    found = whole_weeks(since, since + span)
    assert all(week.weekday() == 0 and week.time() == datetime.min.time() for week in found)
    assert all(week >= since and week + WEEK <= since + span for week in found)
    assert not found or (found[0] - since < WEEK and since + span - (found[-1] + WEEK) < WEEK)
    assert found or span < 2 * WEEK


@given(MOMENTS, st.integers(0, 60), st.integers(0, 60))
def test_judging_in_two_parts_judges_the_same_weeks(since, first, second):
    middle = whole_weeks(since, since + timedelta(days=first))
    reached = middle[-1] + WEEK if middle else since
    end = since + timedelta(days=first + second)
    assert middle + whole_weeks(reached, end) == whole_weeks(since, end)

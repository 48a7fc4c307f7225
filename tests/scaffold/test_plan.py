"""Promises of what a new line begins with."""

from hypothesis import given
from hypothesis import strategies as st

from factory.scaffold.plan import schedule_of


@given(st.integers(10, 2_000_000), st.integers(0, 1_000_000))
def test_more_rows_never_train_for_fewer_steps_or_see_less_of_themselves(rows, more):
    few, many = schedule_of(rows), schedule_of(rows + more)
    assert many["max_steps"] >= few["max_steps"]
    assert many["batch_rows"] >= few["batch_rows"]
    for schedule, count in ((few, rows), (many, rows + more)):
        assert schedule["max_steps"] * schedule["batch_rows"] >= 8 * count
        assert schedule["max_steps"] >= schedule["patience"] * schedule["validate_every"]

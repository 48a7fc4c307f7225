"""A check is kept exactly when its limit is, says why exactly when it is not, and cannot contradict itself."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.model.check import Check, readable, reasons

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
MADE = {"at_least": Check.at_least, "at_most": Check.at_most}
CHECKS = st.builds(
    lambda bound, found, limit, mode: MADE[bound]("rows", found, limit, code="enough_rows", mode=mode),
    st.sampled_from(list(MADE)),
    NUMBERS | st.none(),
    NUMBERS,
    st.sampled_from(["dry_run", "enabled"]),
) | st.builds(
    lambda found: Check.nothing("failures", found, code="contract", reason=f"broken: {found}"), st.text() | st.none()
)


@given(found=NUMBERS, limit=NUMBERS)
def test_a_limit_is_kept_where_the_figure_is_on_its_side_of_it_or_just_there(found, limit):
    assert Check.at_least("rows", found, limit, code="x").kept is (found >= limit)
    assert Check.at_most("rows", found, limit, code="x").kept is (found <= limit)


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, "many"])
@pytest.mark.parametrize("made", MADE.values())
def test_what_was_not_measured_keeps_no_limit_and_says_so(made, bad):
    check = made("parity_error", bad, 0.5, code="x")
    assert (check.kept, check.found) == (False, None)
    assert "parity error could not be measured" in check.reason


@given(CHECKS)
def test_a_check_says_why_exactly_where_it_is_not_kept_and_survives_json(check):
    assert bool(check.reason) is not check.kept
    assert Check.from_dict(json.loads(json.dumps(dataclasses.asdict(check), allow_nan=False))) == check


@given(CHECKS)
def test_a_check_cannot_be_turned_round(check):
    with pytest.raises(ValueError, match=f"check {check.code} of {check.figure}"):
        dataclasses.replace(check, kept=not check.kept, reason="why not" if check.kept else "")
    with pytest.raises(ValueError, match="with the reason"):
        dataclasses.replace(check, reason="" if check.reason else "why not")


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("made", MADE.values())
def test_a_limit_that_is_no_number_is_no_check(made, limit):
    with pytest.raises(ValueError, match="say a finite number"):
        made("rows", 5, limit, code="x")


def test_a_gates_own_sentence_is_told_only_against_the_candidate():
    assert Check.at_least("rows", 5, 9, code="x", reason="too few").reason == "too few"
    assert Check.at_least("rows", 9, 9, code="x", reason="too few").reason == ""
    assert Check.nothing("failures", "a rule", code="x", reason="broken").reason == "broken"


def test_only_what_is_enabled_and_not_kept_is_a_reason():
    checks = [
        Check.at_least("rows", 5, 9, code="a", reason="too few"),
        Check.at_least("rows", 9, 9, code="b", reason="never told"),
        Check.at_most("size_mb", 9, 5, code="c", mode="dry_run", reason="too large"),
        Check.at_most("size_mb", 9, 5, code="d"),
    ]
    assert reasons(checks) == ("too few", "size in MB is 9, limit 5")
    assert reasons(checks, "dry_run") == ("too large",)


def test_a_figures_name_is_read_with_its_unit():
    names = ("value_eur", "latency_ms", "size_mb", "average_precision")
    assert [readable(name) for name in names] == ["value in EUR", "latency in ms", "size in MB", "average precision"]

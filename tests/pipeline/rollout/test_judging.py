"""Whether a wave goes on: every reason, with what was found and its limit."""

import pytest

from factory.pipeline.rollout.judging import Limits, Outcome, reasons_against, value_change_eur


def site(kind="takes", *, counted=True, replaces=True, value=100.0, champion=100.0, name="A"):
    return Outcome(
        site=name, kind=kind, counted=counted, replaces=replaces, value_eur=value, champion_value_eur=champion
    )


def told(*outcomes, **limits):
    return [(reason.figure, reason.found, reason.limit) for reason in reasons_against(outcomes, Limits(**limits))]


def test_a_wave_that_keeps_its_limits_goes_on():
    assert told(site(), site("serves"), site(value=130.0)) == []


@pytest.mark.parametrize("kind", ["refused", "failed"])
def test_too_large_a_share_of_refused_and_failed_sites_halts(kind):
    assert told(site(kind), site(), site(), site()) == []  # a quarter is the limit
    assert told(site(kind), site(), site()) == [("refused_share", pytest.approx(1 / 3), 0.25)]
    assert told(site(kind), site(), site(), max_refused=0.5) == []


def test_a_site_that_serves_nothing_loses_nothing_and_does_not_count():
    new = site("refused", counted=False)
    assert told(new, new, site()) == []
    assert told(new, new) == []
    assert told(new, site("refused"), site()) == [("refused_share", 0.5, 0.25)]


def test_a_wave_that_nobody_takes_says_nothing_for_the_next_one():
    assert told(site("held")) == [("takers", 0, 1)]
    assert told(site("held"), site("serves")) == []
    assert ("takers", 0, 1) in told(site("refused"), max_refused=1.0)


def test_money_is_counted_where_a_model_is_replaced_and_over_the_whole_wave():
    loses, gains = site(value=90.0), site(value=115.0)
    assert value_change_eur([loses, gains]) == pytest.approx(5.0)
    assert told(loses, gains) == []
    assert told(loses) == [("value_change_eur", pytest.approx(-10.0), 0.0)]
    assert told(loses, min_value_change_eur=-10.0) == []
    assert told(loses, gains, min_value_change_eur=6.0) == [("value_change_eur", pytest.approx(5.0), 6.0)]


@pytest.mark.parametrize("kind", ["serves", "refused", "failed", "held"])
def test_what_replaces_nothing_changes_no_money(kind):
    assert value_change_eur([site(kind, value=0.0)]) is None
    assert value_change_eur([site(replaces=False, value=0.0, champion=None)]) is None


@pytest.mark.parametrize("lacking", [{"value": None}, {"champion": None}])
def test_what_cannot_be_compared_does_not_pass(lacking):
    (reason,) = reasons_against([site(**lacking), site(value=900.0)], Limits())
    assert (reason.site, reason.figure, reason.found) == ("A", "value_change_eur", None)

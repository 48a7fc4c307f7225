"""A backtest of the toy line: the calendar is walked, each policy's money is right, and the real home is left alone."""

import pytest

from factory.orchestration.backtest import Backtest
from factory.orchestration.instance import opened_instance
from factory.orchestration.launch import LineLauncher
from tests.toy.line import NAME, ToyFactory


def replayed(home, *, every="week", first="2024-02-08", last="2024-02-29", schedule="", **source):
    toy = ToyFactory(home, schedule=schedule)
    with opened_instance(home / "dagster") as instance:
        launcher = LineLauncher(definitions=toy.definitions(source or None), instance=instance)
        return toy, Backtest(NAME, launcher, lambda _: None).run(first, last, every)


@pytest.fixture(scope="module")
def hot(tmp_path_factory):
    """The north runs hot from the first day of the backtest on."""
    return replayed(tmp_path_factory.mktemp("hot"), hot=["north"])


def test_a_plant_that_runs_hot_is_trained_anew_and_the_quiet_one_is_not(hot):
    _, report = hot
    drifted = [site for month in report["months"] for site in month.get("drifted", ())]
    assert set(drifted) == {"north"}
    assert report["total"]["never"]["retrainings"] == 0
    assert report["total"]["blind"] == {**report["total"]["blind"], "retrainings": 3, "site_models": 9}
    assert 0 < report["total"]["factory"]["site_models"] < 9


def test_the_periods_add_up_and_no_decision_is_counted_twice(hot):
    toy, report = hot
    for policy, figures in report["total"].items():
        assert figures["net_eur"] == pytest.approx(sum(month[policy]["net_eur"] for month in report["months"]), abs=0.1)
        assert figures["net_eur"] == pytest.approx(figures["value_eur"] - figures["cost_eur"], abs=0.02)
    assert sum(month["decisions"] for month in report["months"]) == _decided(toy)
    assert [month["from"] for month in report["months"]] == ["2024-02-08", "2024-02-15", "2024-02-22", "2024-02-29"]
    assert report["months"][-1]["to"] == "2024-03-01"


def _decided(toy):
    rows = toy.lake.scan("features").collect()
    return len(rows.filter(rows["decided_at"].dt.strftime("%Y-%m-%d") >= "2024-02-08"))


def test_what_the_factory_earned_is_what_its_outcomes_say(hot):
    toy, report = hot
    assert report["total"]["factory"]["value_eur"] == toy.lake.scan("outcomes").collect()["value_eur"].sum()


def test_until_something_drifts_the_factory_earns_what_never_retraining_earns(hot):
    _, report = hot
    quiet = [month for month in report["months"] if not month.get("released")]
    assert report["months"][0] in quiet
    first = report["months"][0]
    assert first["never"]["value_eur"] == first["blind"]["value_eur"] == first["factory"]["value_eur"]


@pytest.mark.slow
def test_what_is_due_by_the_calendar_trains_every_site_on_its_day_and_not_before(tmp_path):
    on_thursdays = replayed(tmp_path / "due", last="2024-02-16", schedule="0 4 * * 4")[1]
    assert on_thursdays["months"][1]["factory"]["site_models"] == 3
    assert on_thursdays["total"]["factory"]["retrainings"] == 1
    on_sundays = replayed(tmp_path / "later", last="2024-02-16", every="month", schedule="0 4 * * 0")[1]
    assert on_sundays["total"]["factory"]["retrainings"] == 0  # there is one step, and nothing serves after it

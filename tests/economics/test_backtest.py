"""The calendar of a backtest, its money, its picture, and where it is kept."""

from datetime import datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from factory.cli.backtest import MARKER_FILE, emptied
from factory.cli.backtest_screen import show
from factory.economics.backtest.moments import STEPS, moments
from factory.economics.backtest.picture import picture
from factory.economics.backtest.tally import POLICIES, Period, Retraining, Step, report
from factory.errors import LineError
from factory.line.costs import Costs

DAYS = st.dates(min_value=datetime(1999, 1, 1).date(), max_value=datetime(2030, 1, 1).date())


@given(DAYS, st.integers(0, 800), st.sampled_from(sorted(STEPS)))
def test_every_day_lies_in_exactly_one_step(first, days, every):
    last = datetime.fromordinal(first.toordinal() + days)
    found = moments(f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}", every)
    assert found[0].date() == first
    assert (found[-1] - last).days == 1
    assert all(before < after for before, after in pairwise(found))


def test_months_are_those_of_the_calendar():
    found = [f"{day:%m-%d}" for day in moments("2013-10-15", "2013-12-31", "month")]
    assert found == ["10-15", "11-01", "12-01", "01-01"]


@pytest.mark.parametrize(
    ("first", "last", "every", "why"),
    [
        ("2013-04-01", "2013-03-01", "month", "lies before"),
        ("April", "2013-03-01", "month", "is not a date"),
        ("2013-04-01", "2013-05-01", "moon", "month, week"),
    ],
)
def test_what_cannot_be_walked_is_told(first, last, every, why):
    with pytest.raises(LineError, match=why):
        moments(first, last, every)


def steps(*nets):
    """One step a month with these values for never; blind earns as much less a retraining, the factory a tenth more."""
    paid = (Retraining(site_models=4, seconds=360.0, cost_eur=50.0),)
    return [
        Step(
            begin=datetime(2013, number, 1),
            end=datetime(2013, number + 1, 1),
            decisions=100,
            periods={
                "never": Period(value_eur=net),
                "blind": Period(value_eur=net, retrainings=paid),
                "factory": Period(value_eur=net * 1.1),
            },
            events={"drifted": ["UA"], "released": ["UA"], "refused": []},
        )
        for number, net in enumerate(nets, 4)
    ]


def test_the_total_is_the_sum_of_the_months_and_costs_are_taken_off():
    told = report("orders", steps(1000.0, -500.0, 2000.0))
    assert told["total"]["never"] == {
        "net_eur": 2500.0, "value_eur": 2500.0, "cost_eur": 0, "retrainings": 0, "site_models": 0, "seconds": 0
    }  # fmt: skip
    assert told["total"]["blind"]["net_eur"] == 2350.0
    assert (told["total"]["blind"]["retrainings"], told["total"]["blind"]["site_models"]) == (3, 12)
    assert [month["from"] for month in told["months"]] == ["2013-04-01", "2013-05-01", "2013-06-01"]


def test_a_retraining_costs_its_machine_and_its_people():
    costs = Costs(compute_hour_eur=3.0, site_model_eur=40.0)
    assert costs.retraining_eur(1800.0, 4) == 161.5
    with pytest.raises(LineError, match="must be 0 or more"):
        Costs(compute_hour_eur=-1.0)


def test_the_picture_has_a_line_for_each_policy_and_is_sound_xml():
    drawn = ElementTree.fromstring(str(picture(report("orders", steps(1000.0, 2000.0, 1500.0)))))  # noqa: S314  ours
    lines = drawn.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert [line.get("class") for line in lines] == list(POLICIES)
    assert all(len((line.get("points") or "").split()) == 4 for line in lines)


def test_people_see_each_month_and_the_sum():
    console = Console(record=True, width=120)
    show(report("orders", steps(1000.0, 2000.0)), console)
    text = console.export_text()
    assert "2013-04-01" in text
    assert "3,300" in text
    assert "blind: 2 retrainings, 8 site models, 12.0 minutes, 100 EUR" in text


def test_a_backtest_empties_only_what_a_backtest_made(tmp_path):
    place = emptied(tmp_path / "backtest")
    (place / "left").touch()
    assert [path.name for path in emptied(place).iterdir()] == [MARKER_FILE]
    (tmp_path / "mine").mkdir()
    with pytest.raises(LineError, match="no backtest made it"):
        emptied(tmp_path / "mine")

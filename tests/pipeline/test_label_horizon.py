"""A label whose horizon has not passed as of the run is unknown, and known as soon as it has."""

import dataclasses

import polars as pl
import pytest

from factory.errors import LineError
from factory.line.label import Label
from tests.toy.orders import HOUR, START, OrdersRun, orders, orders_line

ROWS = orders(*((plant, hour - 3, hour, hour + hour % 3) for plant in ("north", "south") for hour in range(6, 60, 2)))
TO_FEATURES = ("raw", "clean", "announced", "features")


def labelled(run):
    """The moments of decisions, hours from the start, by whether their label is known."""
    rows = run.lake.scan("features").collect().sort("decided_at")
    hours = (rows["decided_at"] - START) / HOUR
    return [set(hours.filter(rows["label"].is_not_null() == known)) for known in (True, False)]


def test_labels_become_known_as_their_horizon_passes_though_no_row_came(tmp_path):
    line = dataclasses.replace(orders_line(), label=Label(horizon="6h"))
    run = OrdersRun(tmp_path, line, ROWS)
    for until in (48, 50, 80, 49):
        assert run.run(["north", "south"], until, TO_FEATURES).failed_steps == []
        known, unknown = labelled(run)
        assert max(known) == max(hour for hour in known | unknown if hour + 6 <= until)
        assert all(hour + 6 > until for hour in unknown)


def test_without_a_horizon_no_label_waits(tmp_path):
    run = OrdersRun(tmp_path, orders_line(), ROWS)
    run.run(["north", "south"], 48, TO_FEATURES)
    assert labelled(run)[1] == set()


def test_a_horizon_of_decisions_that_tell_no_time_is_refused_in_words(tmp_path):
    line = orders_line(announced=False)

    def build(tables):
        return line.features.build(tables).with_columns(decided_at=pl.col("order"))

    features = dataclasses.replace(line.features, build=build)
    run = OrdersRun(tmp_path, dataclasses.replace(line, label=Label(horizon="6h"), features=features), ROWS)
    (_, _, why), _ = run.run(["north", "south"], 48, TO_FEATURES).failed_steps
    assert "horizon 6h is a length of time, and `decided_at` holds Int64" in why


def test_a_horizon_that_is_no_length_of_time_is_a_mistake_in_words():
    assert Label(horizon="7d").after.days == 7
    with pytest.raises(LineError, match="horizon: 'a week' is no length of time"):
        Label(horizon="a week")

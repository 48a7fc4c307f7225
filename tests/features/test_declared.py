"""Declared windows are what a person would count row by row, and never see the moment of the decision or later."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import LineError
from factory.features.declaration import declared_features
from factory.features.windows import ASKED
from factory.line.label import Label
from factory.line.line import FeatureKeys, Table, unchanged
from factory.line.windows import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
MACHINES, HOURS = st.sampled_from(["a", "b"]), st.integers(0, 60)
READINGS = st.lists(st.tuples(MACHINES, HOURS, st.none() | st.integers(-50, 50), st.sampled_from("xy")), max_size=25)
DECISIONS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), HOURS), min_size=1, max_size=12, unique=True)
WINDOWS = {
    "count_6h": Window(count="readings", within="6h"),
    "count_x": Window(count="readings", within="24h", where={"kind": "x"}),
    "sum_6h": Window(sum="readings.value", within="6h"),
    "mean_6h": Window(mean="readings.value", within="6h"),
    "std_24h": Window(std="readings.value", within="24h"),
    "min_24h": Window(min="readings.value", within="24h"),
    "max_24h": Window(max="readings.value", within="24h"),
    "last": Window(last="readings.value"),
    "last_6h": Window(last="readings.value", within="6h"),
    "last_is_1": Window(last="readings.value", equals=1),
    "hours_since": Window(hours_since="readings"),
    "days_since_y": Window(days_since="readings", where={"kind": ("y",)}),
    "age": Window(days_since="machines.built"),
    "size": Window(attribute="machines.size"),
    "is_press": Window(attribute="machines.sort", equals="press"),
}


def a_table(name, columns, key=(), **said):
    return Table(name=name, columns=columns, key=key, site_column=None, contract=(), repair=unchanged, **said)


MOMENT = "Datetime[us, UTC]"
TABLES = {
    "decisions": Table(
        name="decisions",
        columns={"machine": "String", "plant": "String", "decided_at": MOMENT},
        key=("machine", "decided_at"),
        cursor="decided_at",
        site_column="plant",
        contract=(),
        repair=unchanged,
    ),
    "readings": a_table(
        "readings", {"machine": "String", "at": MOMENT, "value": "Float64", "kind": "String"}, cursor="at"
    ),
    "machines": a_table(
        "machines",
        {"machine": "String", "built": "Date", "size": "Int64", "sort": "String"},
        key=("machine",),
    ),
}
THINGS = pl.DataFrame(
    {"machine": ["a", "b"], "built": [START.date(), None], "size": [3, None], "sort": ["press", "saw"]},
    schema_overrides={"size": pl.Int64, "built": pl.Date},
)


def built(windows, readings, decisions, *, label=Label(), tables=TABLES, frames=None):  # noqa: B008  frozen
    keys = FeatureKeys(key=("machine", "decided_at"), windows=windows)
    build = declared_features(tables, "decisions", keys, list(windows), label, None)
    rows = {
        "decisions": pl.DataFrame(
            {
                "machine": [machine for machine, _ in decisions],
                "plant": "ulm",
                "site": "ulm",
                "decided_at": [START + timedelta(hours=hour) for _, hour in decisions],
            },
            schema_overrides={"decided_at": pl.Datetime("us", "UTC")},
        ),
        "readings": pl.DataFrame(
            [(machine, START + timedelta(hours=hour), value, kind) for machine, hour, value, kind in readings],
            schema={"machine": pl.String, "at": pl.Datetime("us", "UTC"), "value": pl.Float64, "kind": pl.String},
            orient="row",
        ),
        "machines": THINGS,
        **(frames or {}),
    }
    return build({name: some.lazy() for name, some in rows.items()}).collect()


def by_hand(name, window, readings, machine, hour):
    """Return what a person counts."""
    before = [row for row in readings if row[0] == machine and row[1] < hour]
    if window.length is not None:
        before = [row for row in before if row[1] >= hour - window.length / timedelta(hours=1)]
    if window.where:
        before = [row for row in before if row[3] in window.values("kind")]
    values = [row[2] for row in sorted(before, key=lambda row: row[1]) if row[2] is not None]
    if window.kind == "count":
        return len(before)
    if window.kind == "sum":
        return sum(values)
    if window.kind.endswith("_since") and not window.column:
        unit = 24 if window.kind == "days_since" else 1
        return (hour - max(row[1] for row in before)) / unit if before else None
    if not values or (window.kind == "std" and len(values) < 2):
        return None
    series = pl.Series(values)
    if window.kind == "last":
        newest = max(row[1] for row in before if row[2] is not None)
        some = {row[2] for row in before if row[1] == newest and row[2] is not None}  # of one moment any may be it
        return {value == 1 for value in some} if window.equals is not None else some
    return {"mean": series.mean, "std": series.std, "min": series.min, "max": series.max}[window.kind]()


@settings(max_examples=30, deadline=None)
@given(READINGS, DECISIONS)
def test_windows_are_what_a_person_counts_of_the_rows_before_the_decision(readings, decisions):
    rows = built(WINDOWS, readings, decisions)
    assert len(rows) == len(decisions)
    dated = {name for name, window in WINDOWS.items() if window.table == "readings"}
    for row in rows.iter_rows(named=True):
        hour = (row["decided_at"] - START) / timedelta(hours=1)
        for name in dated:
            expected = by_hand(name, WINDOWS[name], readings, row["machine"], hour)
            if isinstance(expected, set):
                assert row[name] in expected, name
            else:
                assert row[name] == (None if expected is None else pytest.approx(expected, abs=1e-4)), name


def test_attributes_and_ages_are_those_of_the_thing_and_unknown_of_one_that_nobody_lists():
    rows = built(WINDOWS, [], [("a", 12), ("b", 12), ("c", 12)]).sort("machine")
    assert rows["age"].to_list() == [0.5, None, None]
    assert rows["size"].to_list() == [3, None, None]
    assert rows["is_press"].to_list() == [1, 0, None]


@settings(max_examples=20, deadline=None)
@given(READINGS, DECISIONS)
def test_the_label_is_whether_an_event_comes_within_the_horizon_from_the_decision_on(readings, decisions):
    label = Label(event="readings", horizon="8h", where={"kind": "x"})
    rows = built({"n": Window(count="readings", within="1h")}, readings, decisions, label=label)
    for row in rows.iter_rows(named=True):
        hour = (row["decided_at"] - START) / timedelta(hours=1)
        coming = [one for one in readings if one[0] == row["machine"] and one[3] == "x" and hour <= one[1] < hour + 8]
        assert row["label"] == float(bool(coming))


def test_what_becomes_known_late_counts_from_then_on():
    late = {"readings": a_table("readings", {**TABLES["readings"].columns, "entered": MOMENT}, cursor="at",
                                known_at={"entered": ("value",)})}  # fmt: skip
    readings = pl.DataFrame(
        {"machine": ["a"], "at": [START], "value": [5.0], "kind": ["x"], "entered": [START + timedelta(hours=3)]},
        schema_overrides={"at": pl.Datetime("us", "UTC"), "entered": pl.Datetime("us", "UTC")},
    )
    windows = {"n": Window(count="readings", within="24h"), "mean": Window(mean="readings.value", within="24h")}
    rows = built(windows, [], [("a", 2), ("a", 3), ("a", 4)], tables={**TABLES, **late}, frames={"readings": readings})
    assert rows.sort("decided_at")["n"].to_list() == [1, 1, 1]
    assert rows.sort("decided_at")["mean"].to_list() == [None, None, 5]


def test_rows_that_are_only_looked_back_on_get_no_features():
    decisions = pl.DataFrame(
        {"machine": ["a", "a"], "plant": "ulm", "site": "ulm", "decided_at": [START, START + timedelta(hours=1)],
         ASKED: [False, True]},
        schema_overrides={"decided_at": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    windows = {"n": Window(count="readings", within="24h")}
    rows = built(windows, [("a", 0, 1, "x")], [("a", 0)], frames={"decisions": decisions})
    assert rows["n"].to_list() == [1]


@pytest.mark.parametrize(
    ("windows", "label", "told"),
    [
        ({"n": Window(count="reading", within="1h")}, Label(), "there is no table 'reading'"),
        ({"n": Window(mean="readings.volt", within="1h")}, Label(), "'volt' is not among the columns of readings"),
        ({"n": Window(mean="readings.kind", within="1h")}, Label(), "no number; say `equals`"),
        ({"n": Window(count="machines", within="1h")}, Label(), "no cursor that is a day or a moment"),
        ({"n": Window(attribute="readings.value")}, Label(), "say `last: readings.COLUMN`"),
        ({"n": Window(days_since="machines.size")}, Label(), "neither a day nor a moment"),
        ({"n": Window(count="readings", within="1h", where={"sort": "x"})}, Label(), "'sort' is not among"),
        ({"n": Window(count="readings", within="1h", by={"decided_at": "machine"})}, Label(), "declare them as one"),
        ({}, Label(event="failures", horizon="1d"), "there is no table 'failures'"),
    ],
)
def test_a_window_that_no_table_can_answer_is_refused_as_the_line_loads(windows, label, told):
    with pytest.raises(LineError, match=told):
        built(windows, [], [("a", 0)], label=label)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "say exactly one of"),
        ({"count": "a", "mean": "a.b"}, "say exactly one of"),
        ({"mean": "a.b"}, "needs `within`"),
        ({"mean": "a", "within": "1h"}, "written as table.column"),
        ({"count": "a.b", "within": "1h"}, "names a table"),
        ({"count": "a", "within": "soon"}, "no length of time"),
        ({"attribute": "a.b", "within": "1h"}, "takes no `within`"),
        ({"mean": "a.b", "within": "1h", "equals": 1}, "equals compares"),
    ],
)
def test_a_window_says_one_thing(said, told):
    with pytest.raises(LineError, match=told):
        Window(**said)

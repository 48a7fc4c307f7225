"""Decisions that no system keeps, and sites that another table knows: what a calendar makes, and what it refuses."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.connectors.made_tables import CalendarSource, sited
from factory.connectors.tables import TableSource
from factory.errors import LineError, SourceError
from factory.line.calendar import Calendar, SiteThrough
from factory.line.changes import Changes, Deleted
from factory.line.line import Table, unchanged
from factory.line.site_names import UNKNOWN, SiteNames

DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 20))
MOMENT = "Datetime[us, UTC]"


class Frames:
    """Tables in memory."""

    def __init__(self, **tables):
        self.tables = tables

    def sites(self, table, until):
        return []

    def read(self, table, *, site, after, until):
        yield self.tables[table.name]


class Lines:
    """As much of a line as tables are made of."""

    def __init__(self, **tables):
        self.tables = tables


def shared(name, columns, **said):
    return Table(name=name, columns=columns, site_column=None, contract=(), repair=unchanged, **said)


MACHINES = shared(
    "machines", {"machine": "String", "plant": "String", "built": "Date", "gone": "Date"}, key=("machine",)
)
ERRORS = shared("errors", {"machine": "String", "at": MOMENT}, cursor="at")


def decisions(calendar, **said):
    columns = {"machine": "String", "plant": "String", "due_at": MOMENT}
    return Table(
        name="decisions", columns=columns, key=("machine", "due_at"), cursor="due_at", site_column="plant",
        contract=(), repair=unchanged, calendar=calendar, **said,
    )  # fmt: skip


def machines(*rows):
    return pl.DataFrame(rows, schema=["machine", "plant", "built", "gone"], orient="row").cast(pl.String)


def made(calendar, things, until, *, after=None, errors=None, **said):
    """Return the rows that a calendar makes, by site, as a run reads them."""
    source = CalendarSource(Frames(machines=things, errors=errors), Lines(machines=MACHINES, errors=ERRORS), calendar)
    table = decisions(calendar, **said)
    rows = {}
    for site, batch in source.read_sites(table, after=dict.fromkeys(source.sites(table, until), after), until=until):
        rows.setdefault(site, []).extend(batch.rows())
    newest = source.newest(table, until)
    assert newest == {site: max(row[2] for row in some) for site, some in rows.items()} or after
    for site, some in rows.items():
        assert some == [
            row for batch in source.read(table, site=site, after=after, until=until) for row in batch.rows()
        ]
    return rows


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), DAYS, st.none() | DAYS), min_size=1, unique_by=lambda row: row[0]))
def test_each_thing_has_a_row_for_each_moment_of_its_service(things):
    calendar = Calendar(of="machines", every="12h", at="06:00", since="built", until="gone")
    rows = made(calendar, machines(*((name, f"p{name}", *days) for name, *days in things)), datetime(2026, 1, 15, 7))
    for name, built, gone in things:
        days = [built + timedelta(days=count) for count in range(30)]
        moments = [datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for day in days for hour in (6, 18)]
        ends = [datetime(2026, 1, 15, 7, tzinfo=UTC)]
        ends += [datetime(gone.year, gone.month, gone.day, tzinfo=UTC)] if gone else []
        expected = [(name, f"p{name}", moment) for moment in moments if moment < min(ends)]
        assert rows.get(f"p{name}", []) == expected


def test_a_run_that_goes_on_is_given_the_moments_from_its_cursor_on():
    calendar = Calendar(of="machines", since="built")
    rows = made(calendar, machines(("a", "ulm", "2026-01-01", None)), datetime(2026, 1, 9), after=datetime(2026, 1, 7))
    assert [row[2].day for row in rows["ulm"]] == [7, 8]


def test_the_clock_of_a_plant_is_kept_in_summer_and_in_winter():
    calendar = Calendar(of="machines", at="06:00", begins="2026-03-28", time_zone="Europe/Berlin")
    rows = made(calendar, machines(("a", "ulm", None, None)), datetime(2026, 3, 30, 12))
    assert [row[2].hour for row in rows["ulm"]] == [5, 4, 4]


def test_whole_weeks_are_counted_from_the_first_day_on():
    calendar = Calendar(of="machines", every="7d", begins="2026-01-07")
    rows = made(calendar, machines(("a", "ulm", None, None)), datetime(2026, 1, 29))
    assert [row[2].day for row in rows["ulm"]] == [7, 14, 21, 28]


def test_a_decision_at_each_event_of_a_thing_in_service_and_none_of_one_that_is_not_listed():
    calendar = Calendar(of="machines", on="errors", delay="5m", since="built")
    errors = pl.DataFrame(
        {"machine": ["a", "a", "a", "z"], "at": ["2026-01-03T10:00:00Z", "2026-01-03T10:00:00Z", "2025-12-01T10:00:00Z",
                                                 "2026-01-03T10:00:00Z"]}
    )  # fmt: skip
    rows = made(calendar, machines(("a", "ulm", "2026-01-01", None)), datetime(2026, 2, 1), errors=errors)
    assert rows == {"ulm": [("a", "ulm", datetime(2026, 1, 3, 10, 5, tzinfo=UTC))]}


def test_a_thing_without_a_site_waits_under_none_and_many_names_may_be_one_site():
    calendar = Calendar(of="machines", begins="2026-01-01")
    names = SiteNames(mapping={"Halle 1": "ulm", "Halle 2": "ulm"})
    things = machines(("a", "Halle 1", None, None), ("b", "Halle 2", None, None), ("c", None, None, None))
    rows = made(calendar, things, datetime(2026, 1, 2), site_names=names)
    assert sorted(rows) == ["ulm", UNKNOWN]
    assert [row[0] for row in rows["ulm"]] == ["a", "b"]


def test_of_a_thing_that_is_listed_twice_the_later_row_counts_and_one_marked_as_deleted_is_none():
    listed = shared(
        "machines", {**MACHINES.columns, "state": "String"}, key=("machine",),
        changes=Changes(known_by="change_log", column="built", deleted=Deleted(column="state", values=("D",))),
    )  # fmt: skip
    rows = machines(("a", "ulm", None, None), ("b", "ulm", None, None), ("a", "bonn", None, None))
    things = rows.with_columns(pl.Series("state", ["I", "D", "U"]))
    calendar = Calendar(of="machines", begins="2026-01-01")
    source = CalendarSource(Frames(machines=things), Lines(machines=listed), calendar)
    assert source.sites(decisions(calendar), datetime(2026, 1, 2)) == ["bonn"]


def test_its_state_is_another_when_a_thing_moves_or_retires_and_else_the_same():
    calendar = Calendar(of="machines", since="built", until="gone")

    def state(*rows):
        source = CalendarSource(Frames(machines=machines(*rows)), Lines(machines=MACHINES), calendar)
        return source.version(decisions(calendar))

    here, there = ("a", "ulm", "2026-01-01", None), ("b", "bonn", "2026-01-01", None)
    assert state(here, there) == state(there, here)
    changed = [("b", "ulm", "2026-01-01", None)], [("b", "bonn", "2026-01-01", "2026-02-01")], []
    assert len({state(here, *others) for others in changed} | {state(here, there)}) == 4


def test_a_thing_that_nobody_says_since_when_is_told():
    calendar = Calendar(of="machines", since="built")
    with pytest.raises(SourceError, match="built is unknown of 1 of its rows"):
        made(calendar, machines(("a", "ulm", None, None)), datetime(2026, 1, 2))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "say `since`"),
        ({"every": "5h"}, "divides the day"),
        ({"every": "36h"}, "divides the day"),
        ({"every": "0d"}, "divides the day"),
        ({"at": "6"}, "write it as HH:MM"),
        ({"time_zone": "Mars"}, "no time zone"),
        ({"begins": "soon"}, "write it as YYYY-MM-DD"),
        ({"since": "built", "delay": "5m"}, "say `on`"),
    ],
)
def test_what_is_no_calendar_is_refused(said, told):
    with pytest.raises(LineError, match=told):
        Calendar(of="machines", **said)


THROUGH = SiteThrough(through="machines", key="machine", column="plant")


def telemetry_source(folder, rows):
    pl.DataFrame(rows, schema=["machine", "at", "value"], orient="row").write_csv(folder / "telemetry.csv")
    return TableSource({"telemetry": {"at": str(folder / "telemetry.csv")}})


def test_rows_that_name_a_machine_are_given_to_its_plant_in_one_pass(tmp_path):
    table = Table(
        name="telemetry", columns={"machine": "String", "at": MOMENT, "value": "Float64"}, cursor="at",
        site_column="machine", site_through=THROUGH, contract=(), repair=unchanged,
    )  # fmt: skip
    rows = [("a", "2026-01-01T00:00:00Z", 1), ("b", "2026-01-01T01:00:00Z", 2), ("c", "2026-01-01T02:00:00Z", 3),
            ("z", "2026-01-01T03:00:00Z", 4)]  # fmt: skip
    source, until = telemetry_source(tmp_path, rows), datetime(2026, 2, 1)

    def values(*things):
        asked = sited(Frames(machines=machines(*things)), Lines(machines=MACHINES), table)
        sites = source.sites(asked, until)
        read = source.read_sites(asked, after=dict.fromkeys(sites), until=until)
        by_site = {}
        for site, batch in read:
            by_site.setdefault(site, []).extend(batch["value"])
        return by_site

    a, b, c = (("a", "ulm", None, None), ("b", "ulm", None, None), ("c", "bonn", None, None))
    assert values(a, b, c) == {"ulm": ["1", "2"], "bonn": ["3"], UNKNOWN: ["4"]}
    moved = ("b", "bonn", None, None)
    assert values(a, moved, c) == {"ulm": ["1"], "bonn": ["2", "3"], UNKNOWN: ["4"]}  # it takes its rows with it

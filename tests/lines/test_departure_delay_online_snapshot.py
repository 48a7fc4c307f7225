"""Invariant 6 on real departures: what the gateway builds of a raw flight is what training built of it, bit by bit."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from factory.features.announced import known_tables
from factory.features.online.assembly import assembled
from factory.features.online.builder import Builder
from factory.features.online.proof import Trained, prove
from factory.line.announced import aware
from factory.line.file import LineFile
from factory.line.look_back import LookBack
from lines.departure_delay.features import NOTICE
from tests.lines.departures import raw
from tests.toy.line import FILE

UNTIL = datetime(2013, 4, 1)
DEFS = FILE.parents[3] / "lines" / "departure_delay" / "defs.yaml"
SITES = ("UA", "EV", "HA")


@pytest.fixture(scope="module")
def line():
    """The line as its file says."""
    file = LineFile(DEFS)
    return file.line(file.sections())


def test_when_the_label_is_due_every_departure_of_the_year_has_left(line):
    """Else a model would learn from, and be judged on, the outcomes that came in early: the punctual ones."""
    longest = raw("flights")["dep_delay"].max()
    assert NOTICE + timedelta(minutes=longest) <= line.label.after


def announced(line, until=UNTIL):
    """Raw flights that are announced before a moment and have not left yet, with what is known of them."""
    timetable = line.decisions.announced
    rows = raw("flights").with_columns(site=pl.col("carrier"))
    coming = rows.filter(pl.col("time_hour") >= aware(until), timetable.moment("time_hour", rows.schema) < aware(until))
    later = [name for name in line.decisions.columns if name not in timetable.columns]
    return coming.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in later)


@pytest.fixture(scope="module")
def tables(line):
    """A quarter of raw flights, the clean tables, what is announced, and what training has."""
    flights = raw("flights", UNTIL).with_columns(site=pl.col("carrier"))
    arrived = {"flights": flights, "weather": raw("weather", UNTIL), "planes": raw("planes", UNTIL)}
    clean = {name: line.tables[name].repair(rows.lazy()).collect().lazy() for name, rows in arrived.items()}
    coming = {"flights": line.decisions.repair(announced(line).lazy())}
    features = line.features.build(known_tables(line, clean, coming)).collect()
    numbered = flights.with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len(), dtype=pl.Int64))
    return numbered, clean, coming, features


def snapshot(line, tables, look_back=None, sites=SITES):
    """What the gateway has of a quarter."""
    _, clean, coming, _ = tables
    new = assembled(line, look_back or line.online_snapshot, clean, coming, "a quarter")
    return replace(new, snapshot=replace(new.snapshot, sites=tuple(sites)))


def proved(line, tables, **how):
    """How many recent flights of each carrier came out as in training, and why those of the others did not."""
    flights, _, _, features = tables
    new = snapshot(line, tables, **how)
    trained = Trained(line=line, raw={"flights": flights.lazy()}, features=features.lazy())
    return prove(trained, Builder(new.snapshot, new.tables), new.tables)


def test_recent_flights_built_from_what_was_known_at_their_moment_have_the_features_of_training(line, tables):
    found = proved(line, tables)
    assert not found.failed
    assert all(found.done[site] >= 2 for site in SITES)


@pytest.mark.parametrize(
    ("look_back", "feature"),
    [
        (LookBack(days=27, last_of={"flights": ("tailnum",)}), "28d"),
        (LookBack(days=29), "aircraft_"),
    ],
)
def test_a_snapshot_that_is_too_short_is_found_out(line, tables, look_back, feature):
    found = proved(line, tables, look_back=look_back, sites=sorted(set(tables[-1]["site"])))
    assert len(found.failed) > 5
    assert any(feature in str(error) for error in found.failed.values())


def test_neighbours_that_nobody_announced_shut_the_door_by_the_features_name(line, tables):
    """The line as it was: its rows see their neighbours in training, and at the door one row is alone."""
    unannounced = replace(line, tables={**line.tables, "flights": replace(line.decisions, announced=None)})
    flights, clean, _, features = tables
    found = proved(unannounced, (flights, clean, {}, features))
    assert set(found.failed) == set(SITES)
    assert "site UA: origin_hour_departures cannot be told at the gateway's door" in str(found.failed["UA"])


def test_a_single_flight_of_tomorrow_is_told_how_many_leave_with_it(line, tables):
    """What the door knows of a flight is what training knows of it a week later: all carriers' timetable."""
    new = snapshot(line, tables)
    built = Builder(new.snapshot, new.tables)
    place = built.feature_names.index("origin_hour_departures")
    coming = announced(line).filter(pl.col("day") == 1)
    flight = coming.filter(pl.col("carrier") == "UA", pl.col("origin") == "EWR", pl.col("hour") == 8).head(1)
    beside = coming.join(flight, on=["origin", "time_hour"], how="semi").height
    record = {name: value for name, value in flight.to_dicts()[0].items() if value is not None and name != "site"}
    record["time_hour"] = record["time_hour"].isoformat()
    assert beside > 20
    assert built.build("UA", [record]).features[0][place] == beside
    extra = {**record, "carrier": "EV", "flight": 9001}
    assert built.build("UA", [record], [extra]).features[0][place] == beside + 1


VALUES = {
    "year": [0, 1, 9999, -5, 2**62],
    "sched_dep_time": [0, 2400, 1260, 2359],
    "sched_arr_time": [-1, 0, 9999, 2**62, -(2**62)],
    "flight": [0, -1, 2**62],
    "distance": [50, 6000, 2**62],
    "tailnum": [None, "N1", "N99999", "", "\U0001f6eb"],
    "dest": [None, "XXX", "", "\x00\x00\x00"],
    "origin": ["EWR", "JFK", "LGA", "SFO"],
    "hour": [0, 23, 24, -1],
    "minute": [-1, 60, 2**62],
    "month": [0, 1, 12, 13],
    "time_hour": ["0001-01-01T00:00:00Z", "9998-12-31T00:00:00Z", "2013-03-31T23:00:00+05:00", None],
}


def test_whatever_values_a_client_sends_each_row_is_built_or_refused(line, tables):
    flights, new = tables[0], snapshot(line, tables)
    built = Builder(new.snapshot, new.tables)
    row = (
        flights.filter(pl.col("carrier") == "UA").sort("time_hour").tail(1).drop("site", "_load", "_row").to_dicts()[0]
    )
    row["time_hour"] = row["time_hour"].isoformat()
    chance = random.Random(7)  # noqa: S311  which values, no secret
    for _ in range(12):
        asked = [mutated(row, chance, number) for number in range(60)]
        found = built.build("UA", asked)
        assert sorted([*found.places, *found.refused]) == list(range(60))
        assert len(found.features) == len(found.places) == len(found.subjects)


def mutated(row, chance, number):
    """The row with up to three values that no airline ever sent, and a flight number of its own."""
    changed = {name: chance.choice(VALUES[name]) for name in chance.sample(sorted(VALUES), chance.randint(0, 3))}
    return (
        {**row, "flight": 9_000 + number, **changed}
        if "flight" not in changed
        else {**row, **changed, "day": number % 28}
    )

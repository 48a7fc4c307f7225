"""Invariant 6 on real departures: what the gateway builds of a raw flight is what training built of it, bit by bit."""

import dataclasses
import random
from datetime import datetime

import polars as pl
import pytest
import yaml

from factory.compute.isolation import one_by_one
from factory.features.online.assembly import assembled
from factory.features.online.builder import Builder
from factory.features.online.proof import checked
from factory.line.file import LineFile
from factory.line.look_back import LookBack
from factory.orchestration.production_line import ProductionLine
from tests.lines.departures import raw
from tests.toy.line import FILE

UNTIL = datetime(2013, 4, 1)
DEFS = FILE.parents[3] / "lines" / "departure_delay" / "defs.yaml"
SITES = ("UA", "EV", "HA")


@pytest.fixture(scope="module")
def line():
    """The line as its file says."""
    return ProductionLine.resolve_from_dict(yaml.safe_load(DEFS.read_text())["attributes"]).line(LineFile(DEFS))


@pytest.fixture(scope="module")
def tables(line):
    """A quarter of raw flights, the clean tables, and what training has."""
    flights = raw("flights", UNTIL).with_columns(site=pl.col("carrier"))
    arrived = {"flights": flights, "weather": raw("weather", UNTIL), "planes": raw("planes", UNTIL)}
    clean = {name: line.tables[name].repair(rows.lazy()).collect() for name, rows in arrived.items()}
    features = line.features.build({name: rows.lazy() for name, rows in clean.items()}).collect()
    numbered = flights.with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len(), dtype=pl.Int64))
    return numbered, clean, features


def builder(line, clean, look_back):
    new = assembled(line, look_back, {name: rows.lazy() for name, rows in clean.items()}, "a quarter")
    return Builder(dataclasses.replace(new.snapshot, sites=SITES), new.tables)


def test_recent_flights_built_anew_on_the_lines_own_snapshot_have_the_features_of_training(line, tables):
    flights, clean, features = tables
    built = builder(line, clean, line.online_snapshot)
    for site in SITES:
        assert checked(built, site, flights.lazy(), features.lazy()) > 0


@pytest.mark.parametrize(
    ("look_back", "feature"),
    [
        (LookBack(days=27, last_of={"flights": ("tailnum",)}), "28d"),
        (LookBack(days=29), "aircraft_"),
    ],
)
def test_a_snapshot_that_is_too_short_is_found_out(line, tables, look_back, feature):
    flights, clean, features = tables
    short = builder(line, clean, look_back)
    found = one_by_one(
        sorted(set(features["site"])), lambda site: checked(short, site, flights.lazy(), features.lazy())
    )
    assert len(found.failed) > 5
    assert any(feature in str(error) for error in found.failed.values())


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
    flights, clean, _ = tables
    built = builder(line, clean, line.online_snapshot)
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

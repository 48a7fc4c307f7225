"""Invariant 6 on real departures: what the gateway builds of a raw flight is what training built of it, bit by bit."""

from datetime import datetime

import polars as pl
import pytest
import yaml

from assets.line_file import LineFile
from assets.production_line import ProductionLine
from factory.context.builder import Builder
from factory.context.checking import checked
from factory.context.look_back import LookBack
from factory.context.making import made
from factory.isolation import one_by_one
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
    new = made(line, look_back, {name: rows.lazy() for name, rows in clean.items()}, "a quarter")
    return Builder(new.context, new.tables)


def test_recent_flights_built_anew_on_the_lines_own_context_have_the_features_of_training(line, tables):
    flights, clean, features = tables
    built = builder(line, clean, line.context)
    for site in SITES:
        assert checked(built, site, flights.lazy(), features.lazy()) > 0


@pytest.mark.parametrize(
    ("look_back", "feature"),
    [
        (LookBack(days=27, last_of={"flights": ("tailnum",)}), "28d"),
        (LookBack(days=29), "aircraft_"),
    ],
)
def test_a_context_that_is_too_short_is_found_out(line, tables, look_back, feature):
    flights, clean, features = tables
    short = builder(line, clean, look_back)
    found = one_by_one(
        sorted(set(features["site"])), lambda site: checked(short, site, flights.lazy(), features.lazy())
    )
    assert len(found.failed) > 5
    assert any(feature in str(error) for error in found.failed.values())

"""Whatever zone a line's moments are told in, a snapshot keeps, answers and checks the same decisions."""

import dataclasses
from datetime import timedelta

import polars as pl
import pytest

from factory.features.online.builder import Builder
from factory.line.look_back import RECENT, LookBack
from factory.storage.columns import type_name
from tests.features.online import pressing
from tests.features.online.pressing import LINE, made_snapshot, newest
from tests.toy.press_faults.presses import PARTS, parts, repair_parts

ZONES = [None, "UTC", "Asia/Tokyo", "America/New_York"]
NEWEST = max(parts(plant)["pressed_at"].max() for plant in PARTS)
DAYS = 1


def in_zone(rows, zone):
    """The parts with their moments told in a zone; in none they are in UTC."""
    at = pl.col("pressed_at").dt
    return rows.with_columns(at.convert_time_zone(zone) if zone else at.replace_time_zone(None))


def snapshot_in(zone, raw):
    """The snapshot of a line whose moments are told so, and its clean tables."""
    clean = {**pressing.clean_tables(), "parts": repair_parts(raw.drop("_load", "_row"))}
    columns = {**LINE.decisions.columns, "pressed_at": type_name(pl.Datetime("us", zone))}
    table = dataclasses.replace(LINE.decisions, columns=columns)
    line = dataclasses.replace(LINE, tables={**LINE.tables, "parts": table})
    look_back = LookBack(days=DAYS, stale_after_hours=2)
    return made_snapshot(line=line, look_back=look_back, tables=clean), clean


def since(plant, age):
    """How many of a plant's parts are no older than that."""
    return parts(plant).filter(pl.col("pressed_at") >= NEWEST - age).height


@pytest.mark.parametrize("zone", ZONES)
def test_moments_of_every_zone_are_kept_and_checked_alike(zone):
    raw = in_zone(pressing.raw_rows(), zone)
    new, clean = snapshot_in(zone, raw)
    assert new.snapshot.known_until == NEWEST.isoformat()
    assert new.snapshot.tables["parts"].rows == sum(since(plant, RECENT + timedelta(days=DAYS)) for plant in PARTS)
    features = LINE.features.build(clean)
    assert pressing.proved(new, raw=raw, rows=features).done == {plant: since(plant, RECENT) for plant in PARTS}


@pytest.mark.parametrize("zone", ZONES)
def test_moments_of_every_zone_are_answered_alike(zone):
    new, _ = snapshot_in(zone, in_zone(pressing.raw_rows(), zone))
    rows = in_zone(pl.DataFrame(newest("north", since("north", RECENT) + 1)), zone).to_dicts()
    built = Builder(new.snapshot, new.tables).build("north", [pressing.record(row) for row in rows])
    assert list(built.refused) == [0]
    assert "features are built here for decisions from" in built.refused[0]


def test_hours_are_counted_over_a_change_of_clocks():
    spring = timedelta(days=11)  # New York changed its clocks within the two days before
    raw = in_zone(pressing.raw_rows().with_columns(pl.col("pressed_at") + spring), "America/New_York")
    new, _ = snapshot_in("America/New_York", raw)
    assert new.snapshot.answers_from == (NEWEST + spring - RECENT).isoformat()

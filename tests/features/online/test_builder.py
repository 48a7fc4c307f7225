"""Invariant 6 at the gateway's door: a business row becomes the very features that training has, or says why not."""

import dataclasses
import json
import re
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import LineError, RecordRefused, SnapshotRefused
from factory.features.online.assembly import assembled
from factory.features.online.builder import Builder
from factory.line.look_back import LookBack
from tests.features.online import pressing
from tests.features.online.pressing import LINE, PARTS, builder, made_snapshot, newest, record
from tests.toy.press_faults.presses import build as build_alone

NAMES = ["force_kn", "heat_c", "crew"]


def expected(rows):
    keys = pl.DataFrame({"part": [row["part"] for row in rows]})
    found = keys.join(pressing.features().collect(), on="part", how="left", maintain_order="left")
    return found.select(NAMES).to_numpy()


def test_a_row_that_is_asked_has_the_features_that_training_has():
    asked = newest("north", 5)
    built = builder().build("north", [record(row) for row in asked])
    assert built.places == [0, 1, 2, 3, 4]
    assert not built.refused
    np.testing.assert_array_equal(built.features, expected(asked))
    assert json.loads(built.subjects[4]) == {
        "part": asked[4]["part"],
        "decided_at": asked[4]["pressed_at"].isoformat(),
    }


def test_a_row_that_nobody_has_seen_yet_is_built_all_the_same():
    (row,) = newest("north")
    fresh = record(row, part=99_999, pressed_at=(row["pressed_at"] - timedelta(hours=1)).isoformat(), force_kn=12.5)
    built = builder().build("north", [fresh])
    assert built.features[0].tolist() == [12.5, np.float32(row["heat_c"]), expected([row])[0][2]]


def test_where_a_row_says_all_by_itself_no_other_is_kept():
    new = made_snapshot(look_back=LookBack(row_alone=True))
    alone = Builder(new.snapshot, new.tables)
    assert {name: kept.rows for name, kept in alone.snapshot.tables.items()} == {"parts": 0, "shifts": 60}
    asked = newest("north", 2)
    built = alone.build("north", [record(row) for row in asked])
    np.testing.assert_array_equal(built.features, expected(asked))
    assert pressing.proved(new).done["north"] > 10


def test_a_row_that_breaks_the_contract_is_refused_alone_with_the_rule_and_the_value():
    good, bad = (record(row) for row in newest("north", 2))
    built = builder().build("north", [{**bad, "force_kn": 2000.0}, good, {**bad, "part": None}])
    assert built.places == [1]
    assert built.refused[0] == "breaks the contract: force_kn: values to be between (force_kn is 2000.0)"
    assert "part is None" in built.refused[2]


def test_where_every_row_breaks_the_contract_nothing_is_built():
    bad = record(newest("north")[0], force_kn=-1.0)
    built = builder().build("north", [bad])
    assert (built.features.shape, list(built.refused)) == ((0, 3), [0])


def test_a_decision_beyond_the_snapshot_is_refused_with_both_moments():
    stale = LookBack(days=1, stale_after_hours=2)
    (row,) = newest("north")
    early, late = ((row["pressed_at"] + timedelta(hours=hours)).isoformat() for hours in (-72, 30))
    built = builder(look_back=stale).build(
        "north", [record(row, part=1, pressed_at=early), record(row), record(row, part=2, pressed_at=late)]
    )
    assert built.places == [1]
    assert f"is decided at {early}; features are built here for decisions from" in built.refused[0]
    assert f"is decided at {late}, 2 hours or more after its site's newest row here" in built.refused[2]


@given(days=st.integers(0, 40), silent=st.sampled_from(sorted(PARTS)), hours=st.integers(1, 200))
@settings(max_examples=20, deadline=None)
def test_a_site_that_fell_silent_is_not_answered_as_if_known_until_the_others_sent(days, silent, hours):
    """Staleness is each site's own: whatever the others sent since, and whatever is asked of them."""
    tables = pressing.clean_tables()
    parts = tables["parts"].collect()
    moments = parts.filter(pl.col("site") != silent)["pressed_at"]
    last = moments.max() - timedelta(days=days)
    heard = parts.filter((pl.col("site") != silent) | (pl.col("pressed_at") <= last))
    new = made_snapshot(tables={**tables, "parts": heard.lazy()}, look_back=LookBack(days=60, stale_after_hours=hours))
    built = Builder(new.snapshot, new.tables)
    for site in PARTS:
        known = heard.filter(pl.col("site") == site)["pressed_at"].max()
        (row,) = newest(site)
        asked = built.build(site, [record(row, part=9_999_999, pressed_at=moments.max().isoformat())])
        stale = known is None or moments.max() >= known + timedelta(hours=hours)
        assert bool(asked.refused) == stale
        assert asked.known_until == (known.isoformat() if known else None)


def test_what_a_request_says_of_the_time_since_makes_a_silent_site_known():
    (row,) = newest("north")
    late = row["pressed_at"] + timedelta(days=30)
    asked = builder(look_back=LookBack(days=1, stale_after_hours=2))
    new = record(row, part=9_999_999, pressed_at=late.isoformat())
    assert asked.build("north", [new]).refused
    told = asked.build("north", [new], known_until=(late - timedelta(hours=1)).isoformat())
    assert (told.refused, told.known_until) == ({}, (late - timedelta(hours=1)).isoformat())


def test_a_decision_without_a_moment_is_refused_where_moments_count():
    line = dataclasses.replace(LINE, features=dataclasses.replace(LINE.features, build=weakly_pressed_undecided))
    good = record(newest("north")[0])
    asked = [{**good, "part": 1, "force_kn": 0.5}, good]
    for look_back in (LookBack(days=1), LookBack(days=1, stale_after_hours=2)):
        built = builder(line=line, look_back=look_back).build("north", asked)
        assert built.places == [1]
        assert built.refused == {0: "has no moment of decision"}
    timeless = builder(line=line, look_back=LookBack(row_alone=True)).build("north", asked)
    assert (timeless.places, timeless.refused) == ([0, 1], {})


def weakly_pressed_undecided(tables):
    """Features of which those of weakly pressed parts have no moment."""
    return build_alone(tables).with_columns(pl.when(pl.col("force_kn") > 1).then("decided_at").alias("decided_at"))


@pytest.mark.parametrize(
    ("site", "changed", "says"),
    [
        ("north", {"plant": "south"}, "row 0: plant is 'south'; this door is of site north"),
        ("north", {"force_kn": "much"}, "row 0: force_kn is 'much'; it must be of type Float64"),
        ("mars", {}, "line press_faults, site mars: its features, built here, were not seen to be those of training"),
    ],
)
def test_a_row_that_is_none_of_this_site_and_table_is_refused(site, changed, says):
    with pytest.raises(RecordRefused, match=says):
        builder().build(site, [record(newest("north")[0], **changed)])


def test_rows_that_the_lines_own_arithmetic_cannot_take_are_refused_and_those_of_lost_years_alone():
    line = dataclasses.replace(LINE, features=dataclasses.replace(LINE.features, build=whole_degrees_two_hours_before))
    built, (row,) = builder(line=line), newest("north")
    with pytest.raises(RecordRefused, match=r"beyond what their arithmetic takes \(.*conversion from"):
        built.build("north", [record(row), record(row, part=1, heat_c=-7.5)])
    found = built.build("north", [record(row), record(row, part=1, pressed_at="0001-01-01T00:00:00+00:00")])
    assert found.places == [0]
    assert found.refused == {1: "is decided in a year that no calendar has"}


def whole_degrees_two_hours_before(tables):
    """Features of which one has no negative values, of decisions before the part is pressed."""
    rows = build_alone(tables).with_columns(pl.col("heat_c").cast(pl.UInt16).cast(pl.Float32))
    return rows.with_columns(pl.col("decided_at") - timedelta(hours=2))


def test_one_thing_asked_twice_is_refused():
    row = record(newest("north")[0])
    with pytest.raises(RecordRefused, match=r"rows 0 and 1 have one key \(part\)"):
        builder().build("north", [row, {**row, "force_kn": 5.0}])


def test_rows_of_other_sites_may_stand_beside_and_are_typed_and_judged_as_others_are():
    row, other = (record(newest(plant)[0]) for plant in ("north", "south"))
    alone = builder().build("north", [row])
    np.testing.assert_array_equal(builder().build("north", [row], [other]).features, alone.features)
    for context, says in (
        ([row], r"row 0 and row 0 of context have one key \(part\)"),
        ([other, other], r"context: rows 0 and 1 have one key \(part\)"),
        ([other, {**other, "part": 5, "force_kn": -1.0}], r"context: row 1 breaks the contract: force_kn: .* -1\.0"),
        ([{**other, "force_kn": "much"}], "context: row 0: force_kn is 'much'; it must be of type Float64"),
        ([{**other, "plant": None}], "context: row 0 has no plant"),
    ):
        with pytest.raises(RecordRefused, match=says):
            builder().build("north", [row], context)
    for until in ("yesterday", "2024-05-01", "0001-01-01T00:00:00+09:00"):
        with pytest.raises(RecordRefused, match=r"known_until is .* must be a moment as ISO text with an offset"):
            builder().build("north", [row], (), until)


def test_code_that_is_not_what_made_the_features_is_refused():
    new = made_snapshot()
    for wrong, says in (
        ({"code": "0" * 64}, "is not what made the features"),
        ({"build": "tests.nowhere:build"}, "tests.nowhere:build cannot be loaded here"),
    ):
        path = dataclasses.replace(new.snapshot.row_path, **wrong)
        with pytest.raises(SnapshotRefused, match=says):
            Builder(dataclasses.replace(new.snapshot, row_path=path), new.tables)


def test_a_snapshot_that_gives_the_features_of_training_is_seen_to():
    found = pressing.proved(made_snapshot(sites=("north", "mars")))
    assert found.done["north"] > 10
    assert found.done["mars"] == 0


def test_features_that_look_back_further_than_the_snapshot_are_told_with_both_values():
    line = dataclasses.replace(LINE, features=dataclasses.replace(LINE.features, build=parts_so_far))
    new = made_snapshot(line=line)
    found = pressing.proved(new, line, rows=parts_so_far(pressing.clean_tables()))
    says = r"site north: crew cannot be told at the gateway's door: .* its decision at .* is \d+\.0 and not \d+\.0"
    assert re.match(says, str(found.failed["north"]))


def parts_so_far(tables):
    """Features of which one counts all parts that a plant has ever pressed."""
    return build_alone(tables).with_columns(crew=pl.int_range(pl.len()).over("site").cast(pl.Float32))


def test_a_key_that_repair_throws_away_and_a_build_nobody_can_find_are_mistakes_of_the_line():
    tables = pressing.clean_tables()
    with pytest.raises(LineError, match="clean rows of parts have no part"):
        assembled(LINE, LookBack(), {**tables, "parts": tables["parts"].drop("part")}, {}, "x")

    def hidden(tables):
        return build_alone(tables)

    nameless = dataclasses.replace(LINE.features, build=hidden)
    with pytest.raises(LineError, match="no function of a module's own"):
        assembled(dataclasses.replace(LINE, features=nameless), LookBack(), tables, {}, "x")
    derived = dataclasses.replace(LINE.features, key=("day",))
    with pytest.raises(LineError, match=r"features\.key names day, no raw column of parts"):
        assembled(dataclasses.replace(LINE, features=derived), LookBack(), tables, {}, "x")

"""Invariant 6 by property: in small worlds of all kinds a request has the features that training has, later."""

import dataclasses

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.features.announced import known_tables
from factory.features.online.assembly import assembled
from factory.features.online.builder import Builder
from factory.features.online.proof import Trained, prove
from factory.line.expectation import Expectation
from tests.toy.orders import HOUR, KNOWN_BEFORE, NAMES, START, build_eagerly, orders, orders_line

PLANTS = ("north", "south", "east")
END = 96
ORDERS = st.tuples(
    st.sampled_from(PLANTS),
    st.integers(0, 40),  # hours from its opening until it is due
    st.integers(0, END),
    st.integers(0, 9),  # how late it is done
)
WORLDS = st.lists(ORDERS, min_size=4, max_size=24)


def world(drawn):
    """Raw orders, numbered as the lake has them."""
    rows = orders(*((plant, due - before, due, due + late) for plant, before, due, late in drawn))
    return rows.with_columns(site=pl.col("plant"))


def at(hours):
    return START + hours * HOUR


def known_at(rows, hours):
    """What is known of orders at a moment: those that are due or opened before it, and whether they are done."""
    known, done = (pl.col("due_at") < at(hours)) | (pl.col("opened_at") < at(hours)), pl.col("done_at") < at(hours)
    return rows.filter(known).with_columns(pl.when(done).then(pl.col(name)).alias(name) for name in ("done_at", "late"))


def snapshot_of(line, rows, hours):
    """The builder of what a lake had at a moment: what had happened, as far as it was known, and what was announced."""
    moment, known = at(hours), known_at(rows, hours)
    happened, announced = (known.filter(part) for part in (pl.col("due_at") < moment, pl.col("due_at") >= moment))
    new = assembled(line, line.online_snapshot, {"orders": happened.lazy()}, {"orders": announced.lazy()}, "x")
    return Builder(dataclasses.replace(new.snapshot, sites=PLANTS, known_until=moment.isoformat()), new.tables), new


def record(row, *later):
    names = (*KNOWN_BEFORE, *later)
    return {name: row[name].isoformat() if name.endswith("_at") else row[name] for name in names}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(WORLDS, st.data())
def test_features_at_the_door_are_those_of_training(drawn, data):
    """A lake as of an order's moment of decision, and any part of its announced rows sent with the request instead."""
    line, rows = orders_line(days=30), world(drawn)
    row = data.draw(st.sampled_from(rows.to_dicts()))
    trained = line.features.build(known_tables(line, {"orders": rows.lazy()}, {})).collect()
    hours = round((row["due_at"] - HOUR - START) / HOUR)
    builder, new = snapshot_of(line, rows, hours)
    coming = new.tables["announced/orders"]
    sent = [one for one in coming.to_dicts() if one["order"] != row["order"] and data.draw(st.booleans())]
    kept = coming.filter(~pl.col("order").is_in([one["order"] for one in sent]))
    builder = Builder(builder.snapshot, {**new.tables, "announced/orders": kept})
    built = builder.build(row["plant"], [record(row)], [record(one) for one in sent])
    if built.refused:  # before the time that the snapshot answers
        return
    expected = trained.filter(pl.col("order") == row["order"]).select(NAMES).cast(pl.Float32).to_numpy()
    np.testing.assert_allclose(built.features, expected, rtol=1e-5)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(WORLDS, st.integers(0, 30), st.data())
def test_a_snapshot_of_some_hours_ago_and_what_was_learnt_since_are_a_fresh_one(drawn, hours_ago, data):
    """What happened or was announced since is sent as context, and until when it is complete."""
    line, rows = orders_line(days=30), world(drawn)
    row = data.draw(st.sampled_from(rows.to_dicts()))
    trained = line.features.build(known_tables(line, {"orders": rows.lazy()}, {})).collect()
    hours = round((row["due_at"] - HOUR - START) / HOUR)
    builder, old = snapshot_of(line, rows, hours - hours_ago)
    now = known_at(rows, hours)
    same = pl.concat([old.tables["orders"], old.tables["announced/orders"]]).select(now.columns)
    learnt = now.filter(pl.col("order") != row["order"]).join(same, on=now.columns, how="anti", nulls_equal=True)
    context = [record(one, *later(one)) for one in learnt.to_dicts()]
    built = builder.build(row["plant"], [record(row)], context, at(hours).isoformat())
    assert built.known_until == at(hours).isoformat()
    expected = trained.filter(pl.col("order") == row["order"]).select(NAMES).cast(pl.Float32).to_numpy()
    if not built.refused:
        np.testing.assert_allclose(built.features, expected, rtol=1e-5)


def test_rules_about_what_is_not_known_yet_are_not_judged_of_a_row_that_is_only_announced():
    line = orders_line(days=30)
    whole = Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "late"})
    table = dataclasses.replace(line.decisions, contract=(*line.decisions.contract, whole))
    line = dataclasses.replace(line, tables={"orders": table})
    rows = world([("north", 20, 60, 1), ("north", 20, 62, 0)])
    builder, _ = snapshot_of(line, rows, 58)
    first, second = rows.to_dicts()
    assert builder.build("north", [record(first)], [record(second)]).places == [0]
    half = {**record(first), "done_at": at(59).isoformat()}
    assert "late is None" in builder.build("north", [half]).refused[0]
    assert "size is -1.0" in builder.build("north", [{**record(first), "size": -1.0}]).refused[0]


def later(row):
    """The columns of an order that are known of it by now."""
    return () if row["done_at"] is None else ("done_at", "late")


def proved(line, rows, until=END):
    """What the proof says of a world as of its end."""
    numbered = rows.with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len(), dtype=pl.Int64)).lazy()
    new = assembled(line, line.online_snapshot, {"orders": rows.lazy()}, {}, "x")
    builder = Builder(dataclasses.replace(new.snapshot, sites=PLANTS), new.tables)
    features = line.features.build(known_tables(line, {"orders": rows.lazy()}, {}))
    return prove(Trained(line=line, raw={"orders": numbered}, features=features), builder, new.tables)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(WORLDS)
def test_the_proof_lets_every_such_world_through(drawn):
    assert proved(orders_line(days=30), world(drawn)).failed == {}


def test_the_proof_names_what_a_request_could_not_have_had():
    """Two orders of one hour, the second opened after the first was decided: training counts it, no request could."""
    rows = world([("north", 20, 60, 1), ("north", 0, 60, 0), ("south", 30, 70, 2)])
    assert proved(orders_line(days=30), rows).failed == {}
    counted = proved(orders_line(build=build_eagerly, days=30), rows)
    assert set(counted.failed) == {"north"}
    assert "due_beside cannot be told at the gateway's door" in str(counted.failed["north"])


def test_without_an_announcement_no_neighbour_is_seen_before_it_happens():
    rows = world([("north", 20, 60, 1), ("south", 20, 60, 0)])
    found = proved(orders_line(announced=False, days=30), rows)
    assert {site: "due_beside" in str(why) for site, why in found.failed.items()} == {"north": True, "south": True}

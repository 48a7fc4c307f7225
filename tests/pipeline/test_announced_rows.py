"""What is announced, from the source to the gateway's snapshot; and the rows of all sites where features need them."""

import json
from datetime import timedelta

import polars as pl
import pytest

from factory.errors import LineError
from factory.features.online.builder import Builder
from factory.features.online.store import Snapshots
from factory.line.announced import Announced
from factory.release.signing import public_key
from tests.toy.orders import (
    HOUR,
    KNOWN_BEFORE,
    NAMES,
    START,
    OrdersRun,
    build_eagerly,
    orders,
    orders_line,
    stops,
    with_stops,
)

ROWS = orders(
    *(("north", hour - 30, hour, hour + hour % 3) for hour in range(6, 90, 2)),
    *(("south", hour - 20, hour, hour + hour % 5) for hour in range(5, 90, 3)),
    *(("south", 47, 60 + hour, 70 + hour) for hour in range(3)),  # opened an hour before the run looks
    *(("south", 49, 52 + hour, 60 + hour) for hour in range(3)),  # and an hour after
)
UNTIL = 48


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    run = OrdersRun(tmp_path_factory.mktemp("orders"), rows=ROWS)
    run.heard = run.run(["north", "south"], UNTIL)
    return run


def test_what_is_announced_lies_in_the_lake_apart_and_without_what_nobody_knows_yet(done):
    assert done.heard.failed_steps == []
    rows, moment = done.lake.scan("announced").collect(), START + UNTIL * HOUR
    wanted = ROWS.filter(pl.col("due_at") >= moment, pl.col("opened_at") < moment)
    assert sorted(rows["order"]) == sorted(wanted["order"])
    assert rows["done_at"].null_count() == rows["late"].null_count() == len(rows) > 10
    assert rows["size"].null_count() == 0
    happened = done.lake.scan("clean").collect()
    assert not set(happened["order"]) & set(rows["order"])
    assert set(done.lake.scan("features").collect()["order"]) == set(happened["order"])


def test_the_snapshot_holds_them_apart_and_every_door_is_open(done):
    snapshot, tables = Snapshots(done.home / "models").load("orders", public_key(done.home / "keys" / "release.pub"))
    assert snapshot.shut == {}
    assert snapshot.sites == ("north", "south")
    assert len(tables["announced/orders"]) == done.lake.scan("announced").collect().height
    assert tables["orders"]["due_at"].max() < START + UNTIL * HOUR
    built = Builder(snapshot, tables).build("north", [record(row) for row in coming_of("north", 1)])
    assert built.places == [0]
    assert json.loads(built.subjects[0])["order"] == coming_of("north", 1)[0]["order"]


def coming_of(plant, count):
    """The next orders of a plant, as raw rows."""
    later = ROWS.filter(pl.col("plant") == plant, pl.col("due_at") >= START + UNTIL * HOUR)
    return later.sort("due_at").head(count).to_dicts()


def record(row):
    """An order as a client sends it."""
    return {name: row[name].isoformat() if name.endswith("_at") else row[name] for name in KNOWN_BEFORE}


PLAN = stops((0, 10, 2.0), (20, 44, 3.0), (40, 50, 1.0), (46, 52, 4.0), (49, 53, 5.0))


def test_a_plan_that_all_sites_share_is_announced_too(tmp_path):
    run = OrdersRun(tmp_path, with_stops(orders_line()), ROWS, plan=PLAN)
    heard = run.run(["north", "south"], UNTIL)
    assert heard.failed_steps == []
    coming = run.lake.scan("announced_stops").collect()
    assert coming["number"].to_list() == [2, 3]  # the last one was planned later
    assert coming["lasted_h"].null_count() == 2
    snapshot, tables = Snapshots(tmp_path / "models").load("orders", public_key(tmp_path / "keys" / "release.pub"))
    assert snapshot.shut == {}
    (row,) = coming_of("north", 1)
    built = Builder(snapshot, tables).build("north", [record(row)])
    assert built.features[0][NAMES.index("size")] == 2 * 1000 + 2 + 3


def test_a_row_that_breaks_the_contract_is_announced_by_nobody(tmp_path):
    broken = ROWS.with_columns(size=pl.when(pl.col("order") == 22).then(-1.0).otherwise("size"))
    run = OrdersRun(tmp_path, rows=broken)
    assert run.run(["north", "south"], UNTIL, ("raw", "clean", "announced")).failed_steps == []
    refused = run.lake.scan("announced_quarantine").collect()
    assert refused["order"].to_list() == [22]
    assert 22 not in run.lake.scan("announced").collect()["order"].to_list()


def test_what_was_withdrawn_is_gone_and_what_happened_is_announced_no_more(tmp_path):
    run = OrdersRun(tmp_path, rows=ROWS)
    stages = ("raw", "clean", "announced")
    run.run(["north", "south"], UNTIL, stages)
    first = set(run.lake.scan("announced").collect()["order"])
    withdrawn = max(first)
    run.source.rows = ROWS.filter(pl.col("order") != withdrawn)
    run.run(["north", "south"], UNTIL + 6, stages)
    second, happened = (set(run.lake.scan(name).collect()["order"]) for name in ("announced", "clean"))
    assert withdrawn not in second
    assert first - second - {withdrawn} <= happened


def test_a_feature_that_counts_what_nobody_announced_shuts_the_doors_by_its_name(tmp_path):
    sudden = [("north", 44, 44, 45), ("south", 10, 44, 45), ("east", 10, 43, 44)]  # the first, when it is due
    run = OrdersRun(tmp_path, orders_line(build=build_eagerly), orders(*sudden))
    heard = run.run(["north", "south", "east"], UNTIL)
    assert [site for _, site, _ in heard.failed_steps] == ["south"]
    snapshot = Snapshots(tmp_path / "models").current("orders")
    assert snapshot.sites == ("east", "north")
    assert "due_beside cannot be told at the gateway's door" in snapshot.shut["south"]


def test_a_run_of_one_site_brings_in_the_rows_of_all_and_its_features_are_those_of_a_whole_run(done, tmp_path):
    run = OrdersRun(tmp_path, rows=ROWS)
    heard = run.run(["north"], UNTIL)
    assert heard.failed_steps == []
    assert set(heard.done) == {
        (name, "north") for name in ("raw/orders", "clean", "announced", "features", "online_snapshot")
    }
    assert "those of 1 others come in too: south" in run.said[0]
    assert set(run.lake.scan("clean").collect()["site"]) == {"north", "south"}
    alone, whole = (one.lake.scan("features", ["north"]).collect().sort("order") for one in (run, done))
    assert alone.equals(whole.select(alone.columns))
    assert set(run.lake.scan("features").collect()["site"]) == {"north"}


def test_a_neighbour_whose_source_fails_is_named_and_keeps_nobody_from_going_on(tmp_path):
    run = OrdersRun(tmp_path, rows=ROWS, broken=["south"])
    heard = run.run(["north"], UNTIL, ("raw", "clean", "announced", "features"))
    assert ("raw/orders", "south", "the line to south was cut") in heard.failed_steps
    assert ("features", "north") in heard.done


def test_a_run_that_brings_in_nothing_is_refused_where_rows_of_a_site_are_missing(tmp_path):
    run = OrdersRun(tmp_path, rows=ROWS)
    run.run(["north"], UNTIL, ("raw", "clean", "announced"))
    ((step, site, why),) = run.run(["north"], UNTIL, ("features",)).failed_steps
    assert (step, site) == ("features", "north")
    assert "depend on orders of all sites, and rows of south before 2024-05-03 are lacking" in why
    assert "factory run orders --sites north --until 2024-05-03" in why


@pytest.mark.parametrize("sites", [["north"], ["north", "south"]])
def test_a_line_that_depends_on_other_sites_and_does_not_say_so_is_refused_by_the_features_name(tmp_path, sites):
    run = OrdersRun(tmp_path, orders_line(across_sites=()), ROWS)
    heard = run.run(sites, UNTIL, ("raw", "clean", "announced", "features"))
    assert {site for step, site, _ in heard.failed_steps if step == "features"} == set(sites)
    assert "due_beside depends on rows of other sites in orders (" in heard.failed_steps[0][2]
    assert "write `across_sites: [orders]` under `features`" in heard.failed_steps[0][2]


@pytest.mark.parametrize(
    ("announced", "says"),
    [
        (Announced(at="opened_at", columns=("order", "due_at", "opened_at")), "leaves out plant"),
        (Announced(ahead_days=2, columns=(*KNOWN_BEFORE, "colour")), "announced names 'colour'"),
        (Announced(at="size", columns=KNOWN_BEFORE), "need a cursor that is a moment, and so is `at`; size is Float64"),
    ],
)
def test_an_announcement_that_tells_no_rows_apart_is_a_mistake_of_the_line(announced, says):
    table = orders_line().decisions
    with pytest.raises(LineError, match=says):
        type(table)(**{**vars(table), "announced": announced})


def test_an_announcement_says_once_since_when():
    for wrong in ({}, {"at": "opened_at", "ahead_days": 1}, {"ahead_days": -1}):
        with pytest.raises(ValueError, match=r"say either|must be above 0"):
            Announced(columns=NAMES, **wrong)
    assert Announced(columns=NAMES, ahead_days=2).before(START) == START + timedelta(days=2)

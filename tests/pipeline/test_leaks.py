"""A build that looks at the future stops at `features`, whichever sites show it, and is told with both values."""

import dataclasses

import polars as pl

from factory.features.windows import ASKED
from factory.storage.journal import Journal
from tests.toy.orders import HOUR, OrdersRun, build, orders, orders_line

ROWS = orders(
    *(("north", hour - 30 * (hour % 2), hour, hour + hour % 3) for hour in range(6, 90, 2)),
    *(("south", hour - 20, hour, hour + hour % 5) for hour in range(5, 90, 3)),
)
TO_FEATURES = ("raw", "clean", "announced", "features")
SITES = ["north", "south"]


def failed(tmp_path, line, until=90):
    """Why each site fails, and what the lake has of its features."""
    run = OrdersRun(tmp_path, line, ROWS)
    heard = run.run(SITES, until, TO_FEATURES)
    assert {stage for stage, _, _ in heard.failed_steps} <= {"features"}
    return {site: why for _, site, why in heard.failed_steps}, run.lake.has("features")


def build_with_foresight(tables):
    """Features that count as due beside an order those of the next six hours, whether or not they were announced."""
    at, due = pl.col("due_at") - HOUR, pl.col("other_due_at")
    rows = tables["orders"].select("site", "order", "due_at")
    pairs = rows.join(rows.select(other_due_at="due_at"), how="cross").filter(due.is_between(at, at + 6 * HOUR))
    counted = pairs.group_by("site", "order").agg(due_beside=pl.len().cast(pl.Float32))
    return build(tables).drop("due_beside").join(counted, on=["site", "order"], how="left")


def test_features_that_count_orders_nobody_announced_are_not_learnt_from(tmp_path):
    reasons, kept = failed(tmp_path, orders_line(build=build_with_foresight))
    assert set(reasons) == set(SITES)
    assert not kept
    for why in reasons.values():
        assert "due_beside of the decision at 2024-05-0" in why
        assert "(order " in why
        assert "when it is built from what was known at" in why


def test_a_leak_that_shows_at_one_site_stops_the_others_too_for_one_function_builds_them_all(tmp_path):
    def leak_of_the_north(tables):
        after = pl.col("size").shift(-1).over("site", order_by="decided_at")
        return build(tables).with_columns(size=pl.when(pl.col("site") == "north").then(after).otherwise(pl.col("size")))

    line = orders_line()
    reasons, kept = failed(
        tmp_path, dataclasses.replace(line, features=dataclasses.replace(line.features, build=leak_of_the_north))
    )
    assert reasons["north"].startswith("line orders, site north: size of the decision")
    assert reasons["south"] == f"one function builds the features of all sites: {reasons['north']}"
    assert not kept


def test_a_build_that_cannot_be_done_on_part_of_the_rows_stops_with_its_own_words(tmp_path):
    def picky(tables):
        if ASKED in tables["orders"].collect_schema() and len(tables["orders"].collect()) < len(ROWS):
            raise ValueError("all or nothing")
        return build(tables)

    line = orders_line(build=picky, announced=False)
    reasons, _ = failed(tmp_path, line)
    assert all(
        "ValueError: all or nothing. They must be built of any part of the rows" in why for why in reasons.values()
    )


def test_how_many_decisions_were_built_anew_is_on_record(tmp_path):
    run = OrdersRun(tmp_path, orders_line(), ROWS)
    run.run(SITES, 90, TO_FEATURES)
    entries = Journal(run.lake).latest("features", SITES)
    assert all(entry.figures["proved_decisions"] > 20 for entry in entries.values())


def test_what_the_same_code_proved_before_is_looked_at_again_at_the_newest_moments_alone(tmp_path):
    run = OrdersRun(tmp_path, orders_line(), ROWS)
    proved = []
    for until, line in ((60, run.line), (90, run.line), (90, orders_line(build=build_again))):
        run.line = line
        assert run.run(SITES, until, TO_FEATURES).failed_steps == []
        proved.append(Journal(run.lake).latest("features", ["north"])["north"].figures["proved_decisions"])
    assert proved[1] < proved[0] < proved[2]


def build_again(tables):
    """The same features by another function."""
    return build(tables).sort("order")

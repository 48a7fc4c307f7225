"""A label that the line's task does not know is never learnt as another, and stops no other site."""

from dataclasses import replace

import polars as pl

from tests.toy.orders import OrdersRun, orders, orders_line

ROWS = orders(
    *(("north", hour - 30, hour, hour + hour % 3) for hour in range(6, 90, 2)),
    *(("south", hour - 20, hour, hour + hour % 5) for hour in range(5, 90, 3)),
)


def test_a_site_whose_features_give_a_label_of_no_meaning_stops_with_the_value_and_no_other_site(tmp_path):
    line = orders_line()

    def build(tables):
        return line.features.build(tables).with_columns(
            label=pl.col("label") * pl.when(pl.col("site") == "south").then(2).otherwise(1)
        )

    run = OrdersRun(tmp_path, replace(line, features=replace(line.features, build=build)), ROWS)
    heard = run.run(["north", "south"], 48, ("raw", "clean", "announced", "features"))
    ((stage, site, error),) = heard.failed_steps
    assert (stage, site) == ("features", "south")
    assert "site south: labels say 2; a binary line's features give 0, 1 or null" in error
    assert "expect_column_values_to_be_in_set" in error
    assert set(run.lake.scan("features").collect()["site"]) == {"north"}

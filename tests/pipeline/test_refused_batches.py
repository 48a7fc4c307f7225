"""A batch that is mostly broken stops its site, and waits in quarantine where it can be seen and corrected."""

from dataclasses import replace
from types import SimpleNamespace

import polars as pl

from factory.line.expectation import Expectation
from tests.toy.orders import OrdersRun, orders, orders_line


def test_what_is_refused_is_in_quarantine_and_the_clean_rows_stay(tmp_path):
    line = orders_line(announced=False, across_sites=())
    kept = Expectation(type="expect_column_values_to_be_between", kwargs={"column": "size", "min_value": 0})
    run = OrdersRun(tmp_path, line=replace(line, tables={"orders": replace(line.tables["orders"], contract=(kept,))}))

    run.alerts = SimpleNamespace(tell=lambda *_, **__: True)

    def load(until, sizes):
        hours = [(plant, hour, size) for plant in ("north", "south") for hour, size in enumerate(sizes[plant])]
        run.source.rows = orders(*((plant, hour - 1, hour, hour) for plant, hour, _ in hours)).with_columns(
            order=pl.Series([hour * 2 + (plant == "south") for plant, hour, _ in hours], dtype=pl.Int64),
            size=pl.Series([size for *_, size in hours]),
        )
        return run.run(["north", "south"], until, ("raw", "clean"))

    def rows(table):
        return dict(run.lake.scan(table).group_by("site").len().collect().sort("site").iter_rows())

    load(24, {"north": [1.0] * 24, "south": [1.0] * 24})
    load(48, {"north": [1.0] * 48, "south": [1.0] * 24 + [-1.0] * 24})
    assert rows("clean") == {"north": 48, "south": 24}
    assert rows("quarantine") == {"south": 24}

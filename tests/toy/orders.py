"""Plants with orders that are announced before they are due: a line of small worlds, run stage by stage.

An order is opened, is due, and is done then or later. The decision, an hour before it is due: will it be late?
"""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl

from factory.compute.engine import Compute
from factory.connectors.outbox.store import OutboxStore
from factory.data.contract.compiler import compile_contract
from factory.features.windows import ASKED, PENDING, with_pending
from factory.line.announced import ANNOUNCED_AT, Announced
from factory.line.expectation import Expectation
from factory.line.line import Features, Table
from factory.line.look_back import LookBack
from factory.monitoring.alerts import Alerts
from factory.names import LINE_SITE
from factory.pipeline.fingerprints import LineCode
from factory.pipeline.runner import Runner
from factory.pipeline.stages import steps
from factory.release.store import ModelStore
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from tests.toy.line import toy_line

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
COLUMNS = {
    "plant": "String",
    "order": "Int64",
    "opened_at": "Datetime[us, UTC]",
    "due_at": "Datetime[us, UTC]",
    "size": "Float64",
    "done_at": "Datetime[us, UTC]",
    "late": "Boolean",
}
MOMENT = pl.Datetime("us", "UTC")
SCHEMA = {"plant": pl.String, "order": pl.Int64, "opened_at": MOMENT, "due_at": MOMENT, "size": pl.Float64}
SCHEMA |= {"done_at": MOMENT, "late": pl.Boolean}
KNOWN_BEFORE = ("plant", "order", "opened_at", "due_at", "size")
NAMES = ("size", "due_beside", "open_size", "late_before", "waiting")


def orders(*rows):
    """Raw orders of `(plant, opened, due, done)`, hours from the start; done is None where nobody knows of it yet."""
    made = [
        {
            "plant": plant,
            "order": number,
            "opened_at": START + opened * HOUR,
            "due_at": START + due * HOUR,
            "size": float(number % 7 + 1),
            "done_at": None if done is None else START + done * HOUR,
            "late": None if done is None else done > due,
        }
        for number, (plant, opened, due, done) in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=SCHEMA)


def build(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return what is known an hour before an order is due: of itself, of open orders everywhere, of what was late."""
    rows = with_pending(tables["orders"])
    if ANNOUNCED_AT not in rows.collect_schema():
        rows = rows.with_columns(pl.col("opened_at").alias(ANNOUNCED_AT))
    rows = rows.with_columns(at=pl.col("due_at") - HOUR)
    wanted = rows.filter(ASKED) if ASKED in rows.collect_schema() else rows
    columns = ["site", "due_at", "size", "done_at", "late", PENDING, ANNOUNCED_AT]
    pairs = wanted.select("site", "order", "at", "due_at").join(
        rows.select(pl.col(columns).name.prefix("other_")), how="cross"
    )
    other = {name: pl.col(f"other_{name}") for name in columns}
    announced, done = other[ANNOUNCED_AT] < pl.col("at"), (other["done_at"] < pl.col("at")).fill_null(False)
    soon = other["due_at"].is_between(pl.col("at"), pl.col("at") + 3 * HOUR, closed="left")
    recent = done & (other["done_at"] >= pl.col("at") - 12 * HOUR)
    here = other["site"] == pl.col("site")
    waiting = here & ~other[PENDING] & (other["due_at"] < pl.col("at")) & ~done
    told = pairs.group_by("site", "order").agg(
        due_beside=(announced & soon).sum(),
        open_size=pl.when(announced & soon & here).then(other["size"]).sum(),
        late_before=other["late"].filter(recent).mean(),
        waiting=waiting.sum(),
    )
    return wanted.join(told, on=["site", "order"], how="left").select(
        "site",
        "order",
        pl.col("at").alias("decided_at"),
        pl.col("late").cast(pl.Float32).alias("label"),
        *(pl.col(name).cast(pl.Float32) for name in NAMES),
    )


def build_eagerly(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return the same, and count orders beside it that nobody has announced yet."""
    rows = tables["orders"]
    beside = pl.col("order").count().over(pl.col("due_at").dt.truncate("1h"))
    counted = rows.select("site", "order", beside.cast(pl.Float32).alias("due_beside"))
    return build(tables).drop("due_beside").join(counted, on=["site", "order"], how="left")


def stops(*rows):
    """Raw stops of all plants, of `(planned, starts, what came of it)`, hours from the start."""
    made = [
        {"number": number, "planned_at": START + planned * HOUR, "starts_at": START + starts * HOUR, "lasted_h": lasted}
        for number, (planned, starts, lasted) in enumerate(rows)
    ]
    schema = {"number": pl.Int64, "planned_at": MOMENT, "starts_at": MOMENT, "lasted_h": pl.Float64}
    return pl.DataFrame(made, schema=schema)


def build_beside_stops(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return the same, and as `size` how many hours ago stops ended plus how many are planned for the next hours."""
    rows, planned = build(tables), tables["stops"]
    if ANNOUNCED_AT not in planned.collect_schema():
        planned = planned.with_columns(pl.col("planned_at").alias(ANNOUNCED_AT))
    pairs = rows.select("site", "order", "decided_at").join(planned, how="cross")
    at, starts = pl.col("decided_at"), pl.col("starts_at")
    ahead = (pl.col(ANNOUNCED_AT) < at) & starts.is_between(at, at + 12 * HOUR)
    lasted = pl.when(starts < at).then(pl.col("lasted_h")).sum()
    told = pairs.group_by("site", "order").agg((ahead.sum() * 1000 + lasted).cast(pl.Float32).alias("size"))
    return rows.drop("size").join(told, on=["site", "order"], how="left")


def with_stops(line):
    """The line with a plan of stops that all plants share, and features that look at it."""
    plan = Table(
        name="stops",
        columns={
            "number": "Int64",
            "planned_at": "Datetime[us, UTC]",
            "starts_at": "Datetime[us, UTC]",
            "lasted_h": "Float64",
        },
        key=("number",),
        cursor="starts_at",
        site_column=None,
        contract=(),
        repair=repair,
        announced=Announced(columns=("number", "planned_at", "starts_at"), at="planned_at"),
    )
    features = dataclasses.replace(line.features, build=build_beside_stops)
    return dataclasses.replace(line, tables={**line.tables, "stops": plan}, features=features)


def repair(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Leave orders as they are."""
    return rows


def orders_line(*, build=build, announced=True, across_sites=("orders",), days=3):
    """The line, as a file would say it."""
    table = Table(
        name="orders",
        columns=COLUMNS,
        key=("order",),
        cursor="due_at",
        site_column="plant",
        contract=(
            Expectation(type="expect_column_values_to_be_between", kwargs={"column": "size", "min_value": 0}),
            Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "due_at"}),
            Expectation(type="expect_column_values_to_be_between", kwargs={"column": "size", "max_value": 7}),
        ),
        repair=repair,
        announced=Announced(columns=KNOWN_BEFORE, at="opened_at") if announced else None,
        known_at={"done_at": ("done_at", "late")},
    )
    features = Features(build=build, columns=dict.fromkeys(NAMES, "."), key=("order",), across_sites=across_sites)
    return dataclasses.replace(
        toy_line(),
        name="orders",
        decision_table="orders",
        tables={"orders": table},
        features=features,
        online_snapshot=LookBack(days=days),
    )


class Plants:
    """A source of orders; keeps factory.connectors.source.Source."""

    def __init__(self, rows: pl.DataFrame, broken=(), plan=None) -> None:
        self.rows, self.broken, self.plan = rows, broken, plan

    def sites(self, table, until):
        """Return the plants that have orders due before a moment."""
        return sorted(set(self.rows.filter(pl.col("due_at") < until.replace(tzinfo=UTC))["plant"]))

    def read(self, table, *, site, after, until):
        """Yield a plant's orders in one batch."""
        if table.name == "stops":
            rows = self.plan.filter(pl.col("starts_at") < until.replace(tzinfo=UTC))
            yield rows if after is None else rows.filter(pl.col("starts_at") >= after)
            return
        if site in self.broken:
            raise OSError(f"the line to {site} was cut")
        rows = self.rows.filter(pl.col("plant") == site, pl.col("due_at") < until.replace(tzinfo=UTC))
        yield rows if after is None else rows.filter(pl.col("due_at") >= after)


class Heard:
    """A listener that keeps what fails."""

    def __init__(self) -> None:
        self.failed_steps, self.done = [], []

    def begun(self, step, todo, unchanged):
        """Say nothing."""

    def completed(self, result):
        """Keep what was made."""
        self.done.append((result.step.name, result.site))

    def failed(self, step, site, error):
        """Keep what failed."""
        self.failed_steps.append((step.name, site, str(error)))


class OrdersRun:
    """Runs stages of the line on a home, without an orchestrator."""

    def __init__(self, home: Path, line=None, rows=None, **source) -> None:
        self.line, self.home = line or orders_line(), home
        self.lake = Lake(home / "lake", "orders")
        self.source = Plants(rows, **source)
        self.said: list[str] = []
        self.alerts: Any = Alerts()

    def run(self, sites, until, names=("raw", "clean", "announced", "features", "online_snapshot"), redo_from=""):
        """Take sites through the named stages as of a moment, hours from the start; what was heard comes back."""
        from factory.pipeline.line_run import LineRun

        moment = (START + until * HOUR).replace(tzinfo=None)
        run = LineRun(
            line=self.line,
            code=LineCode(self.line),
            source=self.source,
            contracts={
                name: compile_contract(
                    table.contract,
                    columns=table.columns,
                    place="orders",
                    site_column=table.site_column,
                    cursor=table.cursor,
                )
                for name, table in self.line.tables.items()
            },
            lake=self.lake,
            journal=Journal(self.lake),
            compute=Compute(engine="cpu"),
            registry=None,
            store=ModelStore(root=self.home / "models", key_folder=self.home / "keys"),
            docs=SimpleNamespace(publish=lambda *_: None),
            alerts=self.alerts,
            reports=None,
            prediction_log=self.home / "log",
            outbox=OutboxStore(root=self.home / "outbox", models=self.home / "models"),
            scratch=self.home / "work",
            project=self.home,
            run_id="run",
            until=moment,
            redo_from=redo_from,
            say=self.said.append,
            warn=self.said.append,
        )
        heard, todo = Heard(), [step for step in steps(self.line) if step.stage.name in names]
        Runner(run, [LINE_SITE], heard).take_through([step for step in todo if step.run == "references"])
        Runner(run, sites, heard).take_through([step for step in todo if step.run != "references"])
        return heard

"""Invariant 5 by property: of random tables an honest build passes, and every leak of a family is named.

Machines of two plants are read now and then, and are serviced now and then; the decision at each reading: will it fail?
"""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.features.leak_proof import MadeOf, proved
from factory.line.changes import Changes
from factory.line.label import Label
from factory.line.line import Features, Table
from factory.names import LINE_SITE
from tests.toy.line import toy_line

START, HOUR = datetime(2024, 5, 1, tzinfo=UTC), timedelta(hours=1)
HONEST = ("x", "x_before", "x_mean_day", "serviced_since_h")


def readings(seed, count=160):
    chance = np.random.default_rng(seed)
    minutes = np.sort(chance.choice(40 * 24 * 60, count, replace=False))
    return pl.DataFrame(
        {
            "plant": chance.choice(["north", "south"], count),
            "machine": chance.choice(["a", "b", "c"], count),
            "at": [START + timedelta(minutes=int(minute)) for minute in minutes],
            "x": chance.normal(size=count),
            "kind": chance.choice(["drill", "saw"], count),
            "failed": chance.uniform(size=count) < 0.4,
        }
    ).with_columns(site=pl.col("plant"), number=pl.int_range(pl.len()))


def services(seed, count=60):
    chance = np.random.default_rng([seed, 1])
    minutes = np.sort(chance.choice(40 * 24 * 60, count, replace=False))
    return pl.DataFrame(
        {
            "service": range(count),
            "machine": chance.choice(["a", "b", "c"], count),
            "serviced_at": [START + timedelta(minutes=int(minute)) for minute in minutes],
            "hours": chance.uniform(1, 9, count),
        }
    )


BY = ["site", "machine"]


def rows_of(tables):
    """Readings in order, with their own past, and what services tell."""
    rows = tables["readings"].sort(*BY, "at")
    service = tables["services"].sort("serviced_at").select("machine", "hours", since="serviced_at", at="serviced_at")
    last = rows.sort("at").join_asof(service, on="at", by="machine", allow_exact_matches=False)
    told = last.select("number", serviced_since_h=(pl.col("at") - pl.col("since")) / HOUR)
    day = rows.rolling("at", period="1d", closed="left", group_by=BY).agg(x_mean_day=pl.col("x").mean())
    return (
        rows.with_columns(x_before=pl.col("x").shift(1).over(BY))
        .join(day.unique([*BY, "at"]), on=[*BY, "at"], how="left")
        .join(told, on="number", how="left")
    )


def next_service(rows, tables):
    service = tables["services"].sort("serviced_at").select("machine", coming="serviced_at", at="serviced_at")
    found = rows.sort("at").join_asof(service, on="at", by="machine", strategy="forward")
    return found.with_columns(leak=(pl.col("coming") - pl.col("at")) / HOUR)


def services_of_the_next_day(rows, tables):
    pairs = rows.select("number", "machine", "at").join(tables["services"], on="machine")
    ahead = (pl.col("serviced_at") - pl.col("at")).is_between(timedelta(0), 24 * HOUR)
    return rows.join(pairs.group_by("number").agg(leak=ahead.sum()), on="number", how="left")


def any_row_of_the_machine(rows, tables):
    """A join that takes whichever row comes last."""
    last = tables["services"].unique("machine", keep="last", maintain_order=True).select("machine", leak="hours")
    return rows.join(last, on="machine", how="left")


def given_by(expression):
    return lambda rows, _: rows.with_columns(leak=expression)


LEAKS = {
    "the next row of another table": next_service,
    "rows of another table in the coming day": services_of_the_next_day,
    "a join that does not look at the time": any_row_of_the_machine,
    "a centred window": given_by(pl.col("x").rolling_mean(3, center=True, min_samples=1).over(BY)),
    "the mean of all rows": given_by(pl.col("x") - pl.col("x").mean()),
    "a scale of all rows": given_by(pl.col("x") / pl.col("x").std().over("site")),
    "the label of the next row": given_by(pl.col("failed").shift(-1).over(BY)),
    "the mean label of a category": given_by(pl.col("failed").mean().over("kind")),
    "the rank among all rows": given_by(pl.col("x").rank().over("site")),
    "the moment of the next row": given_by((pl.col("at").shift(-1).over(BY) - pl.col("at")) / HOUR),
    "a value filled in from later": given_by(
        pl.when(pl.col("x") > 0).then(pl.col("x")).backward_fill().over(BY, order_by="at")
    ),
}


def built_by(leak=None):
    def build(tables):
        rows = rows_of(tables)
        rows = rows.with_columns(leak=pl.lit(0.0)) if leak is None else leak(rows, tables)
        return rows.select(
            "site",
            "number",
            pl.col("at").alias("decided_at"),
            pl.col("failed").cast(pl.Float32).alias("label"),
            *(pl.col(name).cast(pl.Float32) for name in (*HONEST, "leak")),
        )

    return build


def table(name, rows, **keys):
    moment = "Datetime[us, UTC]"
    kinds = {name: moment if isinstance(kind, pl.Datetime) else str(kind) for name, kind in rows.schema.items()}
    return Table(name=name, columns=kinds, contract=(), repair=keys.pop("repair", lambda raw: raw), **keys)


def line(build, tables, **sections):
    names = (*HONEST, "leak")
    return dataclasses.replace(
        toy_line(),
        decision_table="readings",
        tables=tables,
        features=Features(build=build, columns=dict.fromkeys(names, "."), key=("number",)),
        online_snapshot=None,
        **sections,
    )


RAW = {"readings": readings, "services": services}
KEYS = {
    "readings": {"key": ("number",), "cursor": "at", "site_column": "plant"},
    "services": {"key": ("service",), "cursor": "serviced_at", "site_column": None},
}


def proof(build, seed, *, keys=KEYS, **sections):
    """What the proof says of a world."""
    raw = {name: rows(seed) for name, rows in RAW.items()}
    tables = {name: table(name, rows.drop("site", strict=False), **keys[name]) for name, rows in raw.items()}
    clean = {name: tables[name].repair(rows.lazy()).collect() for name, rows in raw.items()}
    return of_world(line(build, tables, **sections), clean, raw)


def of_world(made, clean, raw):
    """What the proof says of a line's clean tables, made of raw ones."""
    happened = {name: rows.lazy() for name, rows in clean.items()}
    numbered = {name: as_raw(rows) for name, rows in raw.items()}
    features = made.features.build(happened).collect()
    return proved(MadeOf(line=made, raw=numbered, happened=happened, announced={}), features)


def as_raw(rows):
    """Rows as the lake has them."""
    of_line = rows if "site" in rows.columns else rows.with_columns(site=pl.lit(LINE_SITE))
    return of_line.with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len(), dtype=pl.Int64)).lazy()


SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(SEEDS)
def test_an_honest_build_passes_whatever_the_rows(seed):
    told = proof(built_by(), seed)
    assert told.leaks == {}
    assert set(told.decisions) == {"north", "south"}
    assert min(told.decisions.values()) > 50


@pytest.mark.parametrize("name", LEAKS)
@FEW
@given(seed=SEEDS)
def test_every_leak_is_told_with_feature_decision_and_both_values(name, seed):
    told = proof(built_by(LEAKS[name]), seed)
    assert told.leaks
    for site, sentence in told.leaks.items():
        assert f"site {site}: leak of the decision at 2024-" in sentence
        assert "in the features, and " in sentence
        assert "(so are" not in sentence


@FEW
@given(SEEDS)
def test_a_table_whose_repair_renames_its_time_is_cut_by_its_raw_rows(seed):
    def renamed(raw):
        return raw.rename({"serviced_at": "done_utc"})

    def build(leak):
        as_it_was = {"serviced_at": pl.col("done_utc")}
        return lambda tables: built_by(leak)({**tables, "services": tables["services"].with_columns(**as_it_was)})

    keys = {**KEYS, "services": {**KEYS["services"], "repair": renamed}}
    assert proof(build(None), seed, keys=keys).leaks == {}
    assert proof(build(next_service), seed, keys=keys).leaks


@FEW
@given(SEEDS)
def test_a_table_of_days_is_cut_by_its_day(seed):
    def days(raw):
        return raw.with_columns(pl.col("serviced_at").dt.date())

    def build(leak):
        moment = pl.col("serviced_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return lambda tables: built_by(leak)({**tables, "services": tables["services"].with_columns(moment)})

    keys = {**KEYS, "services": {**KEYS["services"], "repair": days}}
    assert proof(build(None), seed, keys=keys).leaks == {}
    assert proof(build(next_service), seed, keys=keys).leaks


@FEW
@given(SEEDS)
def test_of_a_table_without_a_cursor_what_may_be_a_leak_is_told(seed):
    keys = {**KEYS, "services": {**KEYS["services"], "cursor": ""}}
    honest, told = proof(built_by(), seed, keys=keys), proof(built_by(services_of_the_next_day), seed, keys=keys)
    assert honest.leaks == honest.suspects == told.leaks == {}
    for sentence in told.suspects.values():
        assert "leak of the decision at" in sentence
        assert (
            "The table has no cursor: if serviced_at is when a row becomes known, say `cursor: serviced_at`" in sentence
        )
    assert told.suspects


def last_label(horizon):
    """Whether the machine's last reading had failed, of those that were decided so long before."""

    def leak(rows, _):
        earlier = rows.select(*BY, "failed", at=pl.col("at") + horizon).sort("at")
        found = rows.sort("at").join_asof(earlier, on="at", by=BY, suffix="_then", allow_exact_matches=False)
        return found.with_columns(leak=pl.col("failed_then"))

    return leak


@FEW
@given(SEEDS)
def test_an_earlier_label_is_a_leak_until_its_horizon_has_passed(seed):
    label = Label(horizon="3d", columns=("failed",))
    assert proof(built_by(last_label(timedelta(days=3))), seed, label=label).leaks == {}
    assert proof(built_by(last_label(timedelta(hours=1))), seed, label=label).leaks
    assert proof(built_by(last_label(timedelta(hours=1))), seed).leaks == {}


@FEW
@given(SEEDS)
def test_the_decisions_own_outcome_is_a_leak_where_the_line_says_which_columns_tell_it(seed):
    own = given_by(pl.col("failed").cast(pl.Float64) + pl.col("x"))
    assert proof(built_by(own), seed, label=Label(columns=("failed",))).leaks


def versioned(seed, known_by):
    """Machines' limits, each changed once, with the moment of each version; the lake has both and serves the newest."""
    limits = [
        {"machine": machine, "limit": float(10 * place + version), "changed_at": START + timedelta(days=days)}
        for place, machine in enumerate("abc")
        for version, days in enumerate((0, 15 + seed % 10))
    ]
    raw = pl.DataFrame(limits).with_columns(site=pl.lit(LINE_SITE))
    changes = Changes(known_by=known_by, column="changed_at")
    declared = table("limits", raw.drop("site"), key=("machine",), site_column=None, changes=changes)
    return raw, declared


@pytest.mark.parametrize("known_by", ["change_column", "change_log"])
@FEW
@given(seed=SEEDS)
def test_a_correction_that_was_known_only_later_is_a_leak(known_by, seed):
    raw, limits = versioned(seed, known_by)
    newest = raw.unique("machine", keep="last").drop("site")

    def build(tables):
        rows = built_by(lambda rows, _: rows.join(tables["limits"], on="machine").with_columns(leak="limit"))
        return rows(tables)

    made = readings(seed), services(seed)
    tables = {name: table(name, RAW[name](seed).drop("site", strict=False), **KEYS[name]) for name in RAW}
    told = of_world(
        line(build, {**tables, "limits": limits}),
        {"readings": made[0], "services": made[1], "limits": newest},
        {"readings": made[0], "services": made[1], "limits": raw},
    )
    assert "leak of the decision" in next(iter(told.leaks.values()))


def build_of_rows(leak):
    """Features of a row alone, decided at a moment that is the same for all, and one more."""

    def build(tables):
        own = tables["readings"].with_columns(leak=leak, **dict.fromkeys(HONEST, pl.col("x")))
        names = [pl.col(name).cast(pl.Float32) for name in (*HONEST, "leak")]
        return own.select("site", "number", pl.lit(START).alias("decided_at"), pl.lit(0.0).alias("label"), *names)

    return build


@FEW
@given(SEEDS)
def test_decisions_that_tell_no_time_depend_on_no_other_thing(seed):
    assert proof(build_of_rows(pl.col("x") ** 2), seed).leaks == {}
    among_all = [pl.col("x").mean(), pl.col("failed").mean().over("kind"), pl.col("x").rank(), pl.len()]
    for leak in among_all:
        told = proof(build_of_rows(leak), seed).leaks
        assert "when it is built from half of the rows" in next(iter(told.values()))


def test_of_no_decisions_nothing_is_proved_and_nothing_told():
    raw = {name: rows(1) for name, rows in RAW.items()}
    tables = {name: table(name, rows.drop("site", strict=False), **KEYS[name]) for name, rows in raw.items()}
    told = of_world(line(built_by(), tables), {name: rows.clear() for name, rows in raw.items()}, raw)
    assert (told.leaks, dict(told.decisions)) == ({}, {})

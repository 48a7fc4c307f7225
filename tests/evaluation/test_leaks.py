"""What looks like a leak in the rows is found, and what does not is let be."""

import dataclasses
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.evaluation.leaks import leak_figures, learnt_from, site_suspect
from factory.line.label import Label
from factory.line.line import Features
from factory.line.split import EntitySplit, Parts, TimeSplit
from factory.tasks import Binary, Multiclass, Regression
from tests.toy.line import toy_line

TASKS = {
    "binary": Binary(),
    "multiclass": Multiclass(classes=("a", "b", "c")),
    "regression": Regression(),
}
NAMES = ("x", "y", "z")
BY_TIME, BY_THING = TimeSplit(holdout=0.25, validation=0.25), EntitySplit(holdout_share=0.25)
SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


def rows(seed, task="binary", count=400):
    """Rows whose label follows x with noise."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=count)
    told = x + chance.normal(size=count)
    label = {"binary": told > 0.5, "multiclass": np.digitize(told, [-0.5, 0.5]), "regression": told}[task]
    return pl.DataFrame(
        {
            "site": "A",
            "number": chance.permutation(count),
            "decided_at": np.arange(count),
            "machine": chance.integers(0, 40, count),
            "x": x,
            "y": chance.normal(size=count),
            "z": chance.integers(0, 3, count).astype(float),
            "label": label.astype(np.float32),
        }
    )


def found(frame, *, task="binary", split=BY_THING, key=("number",), entity=(), known_before=(), names=NAMES):
    """The figures of rows, of which the last quarter is judged."""
    features = Features(build=lambda _: None, columns=dict.fromkeys(names, "."), key=key, entity=entity)
    line = dataclasses.replace(
        toy_line(), features=features, split=split, label=Label(known_before=known_before), online_snapshot=None
    )
    object.__setattr__(line, "task", TASKS[task])  # the toy line's amounts are those of a binary task
    half, three = len(frame) // 2, 3 * len(frame) // 4
    parts = Parts(train=frame[:half], validation=frame[half:three], holdout=frame[three:], rows=frame)
    return leak_figures(line, parts, learnt_from(line, parts))


@pytest.mark.parametrize("task", TASKS)
@FEW
@given(seed=SEEDS)
def test_rows_without_a_leak_are_let_be(task, seed):
    told = found(rows(seed, task), task=task)
    assert (told["leaks"], told["leak_suspects"]) == (None, None)
    assert told["copied_share"] < 0.05


ALIASES = {
    "binary": [
        pl.col("label"),
        1 - pl.col("label"),
        pl.col("label") * 7 + 3,
        pl.when(pl.col("label") == 0).then("label"),
    ],
    "multiclass": [pl.col("label"), pl.col("label") * -2 + 5],
    "regression": [pl.col("label"), pl.col("label") * 1.8 + 32],
}


@pytest.mark.parametrize("task", TASKS)
@FEW
@given(seed=SEEDS, data=st.data())
def test_a_feature_that_is_the_label_by_another_name_is_sure(task, seed, data):
    alias = data.draw(st.sampled_from(range(len(ALIASES[task]))))
    copied = rows(seed, task).with_columns(y=ALIASES[task][alias])
    assert "the feature y is the label by another name" in found(copied, task=task)["leaks"]
    assert found(copied, task=task, known_before=("y",))["leaks"] is None


@FEW
@given(seed=SEEDS)
def test_a_feature_that_is_missing_where_the_label_is_one_is_sure(seed):
    gaps = rows(seed).with_columns(y=pl.when(pl.col("label") == 0).then("y"))
    assert "it is missing where the label is 1.0, and nowhere else" in found(gaps)["leaks"]


@pytest.mark.parametrize("task", TASKS)
@FEW
@given(seed=SEEDS)
def test_a_feature_that_nearly_is_the_label_is_a_suspect_and_refuses_nothing(task, seed):
    near = rows(seed, task).with_columns(y=pl.col("label") * 10 + pl.col("y") * 0.01)
    told = found(near, task=task)
    assert told["leaks"] is None
    assert re.search("the feature y tells (9.*|100.0)% of the label alone", told["leak_suspects"])


HIDDEN = {
    "category": (pl.col("number") % 20 * 2 + pl.col("label")) * 37 % 41,
    "parity": pl.col("number") * 2 + pl.col("label"),
    "last digit": pl.col("number") * 10 + pl.col("number") % 5 + 5 * pl.col("label"),
    "rounded to the minute": pl.col("number") * 60 + (pl.col("label") == 0) * (1 + pl.col("number") % 59),
    "mostly missing where the label is 1": pl.when((pl.col("label") == 0) | (pl.col("number") % 60 == 7)).then("y"),
}


@pytest.mark.parametrize("where", HIDDEN)
@FEW
@given(seed=SEEDS)
def test_a_label_that_hides_in_codes_digits_and_gaps_is_told(where, seed):
    hidden = rows(seed).with_columns(y=HIDDEN[where])
    assert re.search("the feature y tells (9.*|100.0)% of the label alone", found(hidden)["leak_suspects"])


@pytest.mark.parametrize("things", [40, 130])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@FEW
@given(seed=SEEDS)
def test_a_mean_of_the_label_that_holds_the_rows_own_is_sure(task, things, seed):
    encoded = rows(seed, task).with_columns(
        y=(pl.col("label") == 1).cast(pl.Float64).mean().over(pl.col("number") % things)
    )
    assert "it is the mean label of the very rows that have it" in found(encoded, task=task)["leaks"]


@FEW
@given(seed=SEEDS)
def test_a_mean_of_the_others_labels_is_told_where_the_things_are_known(seed):
    others = (pl.col("label").sum() - pl.col("label")) / (pl.len() - 1)
    encoded = rows(seed).with_columns(y=others.over("machine"))
    assert (
        "the feature y tells the labels of each machine apart"
        in (found(encoded, key=("machine", "number"))["leak_suspects"])
    )


@pytest.mark.parametrize("task", TASKS)
@FEW
@given(seed=SEEDS)
def test_the_label_of_the_next_row_is_sure_and_that_of_the_last_is_not(task, seed):
    frame = rows(seed, task)
    following, last = (frame.with_columns(y=pl.col("label").shift(by)) for by in (-1, 1))
    assert "it is that of the row that comes next" in found(following, task=task, split=BY_TIME)["leaks"]
    assert found(last, task=task, split=BY_TIME)["leaks"] is None


HONEST = {
    "strong": pl.col("label") + 0.4 * pl.col("y"),
    "a count": (pl.col("y").exp() * 3).floor(),
    "prices": (pl.col("number") % 90 + 1) * 5,
    "a number of the row": pl.col("number"),
    "time": pl.col("decided_at") + pl.col("y"),
    "the past of the machine": ((pl.col("label").cum_sum() - pl.col("label")) / (pl.col("label").cum_count())).over(
        "machine"
    ),
    "missing by chance": pl.when(pl.col("number") % 3 > 0).then("y"),
    "missing oftener where the label is 1": pl.when((pl.col("number") % 10) > 2 + 5 * pl.col("label")).then("y"),
    "a rare flag": pl.col("number") % 33 == 0,
    "coarse": pl.col("x").round(0),
}


@pytest.mark.parametrize("kind", HONEST)
@FEW
@given(seed=SEEDS)
def test_an_honest_feature_is_let_be_however_strong(kind, seed):
    told = found(rows(seed).with_columns(y=HONEST[kind].cast(pl.Float64)), split=BY_TIME)
    assert told["leaks"] is None
    assert told["leak_suspects"] is None


@FEW
@given(seed=SEEDS)
def test_a_file_in_the_labels_order_is_told(seed):
    ordered = (
        rows(seed).sort("label").with_columns(number=pl.int_range(pl.len())).sample(fraction=1, shuffle=True, seed=1)
    )
    assert "the key number tells" in found(ordered)["leak_suspects"]


@FEW
@given(seed=SEEDS)
def test_rows_that_are_learnt_from_and_judged_on_are_counted_though_they_hardly_differ(seed):
    frame = rows(seed)
    again = frame[:100].with_columns(
        pl.col("x") + pl.Series(np.random.default_rng(seed).normal(size=100)) * 1e-5, number=pl.int_range(1000, 1100)
    )
    told = found(pl.concat([frame[:300], again]))
    assert told["copied_share"] > 0.95
    assert "of the rows judged are learnt from, too" in told["leaks"]
    by_time = found(pl.concat([frame[:300], again]), split=BY_TIME)
    assert by_time["leaks"] is None
    assert "of the rows judged" in by_time["leak_suspects"]


@FEW
@given(seed=SEEDS)
def test_rows_of_few_values_are_equal_by_chance(seed):
    coarse = rows(seed).with_columns(pl.col("x", "y").round(0))
    told = found(coarse)
    assert told["copied_share"] > 0.5
    assert told["leaks"] is None


def test_a_thing_on_both_sides_of_a_division_by_things_is_sure():
    assert "of machine are learnt from and judged on" in found(rows(1), entity=("machine",))["leaks"]
    apart = rows(1).with_columns(machine=pl.int_range(pl.len()) // 10)
    assert found(apart, entity=("machine",))["leaks"] is None


def test_things_that_nobody_named_are_told():
    told = found(rows(1), key=("machine", "number"))
    assert "`features: entity: [machine]`" in told["leak_suspects"]


def test_a_label_that_never_changes_within_a_thing_is_told_where_time_divides():
    frame = rows(1)
    fixed = frame.with_columns(label=(pl.col("machine") % 3 == 0).cast(pl.Float32))
    assert "the label never changes within machine" in found(fixed, entity=("machine",), split=BY_TIME)["leak_suspects"]
    assert found(frame, entity=("machine",), split=BY_TIME)["leak_suspects"] is None


@pytest.mark.parametrize("count", [0, 4, 20])
def test_few_rows_tell_nothing(count):
    frame = rows(1)[:count].with_columns(y=pl.col("label"))
    assert found(frame)["leaks"] is None


@pytest.mark.parametrize("classes", [3, 60])
def test_labels_that_are_names_are_told_of_as_numbers_are(classes):
    frame = rows(0, "multiclass").with_columns(
        label=((pl.col("x") * 7).round().cast(pl.Int64) % classes).cast(pl.Float32), copy=pl.col("x")
    )
    named = frame.with_columns(label=pl.format("class {}", pl.col("label").cast(pl.Int64)))
    assert found(named, task="multiclass") == found(frame, task="multiclass")


@pytest.mark.parametrize("task", TASKS)
def test_a_site_that_gives_the_label_away_is_told(task):
    frame = rows(1, task)
    is_high = pl.col("label") > 0
    site = pl.when(is_high).then(pl.lit("A")).otherwise(pl.lit("B"))
    apart = frame.with_columns(site=site, label=is_high.cast(pl.Float32))
    mixed = frame.with_columns(site=pl.when(pl.col("number") % 2 == 0).then(pl.lit("A")).otherwise(pl.lit("B")))
    nothing = frame.clear()
    told = site_suspect(Parts(train=apart, validation=nothing, holdout=nothing, rows=apart))
    assert "the site alone tells" in told
    assert site_suspect(Parts(train=mixed, validation=nothing, holdout=nothing, rows=mixed)) is None


@pytest.mark.parametrize("classes", [2, 7, 60])
def test_a_copy_of_names_is_the_label_however_many_there_are(classes):
    frame = rows(0, count=1200).with_columns(label=pl.format("class {}", pl.col("number") % classes))
    copied = frame.with_columns(y=(pl.col("number") % classes * 3 + 1).cast(pl.Float64))
    assert "the feature y is the label by another name" in found(copied, task="multiclass")["leaks"]
    gaps = frame.with_columns(y=pl.when(pl.col("label") != "class 1").then(pl.col("y")))
    told = found(gaps, task="multiclass")
    assert ("it is missing where the label is class 1" in (told["leaks"] or "")) == (classes == 2)

"""Intervals by witnesses: rows that are alike count once, few witnesses are unsure, neighbouring days resemble."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from factory.tasks import Binary, Multiclass, Regression
from factory.tasks.binary import BinaryValue
from factory.tasks.intervals import Blocks, Estimate

TASKS = {"binary": Binary(), "multiclass": Multiclass(classes=("a", "b", "c")), "regression": Regression()}
MONEY = BinaryValue(caught_eur=350, missed_eur=-100, false_alarm_eur=-150)
ROWS = 20
"""Rows of a day."""


def answered(kind, rows, seed):
    """Labels and answers that know something of them."""
    chance = np.random.default_rng(seed)
    if kind == "regression":
        label = chance.normal(size=rows).astype(np.float32)
        return label, np.stack([label + chance.normal(size=rows), label - 1, label + 1], 1).astype(np.float32)
    classes = 2 if kind == "binary" else 3
    label = chance.integers(0, classes, rows)
    label[:2] = 0, 1
    weight = chance.random((rows, classes)) + 0.5 * np.eye(classes)[label]
    answer = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return label.astype(np.float32), answer[:, 1:] if kind == "binary" else answer


def close(ours, theirs):
    np.testing.assert_allclose(dataclasses.astuple(ours), dataclasses.astuple(theirs), rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(TASKS)), st.integers(4, 60), st.integers(0, 9), st.integers(2, 5))
def test_copies_of_a_table_in_blocks_say_exactly_what_the_table_says(kind, rows, seed, copies):
    label, answer = answered(kind, rows, seed)
    copied = Blocks(of_row=np.tile(np.arange(rows), copies))
    once = TASKS[kind].estimated(label, answer, Blocks.rows(rows))
    again = TASKS[kind].estimated(np.tile(label, copies), np.tile(answer, (copies, 1)), copied)
    assert again.value == pytest.approx(once.value)
    close(again.interval(), once.interval())


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(TASKS)), st.integers(4, 40), st.integers(0, 9))
def test_a_blocks_influence_is_nearly_what_one_more_of_it_changes(kind, rows, seed):
    """A block that is added to a hundred times as many rows as there are adds a hundredth of its influence."""
    label, answer = answered(kind, rows, seed)
    found = TASKS[kind].estimated(label, answer, Blocks.rows(rows))
    for row in range(3):
        many = np.r_[np.tile(np.arange(rows), 300), row]
        change = TASKS[kind].headline_of(label[many], answer[many]) - found.value
        assert change * 300 == pytest.approx(found.influence[row], abs=0.02 * abs(found.influence).max() + 1e-4)


def test_sums_and_means_are_of_the_same_blocks():
    chance = np.random.default_rng(0)
    amount, of_row = chance.normal(size=300), np.sort(np.r_[np.arange(20), chance.integers(0, 20, 280)])
    for in_time in (False, True):
        blocks = Blocks(of_row=of_row, in_time=in_time)
        assert blocks.sum(amount).value == pytest.approx(amount.sum())
        assert blocks.mean(amount).value == pytest.approx(amount.mean())
        assert blocks.sum(amount).influence.sum() == pytest.approx(0, abs=1e-9)
        difference = blocks.mean(amount) - blocks.mean(2 * amount)
        close(difference.interval(), blocks.mean(-amount).interval())
        assert (-difference).certainty_above(0.0) == pytest.approx(1 - difference.certainty_above(0.0))


AMOUNTS = st.lists(st.floats(-100, 100), min_size=5, max_size=40).filter(lambda values: np.std(values) > 1e-3)


@given(AMOUNTS, st.booleans(), st.floats(0.5, 0.99))
def test_the_ends_of_an_interval_are_where_certainty_ends(values, in_time, share):
    found = dataclasses.replace(Blocks.rows(len(values)), in_time=in_time).sum(np.array(values))
    if not found.is_known:
        return
    interval = found.interval(share)
    assert interval.low <= interval.high
    assert found.certainty_above(interval.low) == pytest.approx((1 + share) / 2, abs=1e-6)
    assert found.certainty_above(interval.high) == pytest.approx((1 - share) / 2, abs=1e-6)


@given(AMOUNTS, st.floats(-50, 50), st.floats(0.1, 9))
def test_an_interval_moves_and_stretches_with_its_figure(values, shift, stretch):
    blocks, amount = Blocks.rows(len(values)), np.array(values)
    plain, changed = blocks.mean(amount).interval(), blocks.mean(amount * stretch + shift).interval()
    assert changed.low == pytest.approx(plain.low * stretch + shift, abs=1e-6)
    assert changed.high == pytest.approx(plain.high * stretch + shift, abs=1e-6)


def test_amounts_without_skewness_or_tails_have_students_interval():
    amount = stats.norm.ppf((np.arange(200) + 0.5) / 200)
    expected = stats.t(199, scale=amount.std(ddof=1) / math.sqrt(200)).interval(0.9)
    np.testing.assert_allclose(dataclasses.astuple(Blocks.rows(200).mean(amount).interval(0.9)), expected, rtol=0.01)


def test_an_interval_is_longer_to_the_side_of_rare_great_amounts():
    amount = np.r_[np.full(28, 1.0) + np.arange(28) / 100, 9.0, 12.0]
    found = Blocks.rows(30).mean(amount)
    interval = found.interval(0.9)
    assert interval.high - found.value > 1.5 * (found.value - interval.low)
    assert interval.low < np.mean(amount)


@pytest.mark.parametrize("rows", [0, 1, 1147])
def test_one_witness_shows_nothing_however_many_rows_it_has(rows):
    blocks = Blocks(of_row=np.zeros(rows, np.int64), in_time=True)
    assert blocks.count == min(rows, 1)
    found = blocks.sum(np.ones(rows))
    assert math.isnan(found.certainty_above(0.0))
    assert math.isnan(found.interval().low)


def test_days_that_resemble_each_other_are_fewer_witnesses_than_days():
    drift = Estimate(value=1.0, influence=np.linspace(-1, 1, 12), in_time=True)
    assert drift.witnesses < 4
    assert math.isnan(drift.certainty_above(0.0))
    shuffled = Estimate(value=1.0, influence=np.random.default_rng(1).permutation(drift.influence), in_time=True)
    assert shuffled.witnesses > 6
    assert 0 < shuffled.certainty_above(0.0) < 1


@pytest.mark.parametrize("blocks", [5, 10, 30])
def test_few_witnesses_of_pure_chance_are_found_better_than_nothing_no_oftener_than_is_said(blocks):
    chance = np.random.default_rng(blocks)
    of_row = np.repeat(np.arange(blocks), 4)
    sure = np.array(
        [
            Blocks(of_row=of_row)
            .sum(np.repeat(chance.normal(size=blocks), 4) + chance.normal(size=4 * blocks))
            .certainty_above(0.0)
            for _ in range(2000)
        ]
    )
    assert np.mean(sure >= 0.95) <= 0.06
    assert np.mean(sure >= 0.5) == pytest.approx(0.5, abs=0.04)


LIGHT, HEAVY = 0.35, 0.7
"""How much one standard deviation of a day's effect changes the logarithm of its error."""
FIGURES = ("binary", "multiclass", "regression", "money", "loss difference")


def made_days(figure, days, spread, likeness, seed):
    """Return the estimate of a figure on days of which some are hard, each like the day before by `likeness`."""
    chance = np.random.default_rng(seed)
    effect = np.zeros(days + 20)
    for day in range(1, days + 20):
        effect[day] = likeness * effect[day - 1] + math.sqrt(1 - likeness**2) * chance.normal()
    hard = np.repeat(np.exp(spread * effect[20:]), ROWS)
    kind = {"money": "binary", "loss difference": "regression"}.get(figure, figure)
    label, answer = answered(kind, days * ROWS, seed)
    if kind == "regression":
        answer[:, 0] = label + hard * chance.normal(size=len(label))
    elif kind == "binary":
        answer[:, 0] = 1 / (1 + np.exp(-(label - 0.5) * 2 / hard - chance.normal(size=len(label))))
    else:
        said = np.log(answer) / hard[:, None] ** 2
        answer = (np.exp(said) / np.exp(said).sum(1, keepdims=True)).astype(np.float32)
    blocks = Blocks(of_row=np.repeat(np.arange(days), ROWS), in_time=likeness > 0)
    task = TASKS[kind]
    if figure == "money":
        return blocks.sum(task.row_values_eur(label, answer, 0.5, MONEY, 0.0) / days)
    if figure == "loss difference":
        constant = np.repeat(task.constant_answer(label), len(label), axis=0)
        return blocks.mean(2 * task.row_losses(label, constant) - task.row_losses(label, answer))
    return task.estimated(label, answer, blocks)


def held(figure, days, spread, likeness, tries):
    """Return the share of intervals of 90 % that hold the truth, and of those that say they cannot tell."""
    truth = np.mean([made_days(figure, 4000, spread, likeness, seed).value for seed in range(10_000, 10_010)])
    intervals = [made_days(figure, days, spread, likeness, seed).interval(0.9) for seed in range(tries)]
    unknown = np.mean([math.isnan(one.low) for one in intervals])
    return np.mean([one.low <= truth <= one.high for one in intervals]), unknown


@pytest.mark.slow
@pytest.mark.parametrize("days", [14, 30, 60])
@pytest.mark.parametrize("spread", [LIGHT, HEAVY])
@pytest.mark.parametrize("figure", FIGURES)
def test_an_interval_of_ninety_percent_holds_85_to_95(figure, spread, days):
    holds, unknown = held(figure, days, spread, 0.0, 600)
    assert 0.83 <= holds <= 0.96
    assert unknown == 0


@pytest.mark.slow
@pytest.mark.parametrize("days", [14, 30, 60])
@pytest.mark.parametrize("figure", FIGURES)
def test_an_interval_of_ninety_percent_holds_85_to_95_where_days_resemble_each_other(figure, days):
    holds, unknown = held(figure, days, LIGHT, 0.4, 600)
    assert 0.83 <= holds + unknown <= 0.97
    assert unknown < 0.3

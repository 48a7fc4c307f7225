"""Resampling by witnesses: rows that are alike count once, few witnesses are unsure, neighbouring days resemble."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.tasks import Binary, Multiclass, Regression
from factory.tasks.resampling import Blocks, Resampled, Resamples

TASKS = {"binary": Binary(), "multiclass": Multiclass(classes=("a", "b", "c")), "regression": Regression()}
ROUNDS = 200


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


def headline(kind, label, answer, blocks):
    return TASKS[kind].resampled(label, answer, Resamples(blocks=blocks, rounds=ROUNDS))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(TASKS)), st.integers(4, 60), st.integers(0, 9), st.integers(2, 5))
def test_copies_of_a_table_in_blocks_say_exactly_what_the_table_says(kind, rows, seed, copies):
    label, answer = answered(kind, rows, seed)
    once = headline(kind, label, answer, Blocks.rows(rows))
    copied = Blocks(of_row=np.tile(np.arange(rows), copies))
    again = headline(kind, np.tile(label, copies), np.tile(answer, (copies, 1)), copied)
    np.testing.assert_allclose(again.samples, once.samples, rtol=1e-6)
    np.testing.assert_allclose(again.interval().low, once.interval().low, rtol=1e-6)
    np.testing.assert_allclose(again.interval().high, once.interval().high, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(TASKS)), st.integers(4, 40), st.integers(0, 9))
def test_a_block_for_each_row_is_the_bootstrap_of_rows(kind, rows, seed):
    label, answer = answered(kind, rows, seed)
    weights = []
    resamples = Resamples(blocks=Blocks.rows(rows), rounds=20)
    resamples.figure(lambda some: weights.extend(some) or np.zeros(len(some)))
    found = TASKS[kind].resampled(label, answer, resamples).samples
    for figure, weight in zip(found, weights, strict=True):
        drawn = np.repeat(np.arange(rows), weight)
        assert len(drawn) == rows
        expected = TASKS[kind].headline_of(label[drawn], answer[drawn])
        assert figure == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 99))
def test_rows_of_one_block_are_drawn_together(of_row, seed):
    codes = np.unique(of_row, return_inverse=True)[1]
    blocks = Blocks(of_row=codes)
    seen = []
    Resamples(blocks=blocks, rounds=10, seed=seed).figure(lambda some: seen.extend(some) or np.zeros(len(some)))
    for weight in seen:
        by_block = [set(weight[codes == block]) for block in range(blocks.count)]
        assert all(len(times) == 1 for times in by_block)
        assert sum(times.pop() for times in by_block) == blocks.count


def test_sums_means_and_figures_are_of_the_same_draws():
    chance = np.random.default_rng(0)
    amount, codes = chance.normal(size=300), np.sort(np.r_[np.arange(20), chance.integers(0, 20, 280)])
    for in_time in (False, True):
        resamples = Resamples(blocks=Blocks(of_row=codes, in_time=in_time), rounds=50)
        summed = resamples.figure(lambda weights: weights @ amount)
        np.testing.assert_allclose(resamples.sum(amount).samples, summed.samples)
        np.testing.assert_allclose(resamples.sum(amount).left_out, summed.left_out)
        mean = resamples.figure(lambda weights: weights @ amount / weights.sum(1))
        np.testing.assert_allclose(resamples.mean(amount).samples, mean.samples)
        np.testing.assert_allclose(resamples.mean(amount).left_out, mean.left_out)


@pytest.mark.parametrize("rows", [0, 1, 1147])
def test_one_witness_shows_nothing_however_many_rows_it_has(rows):
    blocks = Blocks(of_row=np.zeros(rows, np.int64), in_time=True)
    assert blocks.count == min(rows, 1)
    found = Resamples(blocks=blocks, rounds=20).sum(np.ones(rows))
    assert math.isnan(found.share_above(0.0))
    assert math.isnan(found.interval().low)


@pytest.mark.parametrize("blocks", [5, 10, 30])
def test_few_witnesses_of_pure_chance_are_found_better_than_nothing_no_oftener_than_is_said(blocks):
    chance = np.random.default_rng(blocks)
    codes = np.repeat(np.arange(blocks), 4)
    resamples = Resamples(blocks=Blocks(of_row=codes), rounds=400)
    shares = [
        resamples.sum(np.repeat(chance.normal(size=blocks), 4) + chance.normal(size=4 * blocks)).share_above(0.0)
        for _ in range(400)
    ]
    assert np.mean(np.array(shares) >= 0.95) <= 0.075
    assert np.mean(np.array(shares) >= 0.5) == pytest.approx(0.5, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("likeness", [0.0, 0.3])
def test_an_interval_of_ninety_percent_holds_85_to_95_where_days_have_effects(kind, likeness):
    """Every day has an effect of its own on how good the answers are, which resembles that of the day before."""
    days, rows = 30, 20
    truth = np.mean([day_effects(kind, 3000, rows, likeness, seed)[2] for seed in range(1000, 1010)])
    blocks = Blocks(of_row=np.repeat(np.arange(days), rows), in_time=True)
    held = alone = 0
    for seed in range(300):
        label, answer, _ = day_effects(kind, days, rows, likeness, seed)
        interval = headline(kind, label, answer, blocks).interval(0.9)
        by_row = headline(kind, label, answer, Blocks.rows(len(label))).interval(0.9)
        held += interval.low <= truth <= interval.high
        alone += by_row.low <= truth <= by_row.high
    assert 0.85 <= held / 300 <= 0.96, (held, alone)
    assert alone < held


def day_effects(kind, days, rows, likeness, seed):
    """Labels and answers of days of which some are hard, and the headline."""
    chance = np.random.default_rng(seed)
    effect = np.zeros(days + 20)
    for day in range(1, days + 20):
        effect[day] = likeness * effect[day - 1] + math.sqrt(1 - likeness**2) * chance.normal()
    hard = np.repeat(np.exp(0.35 * effect[20:]), rows)
    label, answer = answered(kind, days * rows, seed)
    if kind == "regression":
        answer[:, 0] = label + hard * chance.normal(size=len(label))
    elif kind == "binary":
        answer[:, 0] = 1 / (1 + np.exp(-(label - 0.5) * 2 / hard - chance.normal(size=len(label))))
    else:
        said = np.log(answer) / hard[:, None] ** 2
        answer = (np.exp(said) / np.exp(said).sum(1, keepdims=True)).astype(np.float32)
    return label, answer, TASKS[kind].headline_of(label, answer)


def test_a_difference_is_widened_as_a_difference():
    chance = np.random.default_rng(2)
    ours, theirs = chance.normal(size=(2, 200))
    codes = np.repeat(np.arange(10), 20)
    resamples = Resamples(blocks=Blocks(of_row=codes, in_time=True))
    difference = resamples.mean(ours) - resamples.mean(theirs)
    np.testing.assert_allclose(difference.widened, resamples.mean(ours - theirs).widened)
    assert isinstance(-difference, Resampled)
    assert (-difference).share_above(0.0) == pytest.approx(1 - difference.share_above(0.0))

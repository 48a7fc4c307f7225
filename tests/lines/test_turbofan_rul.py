"""The turbofan line: what is judged is what was published, and no engine's future is seen (invariant 5)."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.the_line import shipped
from factory.data.contract.compiler import compile_contract
from factory.features.samples import samples
from lines.turbofan_rul.features import CAP, LEARN_UP_TO, READINGS, build
from lines.turbofan_rul.nasa import nasa_score

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / (os.environ.get("FACTORY_DATA") or "../shared/data")
REAL = pytest.mark.skipif(not (DATA / "cmapss").is_dir(), reason=f"no C-MAPSS files in {DATA / 'cmapss'}; see README")
LINE, SOURCE = shipped("turbofan_rul", DATA)
LIVES = {"train-001": (40, 0), "train-002": (230, 0), "test-001": (70, 30)}
"""Cycles of each engine, and how many it had left after its last."""


def cycles(lives=LIVES, seed=0):
    """Cleaned rows of a small fleet whose readings are noise."""
    chance = np.random.default_rng(seed)
    rows = [
        {"engine": name, "cycle": cycle, "remaining": left + count - cycle, "is_test": name.startswith("test")}
        for name, (count, left) in lives.items()
        for cycle in range(1, count + 1)
    ]
    frame = pl.DataFrame(rows).with_columns(site=pl.lit("FX"), fleet=pl.lit("FX"))
    return frame.with_columns(pl.Series(name, chance.normal(size=len(frame))) for name in READINGS)


def built(rows):
    return build({"cycles": rows.lazy()}).collect().sort("site", "decided_at", *LINE.features.key)


def sequences(rows, engine, cycle):
    """What the network sees of an engine after a cycle."""
    parts = LINE.parts(built(rows), LINE.default_until)
    mine = parts.rows.filter((pl.col("engine") == engine) & (pl.col("cycle") == cycle))
    return samples(LINE, mine, parts.rows).features


def test_lives_longer_than_the_cap_count_as_the_cap_and_far_longer_ones_teach_nothing():
    rows = built(cycles()).filter(pl.col("engine") == "train-002").sort("cycle")
    assert rows["label"].to_list()[-3:] == [2, 1, 0]
    assert rows.filter(pl.col("label").is_null())["cycle"].to_list() == list(range(1, 230 - LEARN_UP_TO))
    assert rows["label"].max() == CAP


def test_of_a_test_engine_its_last_cycle_is_judged_and_nothing_else_of_it_is_used():
    parts = LINE.parts(built(cycles()), LINE.default_until)
    assert parts.holdout.select("engine", "cycle", "label").rows() == [("test-001", 70, 30.0)]
    learnt = pl.concat([parts.train, parts.validation])
    assert set(learnt["engine"]) == {"train-001", "train-002"}


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 69), st.integers(0, 1000))
def test_shuffling_an_engines_future_changes_nothing_that_is_seen_now(cycle, seed):
    rows = cycles()
    later = (pl.col("engine") == "test-001") & (pl.col("cycle") > cycle)
    order = np.random.default_rng(seed).permutation(len(rows.filter(later)))
    future = rows.filter(later)
    moved = future.with_columns(future.select(pl.col(READINGS).gather(order) * 3), remaining=future["remaining"][order])
    shuffled = pl.concat([rows.filter(~later), moved])
    seen = sequences(rows, "test-001", cycle)
    np.testing.assert_array_equal(seen, sequences(shuffled, "test-001", cycle))
    assert seen.shape[1:] == (LINE.recipe.steps, len(LINE.features.columns))


def test_what_is_left_is_in_no_feature():
    rows = cycles()
    other = rows.with_columns(remaining=pl.col("remaining") + 7)
    names = list(LINE.features.columns)
    assert built(rows).select(names).equals(built(other).select(names))
    assert not {"remaining", "label"} & set(names)


def test_every_column_is_described_and_built():
    assert set(LINE.features.columns) == {"age", *READINGS}
    assert set(LINE.recipe.condition_columns) <= set(READINGS)


@pytest.mark.parametrize(("late", "score"), [(0.0, 0.0), (10.0, np.e - 1), (-13.0, np.e - 1)])
def test_the_score_is_the_challenges(late, score):
    answer = np.array([[50.0 + late, 0.0, 99.0]], np.float32)
    assert nasa_score(np.array([50.0], np.float32), answer) == pytest.approx(score, rel=1e-6)


def test_a_late_estimate_weighs_more_than_an_early_one_and_engines_add_up():
    label = np.full(2, 50.0)
    early, late = (nasa_score(label[:1], np.array([[50.0 + by, 0, 0]])) for by in (-20, 20))
    assert late > early > 0
    assert nasa_score(label, np.array([[30.0, 0, 0], [70.0, 0, 0]])) == pytest.approx(early + late)


@REAL
def test_the_published_fleets_keep_the_contract_and_have_a_hundred_test_engines_each():
    table = LINE.decisions
    contract = compile_contract(table.contract, columns=table.columns, place="cycles.yaml")
    raw = pl.concat(list(SOURCE.read(table, site=None, after=None, until=LINE.default_until)))
    rows = raw.with_columns(site=pl.col("fleet"))
    assert contract.mark(rows.lazy()).filter(contract.broken).collect().is_empty()
    parts = LINE.parts(built(rows), LINE.default_until)
    assert parts.holdout.group_by("site").len().sort("site").rows() == [("FD001", 100), ("FD003", 100)]
    engines = [part.select("site", "engine").unique().height for part in (parts.train, parts.validation)]
    assert sum(engines) == 200
    assert engines[1] == pytest.approx(40, abs=12)

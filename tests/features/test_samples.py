"""What a network eats: each row with the moments before it, and nothing of what comes after (invariant 5)."""

import dataclasses
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.features.samples import samples
from factory.line.recipe import SequenceRecipe, TableRecipe
from factory.line.split import EntitySplit, TimeSplit
from tests.toy.line import toy_line

UNTIL = datetime(2024, 3, 1)
LINE = dataclasses.replace(
    toy_line(),
    features=dataclasses.replace(toy_line().features, columns={"x": "", "y": ""}, entity=("engine",), key=("cycle",)),
    recipe=SequenceRecipe(window=4),
    split=EntitySplit(holdout_share=0.3, validation_share=0.3),
)


def lives(**cycles):
    """One row an engine and cycle; x tells engine and cycle apart, y is sometimes unknown."""
    rows = [
        {
            "site": "A",
            "engine": name,
            "cycle": cycle,
            "decided_at": cycle,
            "label": float(cycle % 2),
            "x": 100.0 * n + cycle,
        }
        for n, (name, count) in enumerate(cycles.items())
        for cycle in range(1, count + 1)
    ]
    third = pl.col("cycle") % 3 == 0
    return pl.DataFrame(rows).with_columns(decided_at=pl.col("cycle"), y=pl.when(third).then(pl.col("x")))


def placed(rows):
    return rows.with_row_index("_place")


def test_a_sequence_ends_with_its_own_row_and_begins_with_unknowns_where_the_engine_was_not_yet():
    rows = placed(lives(a=2, b=6))
    found = samples(LINE, rows.filter(pl.col("engine") == "b"), rows)
    assert found.features.shape == (6, 4, 2)
    assert found.columns == ("x", "y")
    first, last = found.features[0], found.features[5]
    assert np.isnan(first[:3]).all()
    assert first[3, 0] == 101
    np.testing.assert_array_equal(last[:, 0], [103, 104, 105, 106])
    np.testing.assert_array_equal(last[:, 1], [103, np.nan, np.nan, 106])


def test_a_table_recipe_sees_the_row_alone():
    rows = placed(lives(a=3))
    found = samples(dataclasses.replace(LINE, recipe=TableRecipe()), rows, rows)
    assert found.features.shape == (3, 2)
    assert np.isnan(found.features[0, 1])


def test_two_sites_engines_of_one_name_are_two_engines():
    rows = pl.concat([lives(a=3), lives(a=3).with_columns(site=pl.lit("B"), x=pl.col("x") + 1000)])
    rows = placed(rows.sort("site", "decided_at"))
    found = samples(LINE, rows.filter(pl.col("site") == "B"), rows)
    np.testing.assert_array_equal(found.features[2, :, 0], [np.nan, 1001, 1002, 1003])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.randoms(use_true_random=False))
def test_nothing_that_happens_later_changes_what_is_seen_now(cycle, chance):
    rows = lives(a=9, b=7)
    now = (pl.col("engine") == "a") & (pl.col("cycle") == cycle)
    seen = samples(LINE, placed(rows).filter(now), placed(rows)).features
    later = (pl.col("engine") == "a") & (pl.col("cycle") > cycle)
    shuffled = rows.with_columns(
        x=pl.when(later).then(pl.lit(chance.random()) * 1e6).otherwise("x"),
        label=pl.when(later).then(1 - pl.col("label")).otherwise("label"),
    )
    again = samples(LINE, placed(shuffled).filter(now), placed(shuffled)).features
    np.testing.assert_array_equal(seen, again)
    cut = rows.filter(~later)
    np.testing.assert_array_equal(seen, samples(LINE, placed(cut).filter(now), placed(cut)).features)


def test_a_window_of_the_holdout_reaches_back_over_the_split_and_never_forward():
    line = dataclasses.replace(LINE, split=TimeSplit(holdout_days=2, validation_days=2, train_days=90))
    days = [datetime(2024, 2, day) for day in range(24, 30)]
    rows = lives(a=6).with_columns(decided_at=pl.Series(days))
    parts = line.parts(rows, UNTIL)
    assert parts.holdout["cycle"].to_list() == [5, 6]
    np.testing.assert_array_equal(samples(line, parts.holdout, parts.rows).features[0, :, 0], [2, 3, 4, 5])


@pytest.mark.parametrize("count", [0, 1])
def test_few_or_no_rows_have_the_shape_of_many(count):
    rows = placed(lives(a=1))
    assert samples(LINE, rows.head(count), rows).features.shape == (count, 4, 2)

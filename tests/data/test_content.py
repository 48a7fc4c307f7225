"""What rows say as one digest a site: equal where they are the same rows, another wherever anything differs."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.data.content import content_digests

ROOT = Path(__file__).resolve().parents[2]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["north", "south"]),
        st.none() | st.integers(-5, 5),
        st.none() | st.floats(allow_infinity=False, width=32),
        st.none() | st.text(max_size=3),
    ),
    max_size=12,
)
SCHEMA = {"site": pl.String, "part": pl.Int64, "force": pl.Float64, "note": pl.String}


def digests(rows, **schema):
    return content_digests(pl.DataFrame(rows, {**SCHEMA, **schema}, orient="row"), ["north", "south"])


def as_said(rows):
    """Rows as text, by site and sorted: what a digest stands for. Zero has no sign."""
    unsigned = [(*row[:2], None if row[2] is None else row[2] + 0.0, row[3]) for row in rows]
    return {site: sorted(repr(row) for row in unsigned if row[0] == site) for site in ("north", "south")}


@given(ROWS, ROWS, st.randoms())
def test_two_sites_digests_are_equal_just_where_their_rows_are(these, those, random):
    shuffled = random.sample(these, len(these))
    assert digests(shuffled) == digests(these)
    here, there, said, other = digests(these), digests(those), as_said(these), as_said(those)
    for site in here:
        assert (here[site] == there[site]) == (said[site] == other[site])


@pytest.mark.parametrize("changed", [(None,), (float("nan"),), (0.5,), (1.0, 1.0)])
def test_null_nan_another_value_and_a_row_twice_are_all_different(changed):
    base = digests([("north", 1, 1.0, "a")])
    assert digests([("north", 1, value, "a") for value in changed])["north"] != base["north"]
    assert digests([("north", 1, value, "a") for value in changed])["south"] == base["south"]


def test_another_type_or_name_of_a_column_is_another_content():
    row = [("north", 1, 1.0, "a")]
    assert digests(row)["north"] != digests(row, part=pl.Int32)["north"]
    renamed = pl.DataFrame(row, SCHEMA, orient="row").rename({"note": "text"})
    assert content_digests(renamed, ["north"])["north"] != digests(row)["north"]


def test_the_order_of_columns_is_none_of_the_content():
    rows = pl.DataFrame([("north", 1, 1.0, "a")], SCHEMA, orient="row")
    assert content_digests(rows.select(reversed(rows.columns)), ["north"]) == content_digests(rows, ["north"])


def test_another_process_finds_the_same_digest():
    code = (
        "import polars as pl; from factory.data.content import content_digests; "
        "print(content_digests(pl.DataFrame({'site': ['north'], 'x': [1.5]}), ['north'])['north'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    here = content_digests(pl.DataFrame({"site": ["north"], "x": [1.5]}), ["north"])
    assert done.stdout.strip() == here["north"]

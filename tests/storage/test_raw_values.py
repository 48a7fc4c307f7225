"""The lake keeps each value as it came: it can be read back from what is kept, whatever type its source gave it."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.storage.raw_values import TEXT, as_raw, text_of, together

MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
COLUMNS = {
    pl.Int8(): st.integers(-128, 127),
    pl.UInt32(): st.integers(0, 2**32 - 1),
    pl.Int64(): st.integers(-(2**63), 2**63 - 1),
    pl.UInt64(): st.integers(0, 2**64 - 1),
    pl.Float32(): st.floats(width=32, allow_nan=False),
    pl.Float64(): st.floats(allow_nan=False),
    pl.String(): st.text(),
    pl.Boolean(): st.booleans(),
    pl.Date(): st.dates(),
    pl.Time(): st.times(),
    pl.Binary(): st.binary(),
    pl.Datetime("ms"): MOMENTS.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    pl.Datetime("us"): MOMENTS,
    pl.Datetime("us", "Europe/Berlin"): MOMENTS.map(lambda moment: moment.replace(year=2024, tzinfo=UTC)),
    pl.Datetime("ns"): st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    pl.Decimal(38, 4): st.decimals(-(10**20), 10**20, places=4, allow_nan=False),
    pl.Categorical(): st.text(),
    pl.List(pl.Int64()): st.lists(st.integers(-(2**60), 2**60)),
}
BACK = {
    pl.UInt64: int,
    pl.Decimal: Decimal,
    pl.Time: time.fromisoformat,
    pl.List: lambda text: [int(number) for number in text.strip("[]").split(",") if number],
}
"""How a value is read back from its text, where the lake keeps it so."""


@pytest.mark.parametrize("dtype", COLUMNS, ids=str)
def test_a_value_of_any_type_can_be_read_back_from_what_the_lake_keeps(dtype, tmp_path):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.none() | COLUMNS[dtype], max_size=8))
    def comes_back(values):
        kept = as_raw(pl.Series("c", values, dtype))
        back = BACK.get(type(dtype), lambda value: value) if kept.dtype == pl.String else lambda value: value
        assert [None if value is None else back(value) for value in kept] == values

    comes_back()
    write_deltalake(tmp_path / "t", as_raw(pl.Series("c", [None], dtype)).to_frame())


def test_moments_between_two_microseconds_are_kept_as_text():
    fine = pl.Series("c", [1_700_000_000_123_456_789], pl.Int64).cast(pl.Datetime("ns"))
    assert as_raw(fine).to_list() == ["2023-11-14T22:13:20.123456789"]


def test_a_length_of_time_and_nested_values_are_text():
    assert as_raw(pl.Series("c", [timedelta(days=1, seconds=2)])).to_list() == ["P1DT2S"]
    assert as_raw(pl.Series("c", [{"a": 1, "b": "x"}, None])).to_list() == ['{"a":1,"b":"x"}', None]


VALUES = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(), st.booleans(), st.dates())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.none() | VALUES, min_size=1, max_size=1), max_size=6),
    st.sampled_from([None, pl.String(), pl.Int64()]),
)
def test_batches_of_different_types_are_one_table_in_which_every_value_stands_once(batches, kept):
    frames = [pl.DataFrame({"c": as_raw(pl.Series("c", values))}) for values in batches]
    rows = together(frames, {"c": kept} if kept else None)
    assert len(rows) == len(frames)
    beside = rows[f"c{TEXT}"] if f"c{TEXT}" in rows.columns else pl.Series([None] * len(rows), dtype=pl.String)
    for frame, value, text in zip(frames, rows["c"] if frames else [], beside, strict=True):
        came = frame["c"]
        if came.null_count():
            assert (value, text) == (None, None)
        elif came.dtype == rows["c"].dtype:
            assert (value, text) == (came[0], None)
        elif rows["c"].dtype == pl.String:
            assert (value, text) == (text_of(came)[0], None)
        else:
            assert (value, text) == (None, text_of(came)[0])


def test_a_column_that_a_batch_lacks_is_null_there():
    rows = together([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2], "b": [date(2024, 1, 1)]})])
    assert rows.rows() == [(1, None), (2, date(2024, 1, 1))]

"""Business rows as JSON become the raw table's types, or are refused with row, column, value and what it must be."""

from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from factory.errors import RecordRefused
from factory.features.online.business_rows import typed

COLUMNS = {
    "count": "Int32",
    "price": "Float64",
    "name": "String",
    "open": "Boolean",
    "day": "Date",
    "clock": "Time",
    "at": "Datetime[us, UTC]",
    "local": "Datetime",
}


def test_every_type_is_read_and_what_is_left_out_is_unknown():
    record = {
        "count": 3.0,
        "price": 2,
        "name": "x",
        "open": True,
        "day": "2024-05-01",
        "clock": "10:30",
        "at": "2024-05-01T12:00:00+02:00",
        "local": "2024-05-01T12:00:00",
    }
    first, second = typed([record, {}], COLUMNS).iter_rows(named=True)
    assert first == {
        "count": 3,
        "price": 2.0,
        "name": "x",
        "open": True,
        "day": date(2024, 5, 1),
        "clock": time(10, 30),
        "at": datetime(2024, 5, 1, 10, tzinfo=UTC),
        "local": datetime(2024, 5, 1, 12),
    }
    assert set(second.values()) == {None}
    assert typed([{}], COLUMNS).schema["at"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("count", "3", "Int32"),
        ("count", 3.5, "Int32"),
        ("count", True, "Int32"),
        ("price", "2", "Float64"),
        ("price", False, "Float64"),
        ("name", 5, "String"),
        ("open", 1, "Boolean"),
        ("day", "yesterday", "Date"),
        ("day", 5, "Date"),
        ("at", "2024-05-01T12:00:00", "with an offset"),
        ("at", 1714557600, "with an offset"),
        ("local", "2024-05-01T12:00:00Z", "without an offset"),
        ("at", "9999-12-31T23:59:59-14:00", "with an offset"),
        ("count", float("inf"), "Int32"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(column, value, wanted):
    with pytest.raises(RecordRefused, match=f"row 1: {column} is .*{wanted}"):
        typed([{}, {column: value}], COLUMNS)


def test_a_number_beyond_its_type_and_an_unknown_column_are_refused():
    with pytest.raises(RecordRefused, match="count has a value beyond the range of Int32"):
        typed([{"count": 2**40}], COLUMNS)
    with pytest.raises(RecordRefused, match="row 0 has 'smell', no column of this table: count, price"):
        typed([{"smell": "burnt"}], COLUMNS)

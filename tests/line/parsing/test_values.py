"""A raw value is read as exactly what it says in its declared type, or not at all; Python's decimals are the oracle."""

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factory.errors import LineError
from factory.line.parsing import Parse, read, value_of

PLAIN = Parse()
NUMBERS = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.floats().map(repr),
    st.from_regex(r"[+-]?[0-9]{1,3}([.,][0-9]{3}){0,2}([.,][0-9]{0,4})?", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{0,4}[eE][+-]?[0-9]{1,3}", fullmatch=True),
)
ODD = st.sampled_from(
    ["", " ", "ca. 80", "n/a", "1_000", "0x10", "١٢", "12.5.1", "--5", "NaN", "inf", "-Infinity", "1e400"]
)
TEXTS = st.lists(st.one_of(NUMBERS, ODD, st.text(max_size=6)), max_size=12)


def one(text, kind, parse=PLAIN):
    return read(pl.Series("c", [text], pl.String), "c", kind, parse).item()


def decimal_of(text):
    stripped = text.strip()
    if re.match(r"[+-]?0\d", stripped, re.ASCII):
        return None  # 007 is a name
    return Decimal(stripped) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", stripped, re.ASCII) else None


@settings(max_examples=200, deadline=None)
@given(
    TEXTS, st.sampled_from(["Int64", "Int16", "Float64", "Float32", "Boolean", "Date", "Datetime[us, UTC]", "String"])
)
def test_the_quick_way_reads_what_the_close_look_reads(texts, kind):
    values = pl.Series("c", texts, pl.String)
    close = values.to_frame().select(value_of(pl.col("c"), pl.String(), "c", kind, PLAIN)).to_series()
    assert read(values, "c", kind, PLAIN).equals(close, check_names=False, null_equal=True)


@settings(max_examples=300, deadline=None)
@given(NUMBERS)
@example("9007199254740993")
@example("80.0")
@example("1E+05")
@example("1e-400")
@example("12.0000000000000000001")
@example("1.00000000000000000001e5")
def test_a_text_is_the_whole_number_it_says_or_none(text):
    said, whole = decimal_of(text), one(text, "Int64")
    if whole is not None:
        assert said == whole
    elif said is not None and abs(said) < 2**53 and "e" not in text.lower():
        assert said != said.to_integral_value()


@settings(max_examples=300, deadline=None)
@given(NUMBERS)
@example("9007199254740993")
@example("12345678901234567890123")
@example("1e400")
def test_a_text_is_the_nearest_float_and_a_whole_number_that_floats_skip_is_none(text):
    said, number = decimal_of(text), one(text, "Float64")
    if said is None:
        assert number is None or math.isnan(number) or math.isinf(number)
    elif number is not None:
        assert number == float(said)
        assert not re.fullmatch(r"\d+", text) or Decimal(number) == said
    else:
        assert abs(said) >= 2**63 or Decimal(float(said)) != said


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(-(10**12), 10**12, places=2, allow_nan=False),
    st.sampled_from([(",", "."), (".", ","), (",", ""), (",", " ")]),
)
def test_a_number_with_the_declared_signs_comes_back(number, signs):
    decimal, thousands = signs
    text = f"{number:,.2f}" if thousands else f"{number:.2f}"
    text = text.translate(str.maketrans({".": decimal, ",": thousands}))
    assert one(text, "Float64", Parse(decimal=decimal, thousands=thousands)) == float(number)


@pytest.mark.parametrize("text", ["007", "-01", "00", "00.5", "+07e1", "01,250"])
def test_a_number_that_begins_with_a_zero_is_a_name(text):
    parse = Parse(thousands=",") if "," in text else PLAIN
    assert [one(text, kind, parse) for kind in ("Int64", "Float64")] == [None, None]
    assert one(text, "String") == text


def test_numbers_are_truth_values_where_the_line_says_so():
    said = Parse(true_values=("1",), false_values=("0",))
    assert read(pl.Series("c", [0, 1, 2]), "c", "Boolean", said).to_list() == [False, True, None]


@pytest.mark.parametrize(
    ("text", "parse"),
    [
        ("2.63", Parse(decimal=",")),
        ("2.63", Parse(decimal=",", thousands=".")),
        ("1,250", PLAIN),
        ("12,50", Parse(thousands=",")),
        ("1,2,3", Parse(thousands=",")),
        ("1.234.5", Parse(decimal=",", thousands=".")),
    ],
)
def test_a_number_with_other_signs_is_none(text, parse):
    assert one(text, "Float64", parse) is None
    assert one(text, "Int64", parse) is None


def test_truth_is_what_the_line_says():
    parse = Parse(true_values=("ja", "1"), false_values=("nein", "0"))
    assert [one(text, "Boolean", parse) for text in ("Ja", "0", "true", "")] == [True, False, None, None]
    assert [one(text, "Boolean") for text in ("TRUE", "false", "no", "1")] == [True, False, None, None]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", datetime(2024, 1, 31)),
        ("2024-01-31 10:30", datetime(2024, 1, 31, 10, 30)),
        ("2024-01-31T10:30:05.25Z", datetime(2024, 1, 31, 10, 30, 5, 250000)),
        ("2024-01-31 10:30:05+00", datetime(2024, 1, 31, 10, 30, 5)),
        ("2024-01-31 10:30:05+02:00", datetime(2024, 1, 31, 8, 30, 5)),
        ("9999-12-31", datetime(9999, 12, 31)),
        ("0000-00-00", None),
        ("0000-00-00 00:00:00", None),
        ("24-01-31", None),
        ("31.01.2024", None),
        ("2024-02-30", None),
        ("", None),
    ],
)
def test_a_moment_is_iso_unless_the_line_says_otherwise(text, moment):
    assert one(text, "Datetime[us, UTC]") == (moment and moment.replace(tzinfo=UTC))
    assert one(text, "Date") == (moment and moment.date())


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
@example(datetime(2024, 3, 31, 2, 30), "Europe/Berlin")
@example(datetime(2024, 10, 27, 2, 30), "Europe/Berlin")
def test_a_clock_of_a_zone_is_one_moment_or_none(local, zone):
    local = local.replace(second=0, microsecond=0)
    early, late = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    once = early == late
    assert one(local.isoformat(), "Datetime[us, UTC]", Parse(time_zone=zone)) == (early if once else None)


def test_dates_of_the_other_order_are_none():
    parse = Parse(formats={"c": "%d/%m/%Y"})
    assert [one(text, "Date", parse) for text in ("31/01/2024", "01/31/2024")] == [date(2024, 1, 31), None]


@pytest.mark.parametrize(
    ("values", "kind", "typed"),
    [
        (pl.Series("c", [80.0, 12.7, None]), "Int64", [80, None, None]),
        (pl.Series("c", [2**53 + 1, 2**53]), "Float64", [None, float(2**53)]),
        (pl.Series("c", [3.0, 2.5, float("nan")]), "String", ["3", "2.5", "NaN"]),
        (pl.Series("c", [1, 300]), "Int8", [1, None]),
        (pl.Series("c", [0, 1]), "Boolean", [None, None]),
        (pl.Series("c", [True]), "Int64", [1]),
        (pl.Series("c", [datetime(2024, 1, 1)]), "String", ["2024-01-01T00:00:00.000000"]),
    ],
)
def test_a_value_of_another_type_is_taken_where_it_is_the_same_value(values, kind, typed):
    assert read(values, "c", kind, PLAIN).to_list() == typed


def test_texts_for_a_missing_value_are_no_values_where_they_are_named():
    parse = Parse(null_values=("NA",), null_values_of={"other": ("-",)})
    assert read(pl.Series("c", ["NA", "-"]), "c", "String", parse).to_list() == [None, "-"]
    assert read(pl.Series("other", ["NA", "-"]), "other", "String", parse).to_list() == [None, None]


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"decimal": ";"}, "decimal"),
        ({"decimal": ",", "thousands": ","}, "thousands"),
        ({"true_values": ["x"], "false_values": ["X"]}, "true and false"),
        ({"time_zone": "Berlin"}, "time zone"),
    ],
)
def test_signs_that_cannot_be_told_apart_are_refused(section, named):
    with pytest.raises(LineError, match=named):
        Parse(**section)

"""Values of properties are the same texts one by one and all at once, and literals say them again."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from factory.connectors.odata.metadata import Property
from factory.connectors.odata.values import literal_of, text_of_value, texts_of
from tests.connectors.odata_v2_server import from_json, from_literal

TICKS = st.integers(-62_135_596_800_000, 253_402_300_799_999)
DATES = st.builds("/Date({}{})/".format, TICKS, st.sampled_from(["", "", "+0000", "-0330", "+0060"]))
VALUES = st.lists(
    st.none() | DATES | st.sampled_from(["x", "/Date(99999999999999999)/", "2026-03-01T00:00:00"]), max_size=6
)


@given(VALUES, st.sampled_from(["Edm.DateTime", "Edm.DateTimeOffset", "Edm.String"]))
def test_values_are_the_same_texts_one_by_one_and_all_at_once(values, kind):
    assert texts_of(values, kind, "V2").to_list() == [text_of_value(value, kind, "V2") for value in values]


@given(TICKS, st.sampled_from(["", "+0000", "+0060", "-0330"]))
def test_a_moment_is_the_one_that_its_ticks_say(ticks, offset):
    kind = "Edm.DateTimeOffset" if offset else "Edm.DateTime"
    text = text_of_value(f"/Date({ticks}{offset})/", kind, "V2")
    moment = datetime.fromisoformat(text)
    local = datetime(1970, 1, 1) + timedelta(milliseconds=ticks)
    assert moment.replace(tzinfo=None) == local
    assert moment.utcoffset() == (timedelta(minutes=int(offset)) if offset else None)


@given(
    st.text(max_size=20), st.integers(-(2**63), 2**63 - 1), st.decimals(allow_nan=False, allow_infinity=False, places=3)
)
def test_a_literal_of_v2_says_the_value_again(text, number, amount):
    for value, kind in ((text, "Edm.String"), (str(number), "Edm.Int64"), (str(amount), "Edm.Decimal")):
        literal = literal_of(value, Property(name="x", kind=kind), "V2")
        if literal is not None:  # a number as 1E+3 has none
            assert from_literal(literal, kind) == from_json(value, kind)

"""Personal columns: what enters the factory in their place, whatever the values, types and mistakes of a source."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import EnvironmentRefused, LineError
from factory.line.changes import Changes, SurrogateKey
from factory.line.expectation import Expectation
from factory.line.line import Table
from factory.line.personal import Marking, PersonalData, Pseudonyms, withheld

KEY = "k" * 32
PSEUDONYMS = Pseudonyms(KEY)
MARKS = {"name": "drop", "phone": "mask", "who": "pseudonymise"}
TABLE = Table(
    name="visits",
    columns={"visit": "Int64", "day": "Int64", "phone": "String", "who": "String", "site": "String"},
    key=("visit",),
    cursor="day",
    site_column="site",
    contract=(),
    repair=lambda rows: rows,
)
PERSONS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=6).filter(
    lambda text: len(text.strip()) >= 6 and not set(text) <= set("0123456789abcdef*")
)


def marking(marks=MARKS, nulls=()):
    return Marking(marks, PSEUDONYMS, lambda _: nulls)


@given(st.lists(st.one_of(st.none(), PERSONS), min_size=1), st.data())
def test_no_value_of_a_marked_column_comes_out_wherever_the_source_puts_it(persons, data):
    names = [f"in/who={person}/{person}.csv".replace("\0", "") if person else "1.csv" for person in persons]
    rows = pl.DataFrame(
        {
            "name": persons,
            "phone": persons,
            "who": persons,
            "_file": names,
            "_unparsed": [data.draw(st.sampled_from([None, f"1;2;{person}"])) for person in persons],
            "amount": range(len(persons)),
        },
        schema_overrides=dict.fromkeys(["name", "phone", "who", "_file", "_unparsed"], pl.String),
    )
    marked = marking().rows(rows)
    assert marked.height == rows.height
    assert marked["amount"].to_list() == rows["amount"].to_list()
    assert "name" not in marked.columns
    kept = " ".join(str(value) for row in marked.drop("amount").iter_rows() for value in row)
    assert [person for person in persons if person and person in kept] == []
    for column in ("phone", "who", "_unparsed"):
        assert marked[column].is_null().to_list() == rows[column].is_null().to_list()


@given(PERSONS, PERSONS)
def test_pseudonyms_are_the_same_exactly_where_the_persons_are(one, other):
    same = one.strip() == other.strip()
    first, second = (marking().rows(pl.DataFrame({"who": [person]}))["who"][0] for person in (one, f" {other} "))
    if same:
        assert first == second
    elif PSEUDONYMS.of(one) != PSEUDONYMS.of(other):
        assert first != second
    assert first != Pseudonyms("other" * 8).of(one)


@given(st.integers(-(1 << 53) + 1, (1 << 53) - 1))
def test_a_number_has_one_pseudonym_whatever_its_type_at_the_source_and_at_the_gateways_door(number):
    as_types = [
        pl.Series("who", [number], pl.Int64),
        pl.Series("who", [float(number)], pl.Float64),
        pl.Series("who", [str(number)], pl.String),
        pl.Series("who", [str(number)], pl.String).cast(pl.Decimal(38, 0)),
    ]
    pseudonyms = {marking().rows(values.to_frame())["who"][0] for values in as_types}
    assert pseudonyms == {PSEUDONYMS.of(number)} == {marking().value("who", float(number))}
    assert marking().record({"who": str(number), "name": "Anna", "day": 3}) == {"who": PSEUDONYMS.of(number), "day": 3}


def test_composed_and_decomposed_letters_are_one_person():
    assert PSEUDONYMS.of("Zo\u00eb") == PSEUDONYMS.of("Zoe\u0308")


def test_a_missing_value_is_nobody():
    rows = pl.DataFrame({"who": [None, "", "  ", "n/a", "Anna"], "phone": [None, "", "  ", "n/a", "+49"]})
    marked = marking(nulls=["n/a"]).rows(rows)
    assert marked["who"].to_list() == [None, "", "  ", "n/a", PSEUDONYMS.of("Anna")]
    assert marked["phone"].to_list()[3:] == ["n/a", "***"]


def test_a_float_that_is_no_number_is_nobody():
    assert marking().rows(pl.DataFrame({"who": [float("nan"), 4.0]}))["who"].to_list() == [None, PSEUDONYMS.of("4")]


def test_an_errors_quotes_are_withheld_but_for_what_the_lines_file_says():
    told = withheld("column 'who': the text 'Anna' in \"visits.csv\" is no UTF-8", {"who", "visits.csv"})
    assert told == "column 'who': the text '***' in \"visits.csv\" is no UTF-8"


def test_without_a_long_enough_key_nothing_is_pseudonymised(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(EnvironmentRefused, match=r"line x: .* SOME_KEY, is not set: set it to 32 signs"):
        Pseudonyms.under("env:SOME_KEY", "line x")
    monkeypatch.setenv("SOME_KEY", "short")
    with pytest.raises(EnvironmentRefused, match="SOME_KEY, has 5 signs"):
        Pseudonyms.under("env:SOME_KEY", "line x")


def test_a_key_never_stands_in_a_lines_file():
    with pytest.raises(LineError, match="a key never stands in a line's file"):
        PersonalData(key=KEY)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"personal": {"site": "pseudonymise"}}, "names the site"),
        ({"personal": {"day": "pseudonymise"}}, "is the cursor"),
        ({"personal": {"visit": "mask"}}, "masked two persons would be one: pseudonymise it"),
        ({"personal": {"visit": "drop"}}, "dropped two persons would be one"),
        ({"personal": {"visit": "pseudonymise"}}, "declare it as String, not Int64"),
        ({"personal": {"who_": "pseudonymise"}}, "not among its columns"),
        ({"personal": {"who": "mask"}, "changes": Changes(known_by="change_column", column="who")}, "tells of changes"),
        (
            {"personal": {"who": "mask"}, "surrogate_key": SurrogateKey(column="who")},
            "mark the columns that it is made",
        ),
        (
            {
                "personal": {"who": "mask"},
                "contract": (
                    Expectation(type="expect_column_values_to_match_regex", kwargs={"column": "who", "regex": "@"}),
                ),
            },
            "asks what is in 'who', which is masked before",
        ),
    ],
)
def test_marks_that_cannot_be_are_refused(changed, why):
    with pytest.raises(LineError, match=why):
        replace(TABLE, **changed)

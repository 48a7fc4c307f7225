"""SQLite's columns hold anything: every value comes as its exact text."""

import math
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.connectors.tables.reader import Narrowing
from factory.errors import SourceError
from tests.connectors.tables.databases.reading import read, reader_of

UNTIL = datetime(2024, 3, 1)
VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.binary(max_size=8)
)


@pytest.fixture
def shop(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop ?#%.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/shop%20%3F%23%25.db"


def text_of(value):
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None else str(value)


def is_exactly(came, value):
    """Whether a text is a value's; a double's has no more digits than Python needs to tell it from all others."""
    if not isinstance(value, float):
        return came == text_of(value)
    return Decimal(came) == Decimal(repr(value)) and came.startswith("-") == (math.copysign(1, value) < 0)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=12))
def test_any_value_comes_as_its_exact_text(shop, url, rows):
    shop.execute("DROP TABLE IF EXISTS anything")
    shop.execute('CREATE TABLE anything (a, "b "" c" BLOB, d)')
    shop.executemany("INSERT INTO anything VALUES (?, ?, ?)", rows)
    frame = read(reader_of(url, "anything"))
    assert frame.columns == ["a", 'b " c', "d"]
    assert len(frame) == len(rows)
    for came, row in zip(frame.rows(), rows, strict=True):
        assert all(map(is_exactly, came, row)), (came, row)


def test_a_declared_type_changes_no_value(shop, url):
    shop.execute(
        "CREATE TABLE jobs (job integer primary key, pieces integer, rework boolean, at datetime, price numeric)"
    )
    rows = [
        (1, "1,250", "true", 1700000000, "on request"),
        (2, "n/a", "false", "", 12),
        (3, 12.7, "no", "0000-00-00 00:00:00", 0.1),
        (4, "40", 0, "2024-01-31", 1e300),
        (5, 2**62, 1, None, "007x"),
    ]
    shop.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", rows)
    assert read(reader_of(url, "jobs")).rows() == [
        ("1", "1,250", "true", "1700000000", "on request"),
        ("2", "n/a", "false", "", "12"),
        ("3", "12.7", "no", "0000-00-00 00:00:00", "0.1"),
        ("4", "40", "0", "2024-01-31", "1e+300"),
        ("5", "4611686018427387904", "1", None, "007x"),
    ]


def test_a_text_that_is_no_utf_8_is_refused_with_its_row(shop, url):
    shop.execute("CREATE TABLE names (id integer primary key, name text)")
    shop.execute("INSERT INTO names VALUES (1, 'Müller'), (7, CAST(x'4dfc' AS TEXT))")
    with pytest.raises(SourceError, match=r"column 'name': the text b'M\\xfc' in the row with id = 7 is no UTF-8"):
        read(reader_of(url, "names"))


def test_a_table_that_gives_other_rows_than_it_counts_is_refused(shop, url):
    shop.execute("CREATE TABLE orders (n)")
    shop.executemany("INSERT INTO orders VALUES (?)", [(n,) for n in range(1000)])
    shop.execute("CREATE VIEW dice AS SELECT n FROM orders WHERE random() % 2 = 0")
    with pytest.raises(SourceError, match=r"table dice: the database counts \d+ rows and \d+ came"):
        read(reader_of(url, "dice"))


def test_a_load_sees_one_state_whatever_is_written_meanwhile(shop, url):
    shop.execute("PRAGMA journal_mode = WAL")
    shop.execute("CREATE TABLE orders (n)")
    shop.executemany("INSERT INTO orders VALUES (?)", [(n,) for n in range(60_000)])
    batches = reader_of(url, "orders").batches(["n"], Narrowing())
    first = next(batches)
    shop.execute("DELETE FROM orders WHERE n % 2 = 0")
    assert len(first) + sum(map(len, batches)) == 60_000


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(VALUES | st.sampled_from(["1", 1, 1.5, "1.5", b"1", "x"]), max_size=8))
def test_no_row_of_a_wanted_site_is_held_back(shop, url, rows):
    shop.execute("DROP TABLE IF EXISTS orders")
    shop.execute("CREATE TABLE orders (n, site)")
    shop.executemany("INSERT INTO orders VALUES (?, ?)", list(enumerate(rows)))
    wanted = ["1", "1.5", "x", "31"]
    came = set(read(reader_of(url, "orders"), ["n"], Narrowing(column="site", values=wanted))["n"])
    assert {str(n) for n, site in enumerate(rows) if text_of(site) in wanted} <= came


@pytest.mark.parametrize(
    ("moments", "newest"),
    [
        (["2024-01-01 10:00:00", "2024-01-02 00:00:00", "2024-04-01 00:00:00"], "2024-01-02 00:00:00"),
        (["2024-01-01", "2024-01-02", "2024-04-01"], "2024-01-02"),
        (["2024-01-01T10:00:00Z", "2024-01-02T00:00:00Z", None], "2024-01-02T00:00:00Z"),
        ([1700000000, 1700000001, None], "1700000001"),
        ([9, 10.5, None], "10.5"),
    ],
)
def test_the_newest_of_each_site_is_found_by_the_database(shop, url, moments, newest):
    shop.execute("CREATE TABLE orders (plant text, made_at datetime)")
    shop.executemany("INSERT INTO orders VALUES ('north', ?)", [(moment,) for moment in moments])
    shop.execute("INSERT INTO orders VALUES ('south', NULL)")
    found = reader_of(url, "orders").newest("plant", "made_at", UNTIL)
    assert dict(found.iter_rows()) == {"north": newest, "south": None}
    assert dict(reader_of(url, "orders").newest("plant", "", UNTIL).iter_rows()) == {"north": 3, "south": 1}


@pytest.mark.parametrize(
    "moments",
    [
        ["2024-01-01 10:00:00", "n/a"],
        ["2024-01-01 10:00:00", 1700000000],
        ["2024-01-01 10:00:00", "2024-01-01T10:00:00"],
        ["2024-01-01 10:00:00", "2024-01-01"],
        ["01.02.2024", "02.01.2024"],
        ["9", "10"],
        [b"9", b"10"],
    ],
)
def test_values_that_a_database_sorts_otherwise_than_people_are_not_asked_for(shop, url, moments):
    shop.execute("CREATE TABLE orders (plant, made_at)")
    shop.executemany("INSERT INTO orders VALUES ('north', ?)", [(moment,) for moment in moments])
    assert reader_of(url, "orders").newest("plant", "made_at", UNTIL) is None


def test_sites_whose_names_a_collation_takes_for_one_stay_apart(shop, url):
    shop.execute("CREATE TABLE orders (n integer, plant COLLATE NOCASE)")
    shop.execute("INSERT INTO orders VALUES (1, 'Ulm'), (2, 'ULM'), (3, 1), (4, 1.0)")
    newest = reader_of(url, "orders").newest("plant", "n", UNTIL)
    assert dict(newest.iter_rows()) == {"Ulm": "1", "ULM": "2", "1": "3", "1.0": "4"}


def test_the_rows_of_more_sites_than_a_query_may_name_are_read(shop, url):
    shop.execute("CREATE TABLE orders (n integer, plant text)")
    shop.executemany("INSERT INTO orders VALUES (?, ?)", [(n, f"plant {n}") for n in range(50)])
    sites = [f"plant {n}" for n in range(300_000)]
    assert len(read(reader_of(url, "orders"), ["n"], Narrowing(column="plant", values=sites))) == 50

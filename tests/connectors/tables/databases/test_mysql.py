"""What a real MariaDB holds comes as it is, zero dates, unsigned numbers and decimals too."""

import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.connectors.tables.reader import Narrowing
from factory.errors import SourceError
from tests.connectors.tables.databases.reading import read, reader_of
from tests.connectors.tables.mariadb import PASSWORD, needs_mariadb, running

pytestmark = needs_mariadb
UNTIL = datetime(2024, 3, 1)


@pytest.fixture(scope="module")
def url():
    with running() as port:
        yield f"mysql+pymysql://boss:{PASSWORD}@127.0.0.1:{port}/shop?charset=utf8mb4"


@pytest.fixture
def shop(url):
    """A connection of an application whose session is in New York, and that may write zero dates."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET sql_mode = '', time_zone = '-05:00', innodb_lock_wait_timeout = 5")
        connection.exec_driver_sql("DROP DATABASE IF EXISTS shop")
        connection.exec_driver_sql("CREATE DATABASE shop CHARACTER SET utf8mb4")
        connection.exec_driver_sql("USE shop")
        yield connection


KINDS = {
    "tinyint(1)": st.integers(-128, 127),
    "int unsigned": st.integers(0, 2**32 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "bigint unsigned": st.integers(0, 2**64 - 1),
    "decimal(40, 10)": st.decimals(-(10**29), 10**29, places=10),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False).map(
        lambda value: value + 0.0
    ),
    "double": st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False).map(lambda value: value + 0.0),
    "varchar(20)": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    "varbinary(20)": st.binary(max_size=8),
    "date": st.dates(date(1000, 1, 1)) | st.sampled_from(["0000-00-00", "2024-02-00"]),
    "datetime(6)": st.datetimes(datetime(1000, 1, 1)) | st.just("0000-00-00 00:00:00.000000"),
    "timestamp(6) NULL": st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)),
    "time(3)": st.sampled_from(["-838:59:58.500", "838:59:58.000", "00:00:00.001"]),
}


def written(kind, value, as_text):
    """Return what a value should come as; what a session in New York wrote into a TIMESTAMP is five hours later."""
    if kind.startswith("timestamp"):
        return (value + timedelta(hours=5)).replace(tzinfo=UTC)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds") if as_text else value
    if isinstance(value, Decimal):
        return f"{value if value else abs(value):f}"
    return value.isoformat() if isinstance(value, date) and as_text else value


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_rows_come_back_equal_to_the_bit(url, shop, data):
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for values in KINDS.values())), max_size=6))
    shop.exec_driver_sql("DROP TABLE IF EXISTS kinds")
    shop.exec_driver_sql("CREATE TABLE kinds (" + ", ".join(f"`a {kind}` {kind}" for kind in KINDS) + ")")
    table = sa.table("kinds", *(sa.column(f"a {kind}") for kind in KINDS))
    for row in rows:
        shop.execute(table.insert().values(row))
    frame = read(reader_of(url, "kinds"))
    for kind, came, wanted in zip(KINDS, frame.iter_columns(), zip(*rows, strict=True) if rows else (), strict=False):
        as_text = any(isinstance(value, str) for value in wanted)
        expected = [None if value is None else written(kind, value, as_text) for value in wanted]
        assert came.to_list() == expected, kind


def test_types_that_no_driver_has_come_as_the_database_writes_them(url, shop):
    literals = {
        "kind": ("enum('ok', 'so so')", "'so so'", "so so"),
        "kinds": ("set('a', 'b')", "'a,b'", "a,b"),
        "year": ("year", "2024", "2024"),
        "bits": ("bit(9)", "b'101'", 5),
        "words": ("json", "'{\"a\": 1.0}'", '{"a": 1.0}'),
        "id": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        "old": ("varchar(9) character set latin1", "'Müller'", "Müller"),
        "place": ("point", "point(1, 2)", "000000000101000000000000000000f03f0000000000000040"),
    }
    shop.exec_driver_sql(
        "CREATE TABLE others (" + ", ".join(f"`{n}` {kind}" for n, (kind, _, _) in literals.items()) + ")"
    )
    values = ", ".join(value for _, value, _ in literals.values())
    shop.exec_driver_sql(f"INSERT INTO others VALUES ({values})")  # noqa: S608  the literals above
    assert read(reader_of(url, "others")).row(0, named=True) == {n: value for n, (_, _, value) in literals.items()}


def test_a_load_sees_one_state_whatever_is_written_meanwhile(url, shop):
    shop.exec_driver_sql("CREATE TABLE orders AS SELECT seq AS n, repeat('x', 100) AS note FROM seq_1_to_120000")
    batches = reader_of(url, "orders").batches(["n", "note"], Narrowing())
    first = next(batches)
    shop.exec_driver_sql("DELETE FROM orders WHERE mod(n, 2) = 0")
    assert len(first) < 120_000, "more than one batch"
    assert pl.concat([first, *batches])["n"].sort().to_list() == list(range(1, 120_001))


def test_a_table_that_gives_other_rows_than_it_counts_is_refused(url, shop):
    shop.exec_driver_sql("CREATE VIEW dice AS SELECT seq FROM seq_1_to_1000 WHERE rand() < 0.5")
    with pytest.raises(SourceError, match=r"table dice: the database counts \d+ rows and \d+ came"):
        read(reader_of(url, "dice"))


MOMENTS = (
    st.none() | st.sampled_from(["0000-00-00", "2024-02-00"]) | st.datetimes(datetime(2024, 2, 1), datetime(2024, 2, 9))
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(st.sampled_from(["a", "B'", None]), MOMENTS), max_size=8),
    after=st.datetimes(datetime(2024, 2, 1), datetime(2024, 2, 9)),
    moment=st.sampled_from(["naive", "day"]),
)
def test_no_wanted_row_is_held_back_and_none_without_a_moment(url, shop, rows, after, moment):
    shop.exec_driver_sql("DROP TABLE IF EXISTS moments")
    shop.exec_driver_sql("CREATE TABLE moments (n int, site text, naive datetime(6), day date)")
    for number, (site, naive) in enumerate(rows):
        shop.exec_driver_sql("INSERT INTO moments VALUES (%s, %s, %s, %s)", (number, site, naive, naive))
    until = after + timedelta(days=2)
    only = Narrowing(column="site", values=["B'"], moment=moment, after=after, until=until)
    came = set(read(reader_of(url, "moments"), ["n"], only)["n"])
    for number, (site, value) in enumerate(rows):
        unknown = value is None or isinstance(value, str)
        if site == "B'" and (unknown or after <= value < until):
            assert number in came
        if site != "B'" or not (unknown or after - timedelta(days=2) <= value < until + timedelta(days=2)):
            assert number not in came


def test_the_newest_of_each_site_is_found_by_the_database(url, shop):
    shop.exec_driver_sql(
        "CREATE TABLE orders (id bigint, plant varchar(9), made_at timestamp(6) NULL, amount decimal(9,2), note text)"
    )
    rows = [
        (1, "north", "2024-01-01 10:00:00.25", "9.5", "b"),
        (2, "north", "2024-04-01 00:00:00", "10.25", "a"),
        (3, "south", "0000-00-00 00:00:00", "7", "a"),
        (4, "west", None, None, None),
    ]
    for row in rows:
        shop.exec_driver_sql("INSERT INTO orders VALUES (%s, %s, %s, %s, %s)", row)
    reader = reader_of(url, "orders")
    moments = dict(reader.newest("plant", "made_at", UNTIL).iter_rows())
    assert moments == {"north": datetime(2024, 1, 1, 15, 0, 0, 250000, UTC), "south": None, "west": None}
    assert dict(reader.newest("plant", "id", UNTIL).iter_rows()) == {"north": 2, "south": 3, "west": 4}
    assert dict(reader.newest("", "amount", UNTIL).iter_rows()) == {None: "10.25"}
    assert reader.newest("plant", "note", UNTIL) is None, "10 comes before 9 in texts"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong-secret"}, "Access denied.*mend SHOP_URL"),
        ({"port": 1}, "refused.*is it up"),
        ({"database": "nowhere"}, "Unknown database 'nowhere'.*mend the name in SHOP_URL"),
        ({"host": "no-such-host.invalid"}, "mend the host's name in SHOP_URL"),
        ({"username": "reader"}, "denied to user.*grant that user SELECT"),
    ],
)
def test_what_a_real_server_refuses_is_told_with_table_place_and_what_to_do(url, shop, change, said, monkeypatch):
    shop.exec_driver_sql("CREATE TABLE orders (id int)")
    shop.exec_driver_sql("CREATE TABLE open (id int)")
    shop.exec_driver_sql(f"CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
    shop.exec_driver_sql("GRANT SELECT ON shop.open TO reader@'127.0.0.1'")
    monkeypatch.setenv("SHOP_URL", sa.make_url(url).set(**change).render_as_string(hide_password=False))
    with pytest.raises(SourceError, match=said) as caught:
        read(reader_of("env:SHOP_URL", "orders"), ["id"])
    sentence = str(caught.value)
    assert sentence.startswith("table orders: the database mysql+pymysql://***@")
    assert "\n" not in sentence
    assert "wrong-secret" not in sentence
    assert os.environ["SHOP_URL"] not in sentence


def test_sites_whose_names_a_collation_takes_for_one_stay_apart(url, shop):
    shop.exec_driver_sql("CREATE TABLE orders (n int, plant varchar(9))")
    shop.exec_driver_sql("INSERT INTO orders VALUES (1, 'Ulm'), (2, 'ULM'), (3, 'Ulm ')")
    newest = reader_of(url, "orders").newest("plant", "n", UNTIL)
    assert dict(newest.iter_rows()) == {"Ulm": 1, "ULM": 2, "Ulm ": 3}


def test_a_whole_number_may_be_the_cursor(url, shop):
    shop.exec_driver_sql("CREATE TABLE orders (id bigint unsigned, plant varchar(9))")
    shop.exec_driver_sql("INSERT INTO orders VALUES (1, 'a'), (2, 'a'), (3, 'b'), (NULL, 'a')")
    reader = reader_of(url, "orders")
    rows = read(reader, ["id"], Narrowing(column="plant", values=["a"], moment="id", after=2, until=UNTIL))
    assert set(rows["id"]) == {2, None}

"""What a real PostgreSQL holds comes as it is: to the bit, whole or refused, and in one state of the database."""

import json
import traceback
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from uuid import UUID

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from factory.connectors.tables import TableSource
from factory.connectors.tables.reader import Narrowing
from factory.data.ingest import ingest
from factory.errors import SourceError
from factory.line.line import Table
from factory.storage.lake import Lake
from tests.connectors.tables.databases.reading import read, reader_of
from tests.connectors.tables.postgres import PASSWORD, needs_postgres, running

pytestmark = needs_postgres
UNTIL = datetime(2024, 3, 1)


@pytest.fixture(scope="module")
def url():
    with running() as port:
        yield f"postgresql://boss:{PASSWORD}@127.0.0.1:{port}/postgres"


@pytest.fixture
def shop(url):
    """A connection by another driver than the one that is tried, in a schema of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        connection.execute("CREATE SCHEMA shop")
        yield connection


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
INFINITE = st.sampled_from(["infinity", "-infinity"])
KINDS = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "bool": st.booleans(),
    "text": TEXT,
    "varchar(20)": TEXT,
    "bytea": st.binary(max_size=8),
    "date": st.dates() | INFINITE,
    "timestamp": st.datetimes() | INFINITE,
    "timestamptz": st.datetimes(timezones=st.just(UTC)) | INFINITE,
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=7) | st.just(Decimal("NaN")),
    "numeric(30, 10)": st.decimals(-(10**19), 10**19, places=10),
    "uuid": st.uuids(),
    "json": st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans(), max_size=2),
    "int8[]": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    "time": st.times(),
    "interval": st.integers(-(10**6), 10**6).map(lambda days: timedelta(days=days)),
    "inet": st.ip_addresses(v=4),
}


def trimmed(text):
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment_text(value):
    return trimmed(value.replace(tzinfo=None).isoformat(sep=" ")) + ("+00" if value.tzinfo else "")


WRITTEN = {
    datetime: moment_text,
    date: date.isoformat,
    Decimal: lambda value: "NaN" if value.is_nan() else f"{value if value else abs(value):f}",
    time: lambda value: trimmed(value.isoformat()),
    timedelta: lambda value: f"{value.days} day{'' if value.days == 1 else 's'}" if value else "00:00:00",
    dict: json.dumps,
    list: lambda value: "{" + ",".join(map(str, value)) + "}",
    UUID: str,
    IPv4Address: str,
}
"""Texts as PostgreSQL's documentation has them."""


def written(value, as_text):
    """Return what a value should come as."""
    keeps_type = isinstance(value, date) and not as_text
    return value if keeps_type else WRITTEN.get(type(value), lambda value: value)(value)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_rows_come_back_equal_to_the_bit(url, shop, data):
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for values in KINDS.values())), max_size=6))
    shop.execute("DROP TABLE IF EXISTS shop.kinds")
    columns = sql.SQL(", ").join(sql.SQL("{} " + kind).format(sql.Identifier(f"a {kind}")) for kind in KINDS)
    shop.execute(sql.SQL("CREATE TABLE shop.kinds ({})").format(columns))
    values = sql.SQL(", ").join(sql.SQL("%s::" + kind) for kind in KINDS)
    insert = sql.SQL("INSERT INTO shop.kinds VALUES ({})").format(values)
    for row in rows:
        sent = [json.dumps(value) if isinstance(value, dict) else value for value in row]
        shop.execute(insert, sent)
    frame = read(reader_of(url, "shop.kinds"))
    assert frame.columns == [f"a {kind}" for kind in KINDS]
    for kind, came, wanted in zip(KINDS, frame.iter_columns(), zip(*rows, strict=True) if rows else (), strict=False):
        as_text = any(value in ("infinity", "-infinity") for value in wanted)
        expected = pl.Series([None if value is None else written(value, as_text) for value in wanted], dtype=came.dtype)
        assert came.equals(expected.alias(came.name), null_equal=True), (kind, came.to_list(), expected.to_list())
        assert came.dtype.is_float() or came.to_list() == expected.to_list()


def test_types_that_no_driver_has_come_as_postgresql_writes_them(url, shop):
    shop.execute("CREATE TYPE shop.mood AS ENUM ('ok', 'so so')")
    shop.execute("CREATE DOMAIN shop.pieces AS int CHECK (value > 0)")
    literals = {
        "mood": ("'so so'::shop.mood", "so so"),
        "pieces": ("7::shop.pieces", 7),
        "late": ("'24:00'::time", "24:00:00"),
        "zoned": ("'10:00+02'::timetz", "10:00:00+02"),
        "ago": ("'1 mon 2 days 3.5 s'::interval", "1 mon 2 days 00:00:03.5"),
        "net": ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
        "bits": ("B'101'", "101"),
        "point": ("'(1,2)'::point", "(1,2)"),
        "range": ("'[1,3)'::int4range", "[1,3)"),
        "words": ("ARRAY['a b', NULL]", '{"a b",NULL}'),
        "binary json": ("'{\"a\": 1.0}'::jsonb", '{"a": 1.0}'),
        "large": ("4294967295::oid", "4294967295"),
        "long ago": ("'0044-03-15 BC'::date", "0044-03-15 BC"),
        "far": ("'294276-12-31 23:59:59.999999'::timestamp", "294276-12-31 23:59:59.999999"),
        "padded": ("'x'::char(4)", "x   "),
        "none": ("NULL::int", None),
    }
    columns = ", ".join(f'{literal} AS "{name}"' for name, (literal, _) in literals.items())
    shop.execute(f"CREATE TABLE shop.others AS SELECT {columns}")
    assert read(reader_of(url, "shop.others")).row(0, named=True) == {n: value for n, (_, value) in literals.items()}


def test_every_kind_of_relation_is_read_and_a_missing_one_is_told_with_those_there_are(url, shop):
    shop.execute("CREATE TABLE shop.parts (n int) PARTITION BY RANGE (n)")
    shop.execute("CREATE TABLE shop.low PARTITION OF shop.parts FOR VALUES FROM (0) TO (10)")
    shop.execute("INSERT INTO shop.parts VALUES (1), (2)")
    shop.execute("CREATE VIEW shop.seen AS SELECT * FROM shop.parts")
    shop.execute("CREATE MATERIALIZED VIEW shop.kept AS SELECT * FROM shop.parts")
    for name in ("parts", "low", "seen", "kept"):
        assert read(reader_of(url, f"shop.{name}"))["n"].to_list() == [1, 2]
    with pytest.raises(SourceError, match=r"no table 'shop\.part'; it has kept, low, parts, seen"):
        reader_of(url, "shop.part").schema()


def test_a_load_sees_one_state_whatever_is_written_meanwhile(url, shop):
    shop.execute("CREATE TABLE shop.orders AS SELECT n, repeat('x', 100) AS note FROM generate_series(1, 300000) n")
    batches = reader_of(url, "shop.orders").batches(["n", "note"], Narrowing())
    first = next(batches)
    shop.execute("DELETE FROM shop.orders WHERE n % 2 = 0")
    numbers = pl.concat([first, *batches])["n"]
    assert numbers.sort().to_list() == list(range(1, 300001))
    assert len(first) < 300000, "more than one batch"


def test_a_table_that_gives_other_rows_than_it_counts_is_refused(url, shop):
    shop.execute("CREATE VIEW shop.dice AS SELECT n FROM generate_series(1, 1000) n WHERE random() < 0.5")
    with pytest.raises(SourceError, match=r"table shop\.dice: the database counts \d+ rows and \d+ came"):
        read(reader_of(url, "shop.dice"))


def test_a_value_that_comes_and_goes_is_noticed_by_its_nulls(url, shop):
    shop.execute(
        "CREATE VIEW shop.dice AS SELECT CASE WHEN random() < 0.5 THEN n END AS thrown FROM generate_series(1, 1000) n"
    )
    with pytest.raises(SourceError, match=r"the database counts \d+ values in column 'thrown' and \d+ came"):
        read(reader_of(url, "shop.dice"))


def test_a_text_without_an_encoding_is_refused_with_its_row(url, shop):
    shop.execute("DROP DATABASE IF EXISTS bytes")
    shop.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    other = url.replace("/postgres", "/bytes")
    with psycopg.connect(other, autocommit=True) as connection:
        connection.execute("CREATE TABLE names (id int, name text)")
        connection.execute(r"INSERT INTO names VALUES (1, E'M\xc3\xbcller')")
        assert read(reader_of(other, "names"))["name"].to_list() == ["M\u00fcller"]
        connection.execute(r"INSERT INTO names VALUES (7, E'M\xfcller')")
    with pytest.raises(SourceError, match=r"column 'name': the text b'M\\xfcller' in the row with id = 7 is no UTF-8"):
        read(reader_of(other, "names"))


MOMENTS = st.none() | INFINITE | st.datetimes(datetime(2024, 2, 1), datetime(2024, 2, 9))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(st.sampled_from(["a", "b'\"", None]), MOMENTS, MOMENTS), max_size=8),
    after=st.datetimes(datetime(2024, 2, 1), datetime(2024, 2, 9)),
    moment=st.sampled_from(["naive", "zoned", "day"]),
)
def test_no_wanted_row_is_held_back_and_none_without_a_moment(url, shop, rows, after, moment):
    shop.execute("SET TIME ZONE 'America/New_York'")
    shop.execute("DROP TABLE IF EXISTS shop.moments")
    shop.execute("CREATE TABLE shop.moments (n int, site text, naive timestamp, zoned timestamptz, day date)")
    for number, (site, naive, zoned) in enumerate(rows):
        shop.execute("INSERT INTO shop.moments VALUES (%s, %s, %s, %s, %s)", [number, site, naive, zoned, naive])
    until = after + timedelta(days=2)
    only = Narrowing(column="site", values=["b'\""], moment=moment, after=after, until=until)
    came = set(read(reader_of(url, "shop.moments"), ["n"], only)["n"])
    for number, (site, naive, zoned) in enumerate(rows):
        value = zoned if moment == "zoned" else naive
        unknown = value is None or isinstance(value, str)
        if site == "b'\"" and (unknown or after <= value < until):
            assert number in came
        if site != "b'\"" or not (unknown or after - timedelta(days=2) <= value < until + timedelta(days=2)):
            assert number not in came


def test_the_newest_of_each_site_is_found_by_the_database(url, shop):
    shop.execute("CREATE TABLE shop.orders (id int8, plant text, made_at timestamptz, amount numeric, note text)")
    rows = [
        (1, "north", "2024-01-01 10:00+02", "9.5", "b"),
        (2, "north", "2024-04-01 00:00+00", "10.25", "a"),
        (3, "south", "infinity", "7", "a"),
        (4, "south", "2024-02-01 00:00+00", "NaN", "a"),
        (5, "west", None, None, None),
    ]
    for row in rows:
        shop.execute("INSERT INTO shop.orders VALUES (%s, %s, %s, %s, %s)", row)
    reader = reader_of(url, "shop.orders")
    moments = dict(reader.newest("plant", "made_at", UNTIL).iter_rows())
    assert moments == {
        "north": datetime(2024, 1, 1, 8, tzinfo=UTC),
        "south": datetime(2024, 2, 1, tzinfo=UTC),
        "west": None,
    }
    assert dict(reader.newest("plant", "id", UNTIL).iter_rows()) == {"north": 2, "south": 4, "west": 5}
    assert dict(reader.newest("plant", "", UNTIL).iter_rows()) == {"north": 2, "south": 2, "west": 1}
    assert dict(reader.newest("", "amount", UNTIL).iter_rows()) == {None: "NaN"}
    assert reader.newest("plant", "note", UNTIL) is None, "10 comes before 9 in texts"


def test_a_late_row_and_a_deletion_are_known_by_the_servers_count(url, shop, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_URL", url)
    shop.execute("CREATE TABLE shop.orders (id int8, plant text, made_at timestamptz)")
    for row in [(1, "2024-01-01"), (2, "2024-02-01"), (3, "infinity"), (4, "2024-05-01")]:
        shop.execute("INSERT INTO shop.orders VALUES (%s, 'Ulm', %s)", row)
    table = Table(
        name="orders",
        columns={"id": "Int64", "plant": "String", "made_at": "Datetime[us, UTC]"},
        key=("id",),
        cursor="made_at",
        site_column="plant",
        contract=(),
        repair=lambda rows: rows,
    )
    source, lake = TableSource({"orders": {"at": "env:SHOP_URL::shop.orders"}}, root=str(tmp_path)), Lake(tmp_path, "x")
    assert source.version(table) is None
    assert source.counts(table, UNTIL) == {"Ulm": 3}
    assert source.beyond(table, datetime(2024, 1, 2))["Ulm"].rows == 2  # none that is infinite
    seen = {site: done.seen for site, done in ingest(lake, source, table, ["Ulm"], UNTIL).done.items()}
    shop.execute("INSERT INTO shop.orders VALUES (5, 'Ulm', '2023-12-01')")
    late = ingest(lake, source, table, ["Ulm"], UNTIL, seen=seen).done["Ulm"]
    assert (late.new_rows, late.withdrawn) == (1, 0)
    shop.execute("DELETE FROM shop.orders WHERE id = 1")
    gone = ingest(lake, source, table, ["Ulm"], UNTIL, seen={"Ulm": late.seen}).done["Ulm"]
    assert (gone.new_rows, gone.withdrawn) == (0, 1)
    same = ingest(lake, source, table, ["Ulm"], UNTIL, seen={"Ulm": gone.seen}).done["Ulm"]
    assert (same.new_rows, same.withdrawn, same.remark) == (0, 0, "")


def test_a_name_and_a_password_with_any_signs_reach_the_server_and_no_message(url, shop, monkeypatch):
    password = r"it's \ a ?#/@% secret="  # noqa: S105
    shop.execute('DROP USER IF EXISTS "o\'hara"')
    shop.execute(sql.SQL('CREATE USER "o\'hara" PASSWORD {}').format(sql.Literal(password)))
    shop.execute("CREATE TABLE shop.orders AS SELECT 1 AS n")
    shop.execute('GRANT USAGE ON SCHEMA shop TO "o\'hara"')
    asked = sa.make_url(url).set(username="o'hara", password=password, query={"application_name": "a 'b' \\"})
    monkeypatch.setenv("SHOP_URL", asked.render_as_string(hide_password=False).replace("postgresql", "postgres", 1))
    with pytest.raises(SourceError, match=r"permission denied for table orders.*grant that user SELECT") as caught:
        read(reader_of("env:SHOP_URL", "shop.orders"))
    behind = "".join(traceback.format_exception(caught.value))
    assert "secret" not in behind
    assert "\n" not in str(caught.value)
    shop.execute('GRANT SELECT ON shop.orders TO "o\'hara"')
    assert read(reader_of("env:SHOP_URL", "shop.orders"))["n"].to_list() == [1]
    shop.execute("DROP SCHEMA shop CASCADE")
    shop.execute('DROP USER "o\'hara"')


def test_sites_whose_names_a_collation_takes_for_one_stay_apart(url, shop):
    shop.execute("CREATE COLLATION shop.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    shop.execute("CREATE TABLE shop.orders (n int, plant text COLLATE shop.loose)")
    shop.execute("INSERT INTO shop.orders VALUES (1, 'Ulm'), (2, 'ULM')")
    assert dict(reader_of(url, "shop.orders").newest("plant", "n", UNTIL).iter_rows()) == {"Ulm": 1, "ULM": 2}


def test_a_whole_number_may_be_the_cursor(url, shop):
    shop.execute("CREATE TABLE shop.orders (id int8, plant text)")
    shop.execute("INSERT INTO shop.orders VALUES (1, 'a'), (2, 'a'), (3, 'b'), (NULL, 'a')")
    reader = reader_of(url, "shop.orders")
    rows = read(reader, ["id"], Narrowing(column="plant", values=["a"], moment="id", after=2, until=UNTIL))
    assert set(rows["id"]) == {2, None}


@pytest.mark.parametrize(
    "dialect", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"]
)
def test_the_driver_that_a_url_names_is_not_needed(url, shop, dialect):
    shop.execute("CREATE TABLE shop.orders AS SELECT 1.50 AS amount")
    named = url.replace("postgresql", dialect, 1)
    assert read(reader_of(named, "shop.orders"))["amount"].to_list() == ["1.50"]

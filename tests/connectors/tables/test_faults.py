"""What databases and files say when they fail reaches people as table, file, what is wrong and what to do."""

import re
import socket
import traceback
from datetime import datetime

import polars as pl
import pytest
import sqlalchemy as sa

from factory.connectors.tables import TableSource
from factory.connectors.tables.databases.faults import unreadable
from factory.connectors.tables.place import Place
from factory.errors import SourceError
from factory.line.line import Table
from tests.connectors.tables.postgres import PASSWORD, needs_postgres, running

UNTIL = datetime(2024, 3, 1)


def table():
    return Table(
        name="orders",
        columns={"order_id": "Int64", "plant": "String", "made_at": "Datetime[us, UTC]"},
        key=("order_id",),
        cursor="made_at",
        site_column="plant",
        contract=(),
        repair=lambda rows: rows,
    )


def refused(folder, at):
    """Return what a person reads where the table cannot be read, and all that is behind it."""
    with pytest.raises(SourceError) as caught:
        TableSource({"orders": {"at": at}}, root=str(folder)).sites(table(), UNTIL)
    return str(caught.value), "".join(traceback.format_exception(caught.value))


@pytest.fixture(scope="module")
def server():
    """Return the port of a PostgreSQL with a table `orders`, and a user `reader` who may not read it."""
    with running() as port:
        engine = sa.create_engine(f"postgresql+psycopg://boss:{PASSWORD}@127.0.0.1:{port}/postgres")
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE orders (order_id int, plant text, made_at timestamp)"))
            connection.execute(sa.text("INSERT INTO orders VALUES (1, 'north', '2024-01-01')"))
            connection.execute(sa.text(f"CREATE USER reader PASSWORD '{PASSWORD}'"))
        engine.dispose()
        yield port


@needs_postgres
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("boss:wrong-secret@127.0.0.1:{port}/postgres", "password authentication failed.*mend SHOP_URL"),
        ("boss@127.0.0.1:{port}/postgres?password=wrong-secret", "password authentication failed.*mend SHOP_URL"),
        ("boss:correct-horse@127.0.0.1:{closed}/postgres", "refused.*is it up"),
        ("boss:correct-horse@127.0.0.1:{port}/nowhere", "does not exist.*mend the name in SHOP_URL"),
        ("boss:correct-horse@no-such-host.invalid/postgres", "mend the host's name in SHOP_URL"),
        ("reader:correct-horse@127.0.0.1:{port}/postgres", "permission denied.*grant that user SELECT"),
    ],
)
def test_what_a_real_postgres_refuses_is_told_with_table_place_and_what_to_do(server, tmp_path, monkeypatch, url, told):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    monkeypatch.setenv("SHOP_URL", "postgresql+psycopg://" + url.format(port=server, closed=closed))
    sentence, behind = refused(tmp_path, "env:SHOP_URL::orders")
    assert sentence.startswith("table orders: the database postgresql+psycopg://***@")
    assert "\n" not in sentence
    assert re.search(told, sentence), sentence
    for secret in ("wrong-secret", "correct-horse"):
        assert secret not in behind


@needs_postgres
def test_a_table_that_the_database_lacks_is_named_with_those_it_has(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_URL", f"postgresql+psycopg://boss:{PASSWORD}@127.0.0.1:{server}/postgres")
    assert "the database has no table 'ordrs'; it has orders" in refused(tmp_path, "env:SHOP_URL::ordrs")[0]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (sa.exc.OperationalError("SELECT", {}, OSError("connection refused")), "is it up"),
        (sa.exc.OperationalError("SELECT", {}, OSError("timeout expired")), "is it up"),
        (sa.exc.ProgrammingError("SELECT", {}, OSError("permission denied for table")), "grant that user SELECT"),
        (
            sa.exc.DataError("SELECT", {}, ValueError("year 99999 is out of range")),
            "a value is not of its column's type",
        ),
        (sa.exc.NoSuchModuleError("Can't load plugin: sqlalchemy.dialects:foo"), "there is no dialect"),
        (sa.exc.InternalError("SELECT", {}, OSError("segment 7 is damaged")), "ask who runs the database"),
        (
            ModuleNotFoundError("No module named 'pymysql'"),
            "install its driver with this library's extra: pip install 'ai-factory[mysql]'",
        ),
        (OSError("unexpected end"), "ask who runs the database"),
    ],
)
def test_whatever_a_driver_raises_is_one_sentence(error, told):
    url = sa.make_url("mysql+pymysql://app:hunter22@db.example/shop?ssl_key=/x")
    said = str(unreadable(error, url, Place(kind="sql", at="env:SHOP_URL", table="orders")))
    assert said.startswith("table orders: the database mysql+pymysql://***@db.example/shop?*** cannot be read: ")
    assert told in said
    assert "hunter22" not in said
    assert "\n" not in said


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "shop.db").write_text("a note that is no database, and long enough to be read as one")
    assert "it is a file of another kind: check the path" in refused(tmp_path, "sqlite:///shop.db::orders")[0]


@pytest.mark.parametrize("damage", ["junk", "half"])
def test_of_many_parquet_files_the_damaged_one_is_named(tmp_path, damage):
    folder = tmp_path / "orders"
    folder.mkdir()
    rows = pl.DataFrame({"order_id": [1], "plant": ["north"], "made_at": [datetime(2024, 1, 1)]})
    for name in ("january", "february", "march"):
        rows.write_parquet(folder / f"{name}.parquet")
    content = (folder / "february.parquet").read_bytes()
    (folder / "february.parquet").write_bytes(b"junk" if damage == "junk" else content[: len(content) // 2])
    sentence, _ = refused(tmp_path, "orders")
    assert sentence.startswith(f"table orders: {folder}/february.parquet cannot be read as parquet: ")
    assert sentence.endswith("it is damaged or half written: export it again")


def test_a_delta_table_without_one_of_its_files_names_it(tmp_path):
    rows = pl.DataFrame({"order_id": [1], "plant": ["north"], "made_at": [datetime(2024, 1, 1)]})
    rows.write_delta(tmp_path / "orders")
    file = next((tmp_path / "orders").glob("*.parquet"))
    file.write_bytes(b"junk")
    assert file.name in refused(tmp_path, "orders")[0]


def test_a_delta_table_whose_log_is_damaged_is_told(tmp_path):
    pl.DataFrame({"order_id": [1]}).write_delta(tmp_path / "orders")
    next((tmp_path / "orders" / "_delta_log").glob("*.json")).write_text("junk")
    sentence, _ = refused(tmp_path, "orders")
    assert sentence.startswith("table orders: it cannot be read as delta: ")
    assert "\n" not in sentence

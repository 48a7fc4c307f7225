"""Promises of `TableSource`: any kind of table, the same rows, in batches, under the line's names, values untouched."""

import gzip
import sqlite3
import traceback
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from factory.connectors.tables import TableSource
from factory.data.contract.typing import typed_rows
from factory.errors import LineError, SchemaMismatch, SourceError
from factory.line.line import Table
from factory.line.parsing import Parse
from factory.line.site_names import SiteNames

UNTIL = datetime(2024, 3, 1)
COLUMNS = {"order_id": "Int64", "plant": "String", "made_at": "Datetime[us, UTC]", "kg": "Float64", "good": "Boolean"}
FRAME = pl.DataFrame(
    {
        "order id": [1, 2, 3, 4],
        "plant": ["north", "south", "north", None],
        "made at": [datetime(2024, 1, 31), datetime(2024, 2, 1, 10, 30), datetime(2024, 2, 29), datetime(2024, 3, 1)],
        "kg": [1.5, None, 3.0, 4.0],
        "good": [True, False, None, True],
    },
    schema_overrides={"made at": pl.Datetime("us")},
)
NAMES = {"order_id": "order id", "made_at": "made at"}


def table(columns=COLUMNS, cursor="made_at", site="plant", key=("order_id",), **more):
    return Table(
        name="orders",
        columns=columns,
        key=key,
        cursor=cursor,
        site_column=site,
        contract=(),
        repair=lambda x: x,
        **more,
    )


def source(root, at, **more):
    return TableSource({"orders": {"at": str(at), "names": NAMES, **more}}, root=str(root))


def typed(batches, of):
    """Return rows as the contract types them."""
    return typed_rows(pl.concat(batches).lazy(), of, ()).select(list(of.columns)).collect()


def everything(found, of, until=UNTIL, after=None):
    batches = [
        batch for site in found.sites(of, until) for batch in found.read(of, site=site, after=after, until=until)
    ]
    return typed(batches, of).sort("order_id")


def as_csv(root):
    FRAME.write_csv(root / "orders.csv", datetime_format="%d.%m.%Y %H:%M")
    return source(root, "orders.csv"), Parse(formats={"made_at": "%d.%m.%Y %H:%M"})


def as_gzip(root):
    text = FRAME.write_csv(separator=";", decimal_comma=True, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    (root / "orders.csv.gz").write_bytes(gzip.compress(text.encode()))
    parse = Parse(decimal=",", formats={"made_at": "%Y-%m-%dT%H:%M:%S%.f%z"})
    return source(root, "orders.csv.gz", separator=";"), parse


def as_parquet(root):
    FRAME.write_parquet(root / "orders.parquet")
    return source(root, "orders.parquet"), Parse()


def as_folder(root):
    (root / "orders").mkdir()
    FRAME.head(2).write_parquet(root / "orders" / "1.parquet")
    FRAME.tail(2).write_parquet(root / "orders" / "2.parquet")
    return source(root, "orders"), Parse()


def as_delta(root):
    FRAME.write_delta(root / "orders")
    return source(root, "orders"), Parse()


def as_sql(root):
    with sqlite3.connect(root / "shop.db") as shop:
        shop.execute(
            'CREATE TABLE "all ""orders""" ("order id" INTEGER, plant TEXT, "made at" DATETIME, kg REAL, good BOOLEAN)'
        )
        rows = [(*row[:2], row[2].isoformat(" "), *row[3:]) for row in FRAME.iter_rows()]
        shop.executemany('INSERT INTO "all ""orders""" VALUES (?, ?, ?, ?, ?)', rows)
    shop.close()
    return source(root, 'sqlite:///shop.db::all "orders"'), Parse(
        true_values=("true", "1"), false_values=("false", "0")
    )


KINDS = [as_csv, as_gzip, as_parquet, as_folder, as_delta, as_sql]


@pytest.mark.parametrize("until", [datetime(2024, 1, 1), datetime(2024, 2, 2), UNTIL, datetime(2025, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_knows_its_sites_and_the_newest_of_each(kind, until, tmp_path):
    found, parse = kind(tmp_path)
    aware = until.replace(tzinfo=UTC)
    dated = [(plant or "unknown", moment.replace(tzinfo=UTC)) for _, plant, moment, *_ in FRAME.iter_rows()]
    newest = dict(sorted((plant, moment) for plant, moment in dated if moment < aware))
    assert found.newest(table(parse=parse), until) == newest
    assert found.sites(table(parse=parse), until) == sorted(newest)


@pytest.mark.parametrize("until", [datetime(2024, 1, 1), UNTIL, datetime(2025, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_knows_what_it_has_beyond_a_moment(kind, until, tmp_path):
    found, parse = kind(tmp_path)
    later = [(plant or "unknown", moment) for _, plant, moment, *_ in FRAME.iter_rows()]
    later = [(plant, moment.replace(tzinfo=UTC)) for plant, moment in later if moment >= until.replace(tzinfo=None)]
    beyond = found.beyond(table(parse=parse), until)
    assert {site: (one.rows, one.latest) for site, one in beyond.items()} == {
        site: (sum(plant == site for plant, _ in later), max(moment for plant, moment in later if plant == site))
        for site in {plant for plant, _ in later}
    }
    assert not any(one.ahead for one in beyond.values())


@pytest.mark.parametrize("at", ["orders.csv", "sqlite:///shop.db::orders"])
def test_rows_that_a_clock_wrote_ahead_are_counted_apart_from_those_that_are_only_later(at, tmp_path):
    rows = [("north", "2024-05-01 00:00:00"), ("north", "2999-01-01 00:00:00"), ("north", "2024-01-01 00:00:00")]
    pl.DataFrame(rows, ["plant", "made_at"], orient="row").write_csv(tmp_path / "orders.csv")
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (plant TEXT, made_at DATETIME)")
        shop.executemany("INSERT INTO orders VALUES (?, ?)", rows)
    shop.close()
    of = table({"plant": "String", "made_at": "Datetime[us, UTC]"}, key=())
    found = TableSource({"orders": {"at": at}}, root=str(tmp_path))
    assert found.beyond(of, UNTIL) == {"north": (2, 1, datetime(2999, 1, 1, tzinfo=UTC))}


@pytest.mark.parametrize("moments", [["2024-03-31 01:30:00", "2024-03-31 02:30:00"], ["2024-02-29", "ca. noon"]])
def test_a_newest_that_the_line_cannot_read_is_looked_for_among_the_rows(moments, tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (plant TEXT, made_at DATETIME)")
        shop.executemany("INSERT INTO orders VALUES ('north', ?)", [(moment,) for moment in moments])
    shop.close()
    of = table({"plant": "String", "made_at": "Datetime[us, UTC]"}, key=(), parse=Parse(time_zone="Europe/Berlin"))
    found = TableSource({"orders": {"at": "sqlite:///shop.db::orders"}}, root=str(tmp_path))
    berlin = datetime.fromisoformat(moments[0]).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert found.newest(of, datetime(2025, 1, 1)) == {"north": berlin.astimezone(UTC)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_rows_before_the_as_of_moment(kind, tmp_path):
    found, parse = kind(tmp_path)
    of = table(parse=parse)
    assert found.sites(of, UNTIL) == ["north", "south"]
    assert found.sites(of, datetime(2024, 4, 1)) == ["north", "south", "unknown"]
    rows = everything(found, of)
    assert list(rows.columns) == list(COLUMNS)
    assert rows["order_id"].to_list() == [1, 2, 3]
    assert rows["made_at"].to_list()[1] == datetime(2024, 2, 1, 10, 30, tzinfo=UTC)
    assert rows["kg"].to_list() == [1.5, None, 3.0]
    assert rows["good"].to_list() == [True, False, None]
    whole = everything(found, of, until=datetime(2024, 4, 1))
    assert whole["order_id"].to_list() == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_loading_goes_on_from_a_moment_that_is_read_again(kind, tmp_path):
    after = datetime(2024, 2, 1, 10, 30, tzinfo=UTC)
    found, parse = kind(tmp_path)
    assert everything(found, table(parse=parse), after=after)["order_id"].to_list() == [2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_is_given_with_the_columns_that_it_has(kind, tmp_path):
    """What is done about them the line's policy says, when the rows come in."""
    wanted = {**COLUMNS, "kilos": "Float64"}
    del wanted["kg"]
    found, parse = kind(tmp_path)
    of = table(wanted, parse=parse)
    (rows,) = found.read(of, site="south", after=None, until=UNTIL)
    assert "kg" in rows.columns
    assert "kilos" not in rows.columns


def test_a_table_that_lost_the_column_of_its_sites_is_refused_with_the_name_it_may_have_now(tmp_path):
    FRAME.rename({"plant": "plants"}).write_parquet(tmp_path / "orders.parquet")
    with pytest.raises(SchemaMismatch, match=r"'plant', which names the site, is lost \(is it 'plants' now\?\)"):
        source(tmp_path, "orders.parquet").sites(table(), UNTIL)


def test_a_new_column_that_has_the_lines_name_of_another_is_refused(tmp_path):
    FRAME.with_columns(weight=pl.lit(1)).write_parquet(tmp_path / "orders.parquet")
    of = table({"weight": "Float64", **{name: kind for name, kind in COLUMNS.items() if name != "kg"}})
    with pytest.raises(SchemaMismatch, match="a new column 'weight', which is the line's name of 'kg'"):
        everything(source(tmp_path, "orders.parquet", names={"weight": "kg"}), of)


def test_a_table_without_sites_key_and_time_gets_the_first_two_and_is_given_whole(tmp_path):
    FRAME.select("kg").write_parquet(tmp_path / "orders.parquet")
    found = TableSource(
        {"orders": {"at": "orders.parquet", "only_site": "all", "row_number": "row"}}, root=str(tmp_path)
    )
    of = table({"kg": "Float64", "where": "String", "row": "Int64"}, cursor="", site="where", key=("row",))
    assert found.sites(of, UNTIL) == ["all"]
    (rows,) = found.read(of, site="all", after=None, until=UNTIL)
    assert rows.select("kg", "where", "row").to_dict(as_series=False) == {
        "kg": [1.5, None, 3.0, 4.0],
        "where": ["all"] * 4,
        "row": [1, 2, 3, 4],
    }
    assert list(found.read(of, site="elsewhere", after=None, until=UNTIL)) == []


def test_a_rows_number_is_the_same_whichever_site_is_read(tmp_path):
    FRAME.write_parquet(tmp_path / "orders.parquet")
    found = source(tmp_path, "orders.parquet", row_number="row")
    of = table({**COLUMNS, "row": "Int64"}, cursor="", key=("row",))
    rows = {
        site: pl.concat(found.read(of, site=site, after=None, until=UNTIL))["row"].to_list()
        for site in found.sites(of, UNTIL)
    }
    assert rows == {"north": [1, 3], "south": [2], "unknown": [4]}


def test_columns_left_out_are_never_read(tmp_path):
    FRAME.with_columns(name=pl.lit("Ada")).write_parquet(tmp_path / "orders.parquet")
    assert "name" not in everything(source(tmp_path, "orders.parquet", leave_out=["name"]), table()).columns
    (rows,) = source(tmp_path, "orders.parquet").read(table(), site="south", after=None, until=UNTIL)
    assert rows["name"].to_list() == ["Ada"]


def test_a_value_of_another_type_comes_as_it_is(tmp_path):
    (tmp_path / "orders.csv").write_text("kg\n1.5\nheavy\n")
    found = TableSource({"orders": {"at": "orders.csv"}}, root=str(tmp_path))
    of = table({"kg": "Float64"}, cursor="", site=None)
    batches = list(found.read(of, site=None, after=None, until=UNTIL))
    assert pl.concat(batches)["kg"].to_list() == ["1.5", "heavy"]
    assert typed(batches, of)["kg"].to_list() == [1.5, None]


def test_a_row_whose_cursor_cannot_be_read_comes_with_every_load(tmp_path):
    (tmp_path / "orders.csv").write_text("made_at,kg\n2024-01-01,1\n0000-00-00,2\n,3\n2024-01-02,4\n2024-04-01,5\n")
    found = TableSource({"orders": {"at": "orders.csv"}}, root=str(tmp_path))
    of = table({"made_at": "Date", "kg": "Float64"}, site=None)
    rows = pl.concat(found.read(of, site=None, after=date(2024, 1, 2), until=UNTIL))
    assert rows["kg"].to_list() == ["2", "3", "4"]


def test_what_is_said_beside_the_columns_now_is_refused_with_its_place(tmp_path):
    for key in ("formats", "missing", "decimal", "sites"):
        with pytest.raises(LineError, match=rf"orders.{key} is said beside the table's columns now: `tables: orders: "):
            TableSource({"orders": {"at": "orders.csv", key: {}}}, root=str(tmp_path))


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("%d.%m.%Y", "31.01.2024"),
        ("%m/%d/%Y", "01/31/2024"),
        ("%Y%m%d", "20240131"),
        ("%b %d %Y", "Jan 31 2024"),
        ("%d-%b-%y", "31-Jan-24"),
        ("%Y-%m-%dT%H:%M:%S%.f%z", "2024-01-31T02:00:00+02:00"),
        ("epoch_s", "1706659200"),
        ("epoch_ms", "1706659200000"),
    ],
)
def test_a_date_is_read_as_the_line_says_it_is_written(format_, text, tmp_path):
    (tmp_path / "orders.csv").write_text(f'made_at\n"{text}"\n')
    found = TableSource({"orders": {"at": "orders.csv"}}, root=str(tmp_path))
    of = table({"made_at": "Datetime[us, UTC]"}, cursor="", site=None, parse=Parse(formats={"made_at": format_}))
    rows = typed(found.read(of, site=None, after=None, until=UNTIL), of)
    assert rows["made_at"].to_list() == [datetime(2024, 1, 31, tzinfo=UTC)]


def test_values_that_are_one_site_are_read_with_it_and_others_are_named_apart(tmp_path):
    pl.DataFrame({"plant": ["a b", "a_b", "A_B"]}).write_parquet(tmp_path / "orders.parquet")
    found = TableSource({"orders": {"at": "orders.parquet"}}, root=str(tmp_path))
    of = table({"plant": "String"}, cursor="")
    assert found.sites(of, UNTIL) == ["A_B", "a_b"]
    assert pl.concat(found.read(of, site="a_b", after=None, until=UNTIL))["plant"].to_list() == ["a b", "a_b"]
    named = table({"plant": "String"}, cursor="", site_names=SiteNames(case="lower", mapping={"a b": "other"}))
    assert found.sites(named, datetime(2024, 3, 2)) == ["a_b", "other"]
    rows = pl.concat(found.read(named, site="a_b", after=None, until=datetime(2024, 3, 2)))
    assert rows["plant"].to_list() == ["a_b", "A_B"]


def test_a_password_is_refused_in_the_line_and_hidden_when_the_database_fails(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="must not be written into a line's file") as refused:
        source(tmp_path, "postgresql://me:s3cret@localhost/db::orders").sites(table(), UNTIL)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(SourceError, match="must not be written"):
        source(tmp_path, "mssql://localhost/db?PWD=s3cret::orders").sites(table(), UNTIL)
    monkeypatch.setenv("SHOP_URL", "postgresql://me:s3cret@127.0.0.1:1/db")
    with pytest.raises(
        SourceError, match=r"table orders: the database postgresql://\*\*\*@127\.0\.0\.1:1/db"
    ) as failed:
        source(tmp_path, "env:SHOP_URL::orders").sites(table(), UNTIL)
    assert "s3cret" not in "".join(traceback.format_exception(failed.value))
    monkeypatch.delenv("SHOP_URL")
    with pytest.raises(SourceError, match="environment variable SHOP_URL is not set"):
        source(tmp_path, "env:SHOP_URL::orders").sites(table(), UNTIL)


def test_a_database_named_by_the_environment_is_read(tmp_path, monkeypatch):
    as_sql(tmp_path)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path}/shop.db")
    assert len(everything(source(tmp_path, 'env:SHOP_URL::all "orders"'), table())) == 3


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("none.csv", "there is no file"),
        ("none", "does not exist"),
        ("notes.docx", "is not read: a table is a file of CSV, JSON, Excel"),
        ("broken.parquet", "cannot be read as parquet"),
        (
            "latin.csv",
            "line 2, cannot be read as csv: byte 0xf6 is no utf-8; say how it is written, such as `encoding: cp1252`",
        ),
        ("sqlite:///none.db::orders", "there is no database"),
        ("sqlite:///empty.db::orders", "has no table 'orders'"),
    ],
)
def test_what_cannot_be_read_is_said_and_what_to_do(at, said, tmp_path):
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "broken.parquet").write_text("x")
    (tmp_path / "latin.csv").write_bytes("kg\nGröße\n".encode("latin-1"))
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    found = TableSource({"orders": {"at": at}}, root=str(tmp_path))
    of = table({"kg": "String"}, cursor="", site=None)
    with pytest.raises(SourceError, match=said):
        list(found.read(of, site=None, after=None, until=UNTIL))
    if at != "latin.csv":
        assert found.lacking()


def test_a_mistake_in_the_arguments_is_named(tmp_path):
    with pytest.raises(LineError, match=r"orders.seperator: Unexpected keyword argument"):
        TableSource({"orders": {"at": "x.csv", "seperator": ";"}}, root=str(tmp_path))


@pytest.mark.parametrize("nameless", [[1, 2, 3, 4], ["a", "b", None, "2024-01-01"]])
def test_a_column_without_a_name_is_neither_the_cursor_nor_the_sites_of_a_table_that_has_none(nameless, tmp_path):
    FRAME.with_columns(pl.Series("", nameless)).write_parquet(tmp_path / "orders.parquet")
    found = source(tmp_path, "orders.parquet")
    of = table(cursor="")
    assert len(everything(found, of)) == 4
    (rows,) = found.read(table(cursor="", site=None), site=None, after=None, until=UNTIL)
    assert rows["column_6"].to_list() == nameless

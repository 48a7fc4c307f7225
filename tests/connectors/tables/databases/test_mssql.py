"""What is asked of Microsoft SQL Server, as it is written there; no server runs here."""

from datetime import datetime

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from factory.connectors.tables.databases.others import MssqlColumn
from factory.connectors.tables.databases.queries import conditions_of, newest_query, rows_query
from factory.connectors.tables.reader import Narrowing

TABLE = sa.table("orders", schema="dbo")


def written(query):
    compiled = query.compile(dialect=mssql.dialect(), compile_kwargs={"render_postcompile": True})
    return " ".join(str(compiled).split()), list(compiled.params.values())


@pytest.mark.parametrize(
    ("kind", "dtype", "selected"),
    [
        (mssql.BIGINT(), pl.Int64(), "[a b]"),
        (mssql.BIT(), pl.Boolean(), "[a b]"),
        (mssql.REAL(), pl.Float64(), "[a b]"),
        (mssql.DECIMAL(20, 4), pl.String(), "CAST([a b] AS NVARCHAR(max))"),
        (mssql.MONEY(), pl.String(), "convert(varchar(40), [a b], 2)"),
        (mssql.DATETIME(), pl.Datetime("us"), "[a b]"),
        (mssql.DATETIME2(3), pl.Datetime("us"), "[a b]"),
        (mssql.DATETIME2(7), pl.String(), "convert(varchar(40), [a b], 121)"),
        (mssql.DATETIME2(), pl.String(), "convert(varchar(40), [a b], 121)"),
        (mssql.DATETIMEOFFSET(7), pl.String(), "convert(varchar(40), [a b], 121)"),
        (mssql.DATE(), pl.Date(), "[a b]"),
        (mssql.TIME(7), pl.String(), "CAST([a b] AS NVARCHAR(max))"),
        (mssql.UNIQUEIDENTIFIER(), pl.String(), "CAST([a b] AS NVARCHAR(max))"),
        (mssql.NVARCHAR(20), pl.String(), "[a b]"),
        (mssql.XML(), pl.String(), "CAST([a b] AS NVARCHAR(max))"),
        (mssql.VARBINARY(8), pl.Binary(), "[a b]"),
        (mssql.TIMESTAMP(), pl.Binary(), "[a b]"),
        (mssql.SQL_VARIANT(), pl.String(), "CAST([a b] AS NVARCHAR(max))"),
    ],
)
def test_each_type_is_selected_so_that_no_digit_is_lost(kind, dtype, selected):
    column = MssqlColumn.of("a b", kind)
    assert column.dtype == dtype
    assert written(rows_query(TABLE, [column], []))[0] == f"SELECT {selected} AS c0 FROM dbo.orders"  # noqa: S608  compared, not run


def test_sites_and_moments_are_bound_and_no_row_without_a_moment_is_held_back():
    columns = {
        "plant": MssqlColumn.of("plant", mssql.NVARCHAR(20)),
        "made_at": MssqlColumn.of("made_at", mssql.DATETIME2(6)),
    }
    only = Narrowing(column="plant", values=["No'rth"], moment="made_at", after=datetime(2024, 1, 2))
    query = rows_query(TABLE, list(columns.values()), conditions_of(columns, only))
    text, values = written(query)
    assert text.endswith("WHERE (made_at >= :made_at_1 OR made_at IS NULL) AND plant IN (:plant_1_1)")
    assert values == [datetime(2024, 1, 1), "No'rth"]


def test_the_newest_of_each_site_is_grouped_by_the_bytes_of_its_name():
    site, cursor = MssqlColumn.of("plant", mssql.NVARCHAR(20)), MssqlColumn.of("made_at", mssql.DATETIME2(6))
    assert written(newest_query(TABLE, site, cursor, datetime(2024, 1, 1)))[0] == (
        "SELECT min(plant) AS c0, max(made_at) AS c1 FROM dbo.orders "
        "WHERE made_at < :made_at_1 OR made_at IS NULL GROUP BY CAST(plant AS VARBINARY(8000))"
    )

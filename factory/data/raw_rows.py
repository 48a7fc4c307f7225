"""The raw table as the lake has it: what is stored of a table, as it came or typed, and what of it stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from factory.data.comparison import COUNTED, KEY, with_key
from factory.data.contract.typing import ORDER, typed_column, typed_part, typed_rows
from factory.data.versions import (
    GONE,
    NEWEST,
    PLACE,
    WITHDRAWN,
    corrected_rows,
    flag_gone,
    flag_newest,
    flag_standing,
    gone_rows,
)
from factory.line.line import Table
from factory.line.parsing.moments import within
from factory.storage.columns import CURSOR, FILE, LINE, LOAD, MENDED, MENDS, ROW, SCHEMA, UNPARSED, type_named
from factory.storage.lake import SITE, Lake
from factory.storage.raw_values import TEXT


def stored_raw_rows(lake: Lake, table: Table, sites: Sequence[str] | None = None) -> pl.LazyFrame:
    """Return a table's raw rows, of some sites or of all, as they came.

    Columns that the line declares no more are left out; one that was declared since is not there in a lake that has no
    row with it. Raises TableMissing.
    """
    rows = lake.scan(f"raw/{table.name}", sites)
    there = rows.collect_schema()
    return rows.select(name for name in stored_columns(table) if name in there)


def stored_columns(table: Table) -> list[str]:
    """Return the columns of a raw table that something is made of: the declared ones, and the lake's own."""
    declared = [name for column in table.columns for name in (column, f"{column}{TEXT}")]
    return list(dict.fromkeys([*declared, SITE, LOAD, ROW, CURSOR, FILE, LINE, UNPARSED, SCHEMA, MENDS, MENDED]))


def standing_raw_rows(lake: Lake, table: Table, sites: Sequence[str] | None = None) -> pl.LazyFrame:
    """Return the raw rows that stand, neither superseded nor withdrawn, in the declared types; raises TableMissing.

    A value that does not fit is null. Beside the columns there are SITE, LOAD and ROW.
    """
    raw = stored_raw_rows(lake, table, sites)
    flagged = flag_standing(typed_rows(raw, table, ()), table, gone_rows(lake, table, sites), corrected_rows(raw))
    standing = flagged.filter(NEWEST).drop(NEWEST, WITHDRAWN)
    return standing.select(list(dict.fromkeys([*table.columns, SITE, LOAD, ROW])))


def delivered_raw_rows(lake: Lake, table: Table, sites: Sequence[str]) -> pl.LazyFrame:
    """Return the raw rows that came from the source, without those that a person corrected; raises TableMissing."""
    rows = stored_raw_rows(lake, table, sites)
    return rows.filter(pl.col(MENDS).is_null()) if MENDS in rows.collect_schema() else rows


def corrections_of(lake: Lake, table: Table, places: pl.DataFrame) -> pl.DataFrame:
    """Return the places of the corrections that persons made of some raw rows."""
    rows = stored_raw_rows(lake, table, places[SITE].unique().to_list())
    if MENDS not in rows.collect_schema():
        return places.clear()
    mended = places.lazy().select(SITE, ORDER.alias(MENDS))
    return rows.join(mended, on=[SITE, MENDS], how="semi").select(PLACE).collect()


def version_flags(lake: Lake, table: Table, sites: Sequence[str], until: datetime) -> pl.DataFrame:
    """Return the place of each raw row that came of some sites, its KEY, NEWEST, GONE, COUNTED; raises TableMissing."""
    names = dict.fromkeys([*PLACE, *table.key, *filter(None, [table.changes.column, table.cursor])])
    typed = typed_part(delivered_raw_rows(lake, table, sites), table, [name for name in names if name in table.columns])
    counted = pl.lit(True)
    if table.cursor:
        cursor = pl.col(table.cursor)
        counted = within(cursor, typed.schema[table.cursor], None, until) | cursor.is_null()
    typed = typed.with_columns(counted.alias(COUNTED))
    flagged = flag_gone(flag_newest(typed.lazy(), table), gone_rows(lake, table, sites)).collect()
    return with_key(flagged, table, flagged).select(*PLACE, *KEY, NEWEST, GONE, COUNTED)


def stored_cursor(schema: Mapping[str, pl.DataType], table: Table) -> pl.Expr:
    """Return the cursor of stored raw rows as it is declared now; of rows from before it was kept it is read anew."""
    typed = typed_column(schema, table.cursor, table)
    return pl.col(CURSOR) if schema.get(CURSOR) == type_named(table.columns[table.cursor]) else typed.alias(CURSOR)

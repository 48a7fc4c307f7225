"""Clean rows that happened and clean rows that are only announced in; the tables that features are built of out.

Both are one table there: the columns ANNOUNCED_AT and PENDING tell them apart, and of the decision table ASKED says for
which rows features are wanted. What a row that is only announced does not tell yet is null.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import polars as pl

from factory.errors import LineError
from factory.features.windows import ASKED, PENDING
from factory.line.announced import Announced, in_utc
from factory.line.line import Line, Table
from factory.storage.columns import SITE


def known_tables(
    line: Line, happened: Mapping[str, pl.LazyFrame], announced: Mapping[str, pl.LazyFrame]
) -> dict[str, pl.LazyFrame]:
    """Return every table by its name; both arguments hold clean rows by table, those of sites with SITE."""
    tables = dict(happened)
    for table in line.announced_tables:
        rows = with_announced(table, happened[table.name], announced.get(table.name))
        asked = [(~pl.col(PENDING)).alias(ASKED)] if table.name == line.decision_table else []
        tables[table.name] = rows.with_columns(asked)
    return tables


def with_announced(table: Table, happened: pl.LazyFrame, announced: pl.LazyFrame | None) -> pl.LazyFrame:
    """Return a table's rows that happened, and after them those that are announced and have not; the latter PENDING."""
    rows = dated(table, happened).with_columns(pl.lit(False).alias(PENDING))
    if announced is None:
        return rows
    key = key_of(table)
    coming = dated(table, announced).join(happened.select(key), on=key, how="anti", nulls_equal=True)
    columns = list(rows.collect_schema())
    return pl.concat([rows, coming.with_columns(pl.lit(True).alias(PENDING)).select(columns)])


def dated(table: Table, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return clean rows with ANNOUNCED_AT; raises LineError where the table's repair threw away what says it."""
    if table.announced is None:
        return rows
    needed, columns = {*key_of(table), table.announced.at or table.cursor, table.cursor}, rows.collect_schema()
    if missing := sorted(needed - set(columns)):
        raise LineError(
            f"clean rows of {table.name} have no {', '.join(missing)}, by which announced rows are told from "
            "others: keep key and cursor in the table's repair"
        )
    return rows.with_columns(table.announced.moment(table.cursor, columns))


class Dated(Protocol):
    """A table's declaration, as far as it says when rows happen and what is known of them before."""

    @property
    def columns(self) -> Mapping[str, str]: ...  # noqa: D102  as of Table
    @property
    def key(self) -> tuple[str, ...]: ...  # noqa: D102  as of Table
    @property
    def cursor(self) -> str: ...  # noqa: D102  as of Table
    @property
    def announced(self) -> Announced | None: ...  # noqa: D102  as of Table


def told_apart(table: Dated, clean: pl.LazyFrame, raw: pl.DataFrame, known_until: datetime | None) -> pl.LazyFrame:
    """Return clean rows with ANNOUNCED_AT and PENDING; as they are where the table has no announced rows.

    `raw` are the rows they were made of, both with SITE. A row is pending if it has announced columns alone and happens
    after `known_until`, the moment (with a zone) until which it is known what happened; None: nothing is known.
    """
    if (announced := table.announced) is None:
        return clean
    cursor = in_utc(pl.col(table.cursor))
    to_come = pl.lit(True) if known_until is None else (cursor > pl.lit(known_until)).fill_null(True)
    unknown = [pl.col(name).is_null() for name in table.columns if name not in announced.columns]
    key = list(dict.fromkeys([SITE, *table.key]))
    pending = raw.lazy().select(*key, pl.all_horizontal(to_come, *unknown).alias(PENDING))
    dated_rows = clean.with_columns(announced.moment(table.cursor, clean.collect_schema()))
    return dated_rows.join(pending, on=key, how="left", nulls_equal=True, maintain_order="left")


def key_of(table: Table) -> list[str]:
    """Return what identifies a clean row of a table."""
    return list(dict.fromkeys([*([SITE] if table.site_column else []), *table.key]))

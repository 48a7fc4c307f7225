"""Typing, the first part of the contract: raw rows in, each declared column in its declared type out.

A value that cannot be read as declared is null, and its column is among the row's misfits, which the contract turns
into rules that the row broke. The raw values stay as they are in the raw table.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import polars as pl

from factory.data.contract.misfits import CHANGED, RECORD, SPELLING, UNDATED, UNNAMED, bit_of, masks
from factory.line.line import Table
from factory.line.parsing import Parse, is_given, read, value_of
from factory.line.parsing.values import exactly
from factory.line.site_names import UNKNOWN
from factory.storage.columns import BOOKKEEPING, LOAD, ROW, SCHEMA, SITE, UNPARSED, type_named
from factory.storage.raw_values import TEXT

BATCH_ROWS = 250_000
Schema = Mapping[str, pl.DataType]
_ROWS_PER_LOAD = 1 << 40
"""One load brings fewer rows than this to a site, so load and row together order as one Int64."""
ORDER = pl.col(LOAD) * _ROWS_PER_LOAD + pl.col(ROW)
"""In which order raw rows of a site came."""


class Declared(Protocol):
    """A table's declaration, as far as its columns' types need it."""

    @property
    def columns(self) -> Mapping[str, str]: ...  # noqa: D102  as of Table
    @property
    def parse(self) -> Parse: ...  # noqa: D102  as of Table


def typed_column(schema: Schema, column: str, table: Declared) -> pl.Expr:
    """Return one declared column of raw rows of that schema in its declared type, null where it does not fit."""
    kind = table.columns[column]
    values = [value_of(exactly(name), schema[name], column, kind, table.parse) for name in _places(schema, column)]
    whole = pl.coalesce(*values) if len(values) > 1 else values[0] if values else pl.lit(None, type_named(kind))
    return whole.alias(column)


def typed_values(rows: pl.DataFrame, column: str, table: Declared) -> pl.Series:
    """Return one declared column of raw rows in its declared type, null where a value does not fit."""
    kind = table.columns[column]
    values = [read(rows[name], column, kind, table.parse) for name in _places(rows.schema, column)]
    if not values:
        return pl.Series(column, [None], type_named(kind)).new_from_index(0, len(rows))
    whole = values[0] if len(values) == 1 else values[0].zip_with(values[0].is_not_null(), values[1])
    return whole.alias(column)


def typed_rows(raw: pl.LazyFrame, table: Table, reasons: Collection[str]) -> pl.LazyFrame:
    """Return raw rows with the declared columns typed, the masks of their misfits, site, load and row.

    Misfits are looked for by these reasons, which a contract has rules about. The rows are read in batches, and what
    is returned is in memory.
    """
    return _with_spelling(_by_batches(raw, lambda batch: _typed(batch, table, reasons)), table, reasons).lazy()


def typed_part(raw: pl.LazyFrame, table: Table, columns: Iterable[str]) -> pl.DataFrame:
    """Return some declared columns of raw rows as `typed_rows` does, with site, load and row; no others are read."""
    wanted = list(dict.fromkeys(columns))
    schema = raw.collect_schema()
    beside = [name for name in (SITE, LOAD, ROW) if name in schema and name not in wanted]
    stored = dict.fromkeys([*(place for name in wanted for place in _places(schema, name)), *beside])

    def typed(batch: pl.DataFrame) -> pl.DataFrame:
        columns = [typed_values(batch, name, table) for name in wanted]
        return pl.DataFrame([*columns, *(batch[name] for name in beside)], height=len(batch))

    return _spelled(_by_batches(raw.select(*stored), typed), table)


def _by_batches(raw: pl.LazyFrame, typed: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Return raw rows typed, read in batches, so that the texts of one batch alone are in memory."""
    parts = [typed(batch) for batch in raw.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)]
    return pl.concat(parts) if parts else typed(raw.limit(0).collect())


def _spelled(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return typed rows with the site's column, where it is among them and holds texts, as `site_names` reads it."""
    column = table.site_column
    if column not in rows.columns or rows.schema[column] != pl.String:
        return rows
    return rows.with_columns(table.site_names.spelled(rows[column]))


def _typed(rows: pl.DataFrame, table: Table, reasons: Collection[str]) -> pl.DataFrame:
    """Return a batch's columns as `typed_rows` does, but for the spelling of sites."""
    columns = {name: typed_values(rows, name, table) for name in table.columns}
    misfits = {name: _misfits(rows, name, table, values) for name, values in columns.items() if name in reasons}
    if UNPARSED in rows.columns and RECORD in reasons:
        misfits[RECORD] = rows[UNPARSED].is_not_null()
    if SCHEMA in rows.columns and CHANGED in reasons:
        misfits[CHANGED] = rows[SCHEMA].is_not_null()
    if table.site_column and SITE in rows.columns and UNNAMED in reasons:
        misfits[UNNAMED] = rows[SITE] == UNKNOWN
    if table.cursor and UNDATED in reasons:
        misfits[UNDATED] = ~_given(rows, table.cursor, table)
    beside = [rows[name] for name in (SITE, LOAD, ROW) if name in rows.columns and name not in columns]
    marked = pl.DataFrame([series.alias(reason) for reason, series in misfits.items() if series is not None])
    names = list(table.columns)
    marks = masks(names, {reason: pl.col(reason) for reason in marked.columns})
    typed = pl.DataFrame([*columns.values(), *beside], height=len(rows))
    if not marked.columns:
        return typed.with_columns(marks)
    return typed.hstack(marked.select(marks))


def _misfits(rows: pl.DataFrame, column: str, table: Table, typed: pl.Series) -> pl.Series | None:
    """Return which rows have a value in a column that is not of its type; None where none can."""
    places = _places(rows.schema, column)
    if typed.null_count() == len(rows) - sum(len(rows) - rows[name].null_count() for name in places):
        return None
    return typed.is_null() & _given(rows, column, table)


def _given(rows: pl.DataFrame, column: str, table: Table) -> pl.Series:
    """Return whether each raw row has a value in a declared column."""
    kind, nulls, places = type_named(table.columns[column]), table.parse.nulls(column), _places(rows.schema, column)
    given = [is_given(exactly(name), rows.schema[name], kind, nulls) for name in places]
    return rows.select(pl.any_horizontal(pl.lit(False), *given).alias(column)).to_series()


def _with_spelling(rows: pl.DataFrame, table: Table, reasons: Collection[str]) -> pl.DataFrame:
    """Return typed rows with the site's column as `site_names` reads it; a second spelling of a site is a misfit."""
    column = table.site_column
    if column is None or table.site_through or table.columns.get(column) != "String":
        return rows
    rows = _spelled(rows, table)
    spellings = rows.select(SITE, column).unique().drop_nulls() if SPELLING in reasons else pl.DataFrame({SITE: []})
    if not spellings[SITE].is_duplicated().any():
        return rows
    mask, bit = bit_of(list(table.columns), SPELLING)
    marked = pl.when(_second_spelling(pl.col(column))).then(pl.lit(1 << bit, pl.Int64)).otherwise(pl.lit(0, pl.Int64))
    return rows.with_columns(pl.col(mask) + marked)


def declared_columns(names: Iterable[str], table: Table) -> list[str]:
    """Return which of a raw table's columns its source delivers today: no bookkeeping, none beside another."""
    return [name for name in table.columns if name in set(names) or f"{name}{TEXT}" in set(names)]


def _places(schema: Schema, column: str) -> list[str]:
    """Return where a raw table has a column's values: in itself, and as text in the one beside it."""
    return [name for name in (column, f"{column}{TEXT}") if name in schema and column not in BOOKKEEPING - {SITE}]


def _second_spelling(spelling: pl.Expr) -> pl.Expr:
    """Return whether a row spells its site otherwise than its other rows: as its name, or else as the first row did."""
    is_name = (spelling == pl.col(SITE)).fill_null(value=False)
    named = is_name.cast(pl.Int8).max().over(SITE) == 1
    first = spelling.sort_by(ORDER, nulls_last=True).first().over(SITE)
    return pl.when(named).then(~is_name).otherwise(spelling.ne_missing(first)) & spelling.is_not_null()

"""Typing, the first part of the contract: raw rows in, each declared column in its declared type out.

A value that cannot be read as declared is null, and its column is among the row's misfits, which the contract turns
into rules that the row broke. The raw values stay as they are in the raw table.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import polars as pl

from factory.data.contract.misfits import RECORD, SPELLING, UNDATED, masks
from factory.line.line import Table
from factory.line.parsing import Parse, is_given, value_of
from factory.line.parsing.values import exactly
from factory.storage.columns import BOOKKEEPING, LOAD, ROW, SITE, UNPARSED, type_named
from factory.storage.raw_values import TEXT

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


def typed_rows(raw: pl.LazyFrame, table: Table, reasons: Collection[str]) -> pl.LazyFrame:
    """Return raw rows with the declared columns typed, the masks of their misfits, site, load and row.

    Misfits are looked for by these reasons, which a contract has rules about.
    """
    schema = raw.collect_schema()
    typed = {name: typed_column(schema, name, table) for name in table.columns}
    misfits = {
        name: _misfit(schema, name, table, value) for name, value in typed.items() if not _fits(schema, name, table)
    }
    if UNPARSED in schema:
        misfits[RECORD] = exactly(UNPARSED).is_not_null()
    if table.cursor:
        unknown = pl.all_horizontal(
            [exactly(name).is_null() for name in _places(schema, table.cursor)] or [pl.lit(True)]
        )
        misfits[UNDATED] = unknown
    if table.site_column in typed:
        spelling = table.site_names.spelled(typed[table.site_column])
        typed[table.site_column] = spelling.alias(table.site_column)
        misfits[SPELLING] = _second_spelling(spelling)
    beside = [name for name in (SITE, LOAD, ROW) if name in schema and name not in typed]
    judged = {reason: misfit for reason, misfit in misfits.items() if reason in reasons}
    return raw.select(*typed.values(), *beside, *masks(list(table.columns), judged))


def declared_columns(names: Iterable[str], table: Table) -> list[str]:
    """Return which of a raw table's columns its source delivers today: no bookkeeping, none beside another."""
    return [name for name in table.columns if name in set(names) or f"{name}{TEXT}" in set(names)]


def _places(schema: Schema, column: str) -> list[str]:
    """Return where a raw table has a column's values: in itself, and as text in the one beside it."""
    return [name for name in (column, f"{column}{TEXT}") if name in schema and column not in BOOKKEEPING - {SITE}]


def _fits(schema: Schema, column: str, table: Table) -> bool:
    """Whether each value of a raw column is of its declared type already."""
    return all(schema[name] == type_named(table.columns[column]) for name in _places(schema, column))


def _misfit(schema: Schema, column: str, table: Table, typed: pl.Expr) -> pl.Expr:
    kind, nulls = type_named(table.columns[column]), table.parse.nulls(column)
    given = pl.any_horizontal([is_given(exactly(name), schema[name], kind, nulls) for name in _places(schema, column)])
    return typed.is_null() & given


def _second_spelling(spelling: pl.Expr) -> pl.Expr:
    """Return whether a row spells its site otherwise than its other rows: as its name, or else as the first row did."""
    is_name = (spelling == pl.col(SITE)).fill_null(value=False)
    named = is_name.cast(pl.Int8).max().over(SITE) == 1
    first = spelling.sort_by(ORDER, nulls_last=True).first().over(SITE)
    return pl.when(named).then(~is_name).otherwise(spelling.ne_missing(first)) & spelling.is_not_null()

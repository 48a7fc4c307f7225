"""Raw values in, values of a declared type out, or a SchemaMismatch with the first value that does not fit."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.moments import moment_of
from factory.errors import SchemaMismatch
from factory.storage.columns import type_named

TRUE, FALSE = "true", "false"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One column as the line wants it: its name in the table, its type, and how a date in it is written."""

    source_name: str
    kind: str
    format: str = ""


def typed(raw: pl.DataFrame, wanted: Mapping[str, Wanted], at: TableAt, table: str) -> pl.DataFrame:
    """Return the wanted columns under the line's names, in its types. Raises SchemaMismatch."""
    if at.missing:
        is_missing = cs.string().is_in(list(at.missing))
        raw = raw.with_columns(pl.when(is_missing).then(None).otherwise(cs.string()).name.keep())
    schema = raw.schema
    rows = raw.select(
        pl.lit(None, type_named(column.kind)).alias(name)
        if schema[column.source_name] == pl.Null
        else value_of(schema[column.source_name], column, at).alias(name)
        for name, column in wanted.items()
    )
    for name, column in wanted.items():
        _require_read(raw[column.source_name], rows[name], column, table)
    return rows


def value_of(dtype: pl.DataType, column: Wanted, at: TableAt) -> pl.Expr:
    """Return one raw column as its declared type, null where a value does not fit; raises SchemaMismatch."""
    try:
        kind = type_named(column.kind)
    except ValueError as error:
        raise SchemaMismatch(f"column {column.source_name!r}: {error}") from error
    raw = exactly(column.source_name)
    if kind.is_temporal() and (column.format or dtype.is_temporal()):
        moment = moment_of(raw, dtype, column.format)
        return moment if isinstance(kind, pl.Datetime) else moment.dt.date()
    if isinstance(dtype, pl.Duration) and kind.is_float():
        return raw.dt.total_microseconds() / 1_000_000
    if dtype == pl.String:
        return _of_text(raw, kind, at.decimal)
    if kind == pl.String and dtype.is_float():
        return _whole_numbers_plainly(raw)
    if kind.is_integer() and dtype.is_float():
        return pl.when(raw == raw.floor()).then(raw).cast(kind, strict=False)
    return raw.cast(kind, strict=False)


def exactly(name: str) -> pl.Expr:
    """Return the column with exactly this name; `pl.col` would take `^a.*$` and `*` for patterns."""
    return cs.by_name(name).as_expr()


def _of_text(raw: pl.Expr, kind: pl.DataType, decimal: str) -> pl.Expr:
    if kind == pl.String:
        return raw
    text = raw.str.strip_chars()
    if kind == pl.Boolean:
        lower = text.str.to_lowercase()
        return pl.when(lower.is_in([TRUE, FALSE])).then(lower == TRUE)
    if kind.is_float() and decimal != ".":
        text = text.str.replace_all(".", "", literal=True).str.replace(decimal, ".", literal=True)
    return text.cast(kind, strict=False)


def _whole_numbers_plainly(raw: pl.Expr) -> pl.Expr:
    """Return numbers as text, 3.0 as 3."""
    whole = raw.cast(pl.Int64, strict=False)
    return pl.when(raw == whole).then(whole.cast(pl.String)).otherwise(raw.cast(pl.String))


def _require_read(raw: pl.Series, values: pl.Series, column: Wanted, table: str) -> None:
    wrong = values.is_null() & raw.is_not_null()
    if raw.dtype.is_float() and not values.dtype.is_float():
        wrong = wrong & raw.is_not_nan()
    if wrong.any():
        place = wrong.arg_max() or 0
        how = f" written as {column.format}" if column.format else ""
        raise SchemaMismatch(
            f"table {table}, column {column.source_name!r}: {str(raw[place])[:80]!r} is not {column.kind}{how}; "
            "is it another table under the same name? Mend the table, or the column's type in the line's file"
        )

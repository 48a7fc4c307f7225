"""Raw values as the lake keeps them: of few types, each value as it came.

Delta has fewer types than sources do. Whole numbers become Int64 and fractions Float64, moments microseconds in UTC;
what none of the lake's types holds exactly becomes text from which it can be read back. A column of the lake keeps the
type it was made with: a value that comes in another type later is kept as text in `<column>__text` beside it.
"""

from collections.abc import Mapping, Sequence

import polars as pl

TEXT = "__text"
"""What is added to a column's name for the one beside it that has values of another type, as text."""
MOMENT, ZONED = pl.Datetime("us"), pl.Datetime("us", "UTC")
_KEPT = (pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Date, pl.Binary, MOMENT, ZONED)


def as_raw(values: pl.Series) -> pl.Series:
    """Return a source's column in one of the lake's types, each value as it was."""
    dtype = values.dtype
    if dtype in _KEPT:
        return values
    if dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128):
        return values.cast(pl.Int64)
    if dtype.is_float():
        return values.cast(pl.Float64)
    if isinstance(dtype, pl.Datetime) and not _is_finer(values):
        in_utc = values.dt.convert_time_zone("UTC") if dtype.time_zone else values
        return in_utc.dt.cast_time_unit("us")
    return text_of(values)


def text_of(values: pl.Series) -> pl.Series:
    """Return a column as text from which each value can be read back."""
    dtype = values.dtype
    if dtype == pl.Object:
        return pl.Series(values.name, [None if value is None else str(value) for value in values], pl.String)
    return values.to_frame().select(as_text(pl.all(), dtype).alias(values.name)).to_series()


def as_text(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a column of a type as text: moments and dates as ISO 8601, bytes as hexadecimal, nested values as JSON."""
    if dtype.is_nested():
        return pl.when(values.is_not_null()).then(
            pl.struct(values.alias("value")).struct.json_encode().str.slice(len('{"value":')).str.head(-1)
        )
    if dtype == pl.Binary:
        return values.bin.encode("hex")
    if isinstance(dtype, pl.Datetime | pl.Date | pl.Time | pl.Duration):
        return values.dt.to_string("iso:strict" if isinstance(dtype, pl.Datetime) else "iso")
    return values.cast(pl.String)


def together(frames: Sequence[pl.DataFrame], kept: Mapping[str, pl.DataType] | None = None) -> pl.DataFrame:
    """Return raw rows as one table in which a column has one type: that of `kept`, or else the first that has values.

    Values of another type are text: in the column itself where that is text, and else in the one beside it. A column
    that a frame lacks is null there.
    """
    types = {**_first_types(frames), **(kept or {})}
    fitted = [_fitted(rows, types) for rows in frames]
    return pl.concat(fitted, how="diagonal") if fitted else pl.DataFrame(schema=types)


def _first_types(frames: Sequence[pl.DataFrame]) -> dict[str, pl.DataType]:
    types: dict[str, pl.DataType] = {}
    for with_values in (True, False):
        for rows in frames:
            for values in rows.iter_columns():
                if not with_values or values.null_count() < len(values):
                    types.setdefault(values.name, values.dtype)
    return types


def _fitted(rows: pl.DataFrame, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}

    def add(values: pl.Series) -> None:
        """Add a column; a row has its text beside it once, whether an earlier fitting put it there or this one."""
        beside = columns.get(values.name)
        columns[values.name] = values if beside is None else beside.zip_with(beside.is_not_null(), values)

    for column in rows.iter_columns():
        wanted, whole = types[column.name], column.name.removesuffix(TEXT)
        values = column.alias(whole) if types.get(whole) == pl.String else column
        if values.dtype == wanted:
            add(values)
        elif values.null_count() == len(values):
            add(pl.Series(values.name, [None], wanted).new_from_index(0, len(values)))
        elif wanted == pl.String:
            add(text_of(values))
        else:
            add(pl.Series(values.name, [None], wanted).new_from_index(0, len(values)))
            add(text_of(values).alias(f"{values.name}{TEXT}"))
    return pl.DataFrame(list(columns.values()), height=len(rows)) if columns else rows


def _is_finer(values: pl.Series) -> bool:
    """Whether a column has moments between two microseconds."""
    return bool((values.dt.epoch("ns") % 1000 != 0).any())

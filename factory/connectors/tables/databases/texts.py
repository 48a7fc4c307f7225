"""Values as Python's drivers give them, in columns of Polars: exactly, and as text where a type would not hold one.

Texts are the shortest that read back to the same value: `12.7` for the double 12.7, digits for whole numbers, hex for
bytes. A driver's values are looked at column by column, never row by row.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl

from factory.connectors.tables.reader import BATCH_ROWS
from factory.errors import SourceError

_PLAIN: dict[pl.DataType, tuple[type, ...]] = {
    pl.Int64(): (int,),
    pl.UInt64(): (int,),
    pl.Float64(): (float,),
    pl.Boolean(): (bool,),
    pl.Date(): (date,),
    pl.Binary(): (bytes,),
}
"""Types that hold every value of these Python types, but for whole numbers that are too large."""
_FETCHED = 500
"""Rows that are fetched at once."""
_MOMENT = "%Y-%m-%d %H:%M:%S%.f"


def frames_of(
    fetch: Callable[[int], Sequence[Sequence[Any]]], schema: Mapping[str, pl.DataType]
) -> Iterator[pl.DataFrame]:
    """Yield fetched rows as frames: each column in its type, or as text where one of its values does not fit.

    Few rows are turned into columns at a time, while a processor's cache holds them: that takes half as long.
    """
    columns: list[list[Any]] = [[] for _ in schema]
    while rows := fetch(_FETCHED):
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
        if len(columns[0]) >= BATCH_ROWS:
            yield _frame_of(columns, schema)
            columns = [[] for _ in schema]
    if columns[0]:
        yield _frame_of(columns, schema)


def _frame_of(columns: Sequence[Sequence[Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    named = zip(schema.items(), columns, strict=True)
    return pl.DataFrame([column_of(name, values, dtype) for (name, dtype), values in named])


def decoded(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return a frame whose texts came as bytes; raises SourceError naming the first row whose text is no UTF-8."""
    for name, dtype in schema.items():
        if dtype == pl.String and frame.schema[name] == pl.Binary:
            try:
                frame = frame.with_columns(frame[name].cast(pl.String))
            except pl.exceptions.ComputeError:
                wrong = next(place for place, text in enumerate(frame[name]) if not is_utf_8(text))
                raise undecodable(name, frame.row(wrong, named=True)) from None
    return frame


def is_utf_8(text: bytes | None) -> bool:
    """Whether bytes are a text in UTF-8, or there are none."""
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def undecodable(column: str, row: Mapping[str, Any]) -> SourceError:
    """Return the refusal of a text that is no UTF-8, with the row's first values, of which one should be its key."""
    others = [(name, value) for name, value in row.items() if name != column and value is not None]
    key = ", ".join(f"{name} = {_shown(value)}" for name, value in others[:3])
    where = f" in the row with {key}" if key else ""
    return SourceError(
        f"column {column!r}: the text {row[column][:40]!r}{where} is no UTF-8; "
        "mend it in the database, or leave the column out"
    )


def _shown(value: Any) -> str:
    return repr(value.decode(errors="replace") if isinstance(value, bytes) else value)[:40]


def column_of(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Return values as a column of a type, or as text where one of them does not fit."""
    if dtype == pl.String:
        return text_of(name, values)
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= set(_PLAIN.get(dtype, ())):
        try:
            return pl.Series(name, values, dtype=dtype)
        except (OverflowError, TypeError):  # a whole number of more than 64 bits
            return text_of(name, values)
    if isinstance(dtype, pl.Datetime) and kinds == {datetime}:
        return _moments(name, values, dtype)
    if dtype.is_temporal() and kinds == {str}:
        return _moments_of_text(pl.Series(name, values, dtype=pl.String), dtype)
    return pl.Series(name, values, dtype=dtype) if not kinds else text_of(name, values)


def text_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Return the exact text of each value, null for null."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return pl.Series(name, values, dtype=pl.String)
    if len(kinds) == 1:
        return _texts(name, values, kinds.pop())
    of_kinds = [_texts(name, [value if type(value) is kind else None for value in values], kind) for kind in kinds]
    return pl.select(pl.coalesce(of_kinds)).to_series().alias(name)


def _texts(name: str, values: Sequence[Any], kind: type) -> pl.Series:
    """Return the texts of values of one Python type and nulls."""
    vectorised = {int: pl.Int64(), float: pl.Float64(), bool: pl.Boolean()}
    if kind in vectorised:
        try:
            return pl.Series(name, values, dtype=vectorised[kind]).cast(pl.String)
        except (OverflowError, TypeError):  # a whole number of more than 64 bits
            return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
    written = _WRITTEN.get(kind, str)
    return pl.Series(name, [None if value is None else written(value) for value in values], dtype=pl.String)


def _moment_text(value: datetime) -> str:
    return value.isoformat(sep=" ")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_WRITTEN: dict[type, Callable[[Any], str]] = {
    str: str,
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    memoryview: memoryview.hex,
    Decimal: lambda value: format(value, "f") if value.is_finite() else str(value),
    datetime: _moment_text,
    date: date.isoformat,
    time: time.isoformat,
    dict: _json,
    list: _json,
}
"""How values of a type are written; the others as Python does."""


def _moments(name: str, values: Sequence[datetime | None], dtype: pl.Datetime) -> pl.Series:
    """Return moments that all have a zone, or all have none, as the column does; as text where they differ."""
    if any(value is not None and (value.utcoffset() is None) == bool(dtype.time_zone) for value in values):
        return text_of(name, values)
    if dtype.time_zone:
        values = [None if value is None else value.astimezone(UTC) for value in values]
    return pl.Series(name, values, dtype=dtype)


def _moments_of_text(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return moments that a database wrote as `2024-01-31 12:00:00.5`; the texts where one of them is none."""
    if dtype == pl.Date:
        read = texts.str.to_date("%Y-%m-%d", strict=False)
    else:
        read = texts.str.to_datetime(_MOMENT, time_unit="us", strict=False)
        read = read.dt.replace_time_zone("UTC") if isinstance(dtype, pl.Datetime) and dtype.time_zone else read
    return texts if read.null_count() > texts.null_count() else read

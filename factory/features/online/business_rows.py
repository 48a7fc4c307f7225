"""Business rows as JSON has them, turned into the raw table's own columns and types; nothing is guessed.

Moments are ISO text, with an offset where the column has a zone and without one where it has none.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any

import polars as pl

from factory.errors import RecordRefused
from factory.storage.columns import type_named

Field = str | int | float | bool | None


def typed(records: Sequence[Mapping[str, Field]], columns: Mapping[str, str]) -> pl.DataFrame:
    """Return one row a record with every declared column, null where the record has none.

    Raises RecordRefused on a column nobody declared and on a value that is not of its column's type.
    """
    for number, record in enumerate(records):
        if unknown := [name for name in record if name not in columns]:
            raise RecordRefused(f"row {number} has {_shown(unknown[0])}, no column of this table: {', '.join(columns)}")
    return pl.DataFrame([_series(name, type_named(kind), records) for name, kind in columns.items()])


def _series(name: str, dtype: pl.DataType, records: Sequence[Mapping[str, Field]]) -> pl.Series:
    read = _reader(dtype)
    values = []
    for number, record in enumerate(records):
        value = record.get(name)
        try:
            values.append(None if value is None else read(value))
        except (TypeError, ValueError, OverflowError) as error:
            raise RecordRefused(f"row {number}: {name} is {_shown(value)}; it must be {_wanted(dtype)}") from error
    try:
        return pl.Series(name, values, dtype=dtype)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise RecordRefused(f"{name} has a value beyond the range of {dtype}") from error


def _reader(dtype: pl.DataType) -> Callable[[Any], Any]:
    """Return the function that reads one value of a column; it raises ValueError on another kind of value."""
    if isinstance(dtype, pl.Datetime):
        return partial(_moment, zoned=dtype.time_zone is not None)
    if dtype.is_integer():
        return _whole
    if dtype.is_float():
        return lambda value: float(_of((int, float), value))
    return _READERS.get(type(dtype), _impossible)


def _of(kind: type | tuple[type, ...], value: Any) -> Any:
    """Return a value of this kind; a Boolean is not a number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError("another kind")
    return value


def _whole(value: Any) -> int:
    number = _of((int, float), value)
    if int(number) != number:
        raise ValueError("not whole")
    return int(number)


def _moment(value: Any, *, zoned: bool) -> datetime:
    moment = datetime.fromisoformat(_of(str, value))
    if zoned != (moment.tzinfo is not None):
        raise ValueError("offset")
    return moment.astimezone(UTC) if zoned else moment


def _impossible(value: Any) -> Any:
    raise ValueError(value)


_READERS: Mapping[type[pl.DataType], Callable[[Any], Any]] = {
    pl.Boolean: partial(_of, bool),
    pl.String: partial(_of, str),
    pl.Date: lambda value: date.fromisoformat(_of(str, value)),
    pl.Time: lambda value: time.fromisoformat(_of(str, value)),
}


def _wanted(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        offset = "with an offset, such as 2013-05-01T10:00:00+00:00" if dtype.time_zone else "without an offset"
        return f"a moment as ISO text {offset}"
    if dtype.is_temporal():
        return f"ISO text of type {dtype}"
    return f"of type {dtype}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"

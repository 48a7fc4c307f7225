"""A table's declared columns and their Polars types, and where a frame differs from them."""

import re
from collections.abc import Mapping

import polars as pl

SITE, LOAD, ROW, CURSOR = "site", "_load", "_row", "_cursor"
"""What the lake adds to a raw row: its site, the load that brought it, its place there, and its cursor as declared."""
FILE, LINE, UNPARSED = "_file", "_line", "_unparsed"
"""What a source may tell of a row: its file, the line there, the text of a record that does not fit the columns."""
MENDS, MENDED = "_mends", "_mended"
"""Of a row that a person corrected: load and row of the one it replaces, as one number, and what was done by whom."""
SCHEMA = "_schema"
"""What the lake adds to a raw row that came with other columns than are declared, where that sends it to quarantine."""
BOOKKEEPING = frozenset({SITE, LOAD, ROW, CURSOR, FILE, LINE, UNPARSED, SCHEMA, MENDS, MENDED})
"""The columns that are not of the source's table."""

_DATETIME = re.compile(r"Datetime[\[(](?:time_unit=)?'?(ms|us|ns)'?(?:, ?(?:time_zone=)?'?([\w/+-]+)'?)?[\])]")

_NO_RAW_TYPES = (pl.DataType, pl.Categorical, pl.Enum, pl.Object, pl.Unknown)


def type_named(name: str) -> pl.DataType:
    """Return the Polars type of a name such as `Int64`, `String` or `Datetime[us, UTC]`.

    Plain `Datetime` has microseconds and no zone. Raises ValueError for anything else; nested types and categories are
    not raw types of this factory.
    """
    if zoned := _DATETIME.fullmatch(name):
        unit, zone = zoned.groups()
        return pl.Datetime(unit, None if zone in (None, "None") else zone)  # type: ignore[arg-type]  # the regex checked it
    dtype = getattr(pl, name, None)
    simple = isinstance(dtype, type) and issubclass(dtype, pl.DataType) and not dtype.is_nested()
    if not simple or dtype in _NO_RAW_TYPES:
        raise ValueError(
            f"{name!r} is not a Polars type of a raw column; use Int64, Float64, String, Boolean, Datetime, …"
        )
    return dtype()  # type: ignore[misc,no-any-return]  # mypy cannot narrow by the variable `simple`


def is_type(dtype: pl.DataType, name: str) -> bool:
    """Whether a column's type is exactly the named one."""
    return dtype == type_named(name)


def type_name(dtype: pl.DataType) -> str:
    """Return the name that `type_named` reads."""
    if isinstance(dtype, pl.Datetime):
        return f"Datetime[{dtype.time_unit}, {dtype.time_zone}]" if dtype.time_zone else f"Datetime[{dtype.time_unit}]"
    return str(dtype)


def schema_mismatches(frame_schema: Mapping[str, pl.DataType], columns: Mapping[str, str]) -> list[str]:
    """Return a sentence for each column that is unknown, missing or of another type; empty when all is well.

    The lake's own columns (`site`, `_load`, `_row`) are not looked at unless they are declared.
    """
    unknown = [f"unknown column {name!r}" for name in frame_schema if name not in columns and name not in BOOKKEEPING]
    missing = [f"column {name!r} is missing" for name in columns if name not in frame_schema]
    other = [
        f"column {name!r} is {type_name(frame_schema[name])}, the contract says {wanted}"
        for name, wanted in columns.items()
        if name in frame_schema and not is_type(frame_schema[name], wanted)
    ]
    return [*unknown, *missing, *other]

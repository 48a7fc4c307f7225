"""Type names as suites have them, of pandas, Spark, SQL or Polars, in; whether a declared column is of that type out.

A name of Polars, as the line's file has it, means just that type. Any other means a family: whole numbers of all widths
are `int64`, `IntegerType` and `BIGINT` alike, for a width says how a database stores a column and not what is in it.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import polars as pl

from factory.storage.columns import is_type, type_named

Family = Callable[[pl.DataType], bool]


def _is(*kinds: type[pl.DataType]) -> Family:
    return lambda dtype: isinstance(dtype, kinds)


_FAMILIES: Mapping[str, tuple[Family, str]] = {
    "whole numbers": (
        lambda dtype: dtype.is_integer(),
        "int int8 int16 int32 int64 uint8 uint16 uint32 uint64 int_ integer bigint smallint tinyint mediumint serial "
        "bigserial int2 int4 int8 long short byte number_integer integertype longtype shorttype bytetype",
    ),
    "numbers": (
        lambda dtype: dtype.is_float(),
        "float float16 float32 float64 float_ float4 float8 double double_precision real floattype doubletype",
    ),
    "decimals": (
        lambda dtype: dtype.is_float() or dtype.is_decimal(),
        "decimal numeric number money bignumeric decimaltype",
    ),
    "texts": (
        _is(pl.String),
        "str string object object_ text char varchar nchar nvarchar ntext character character_varying bpchar clob "
        "longtext mediumtext tinytext uuid uniqueidentifier enum stringtype varchartype chartype",
    ),
    "truth values": (_is(pl.Boolean), "bool boolean bool_ bit booleantype"),
    "dates": (_is(pl.Date), "date datetype"),
    "moments": (
        _is(pl.Datetime),
        "datetime datetime64 timestamp timestamptz timestamp_ntz timestamp_ltz timestamp_tz datetime2 smalldatetime "
        "datetimeoffset timestamptype timestampntztype datetimetzdtype",
    ),
    "times of day": (_is(pl.Time), "time timetype"),
    "durations": (_is(pl.Duration), "timedelta timedelta64 interval daytimeintervaltype"),
    "bytes": (_is(pl.Binary), "bytes binary varbinary bytea blob image binarytype"),
}
FAMILY_OF: Mapping[str, Family] = {name: family for family, names in _FAMILIES.values() for name in names.split()}
_DETAILS = re.compile(r"\s*[(\[].*[)\]]|\s+with(out)?\s+time\s+zone|\s+unsigned", re.IGNORECASE | re.DOTALL)
"""Length, precision, unit or zone, which do not decide the family."""


def is_named(dtype: pl.DataType, name: str) -> bool:
    """Whether a column is of the named type, or of the family that it names."""
    family = FAMILY_OF.get(_plain(name))
    return is_type(dtype, name) if _is_of_polars(name) or family is None else family(dtype)


def require_type_name(name: object) -> None:
    """Raise ValueError for a name that means no type, TypeError for what is no name."""
    if not isinstance(name, str):
        raise TypeError(f"a type's name must be text, not {name!r}")
    if _is_of_polars(name) or _plain(name) in FAMILY_OF:
        return
    near = get_close_matches(_plain(name), FAMILY_OF, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "; use Int64, Float64, String, Boolean, Date, Datetime"
    raise ValueError(f"{name!r} is no type's name of Polars, pandas, Spark or SQL{hint}")


def _plain(name: str) -> str:
    return re.sub(r"\s+", "_", _DETAILS.sub("", name).rpartition(".")[2].strip().lower())


def _is_of_polars(name: str) -> bool:
    try:
        type_named(name)
    except ValueError:
        return False
    return True

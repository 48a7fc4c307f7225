"""Values of Salesforce in columns of Polars: a value is the same whether JSON or CSV brought it.

A number with a fraction is its digits, without a point or zeros that say nothing; a value that its field's type does
not hold stays the text it came as, with all of its column.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from factory.connectors.salesforce.objects import Field

_MOMENT = "%Y-%m-%dT%H:%M:%S%.f%z"


def frame_of_records(records: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> pl.DataFrame:
    """Return records of JSON, whose numbers are ints and Decimals, as a frame of some fields."""
    return pl.DataFrame([_column([_text(one.get(field.name)) for one in records], field) for field in fields])


def frame_of_texts(texts: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """Return the texts of a CSV, null where there was none, as a frame of some fields."""
    return pl.DataFrame([_column(texts[field.name], field) for field in fields])


def value_of(value: Any, field: Field) -> pl.Series:
    """Return one value of JSON as a column of its own."""
    return _column([_text(value)], field)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _column(values: Sequence[str | None] | pl.Series, field: Field) -> pl.Series:
    texts = pl.Series(field.name, values, dtype=pl.String)
    if field.is_number:
        return _plain_numbers(texts)
    match field.kind:
        case "boolean":
            read = texts.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        case "int":
            read = texts.str.replace(r"\.0+\z", "").cast(pl.Int64, strict=False)
        case "datetime":
            read = texts.str.replace(r"Z\z", "+0000").str.to_datetime(_MOMENT, time_unit="us", strict=False)
        case "date":
            read = texts.str.to_date("%Y-%m-%d", strict=False)
        case _:
            return texts
    return texts if read.null_count() > texts.null_count() else read


def _plain_numbers(texts: pl.Series) -> pl.Series:
    """Return numbers without an exponent, or zeros at the end of a fraction: 1.50 is 1.5, and 1.0E7 is 10000000."""
    powers = texts.str.contains("[eE]").fill_null(value=False).arg_true()
    if len(powers):
        texts = texts.scatter(powers, [_digits(texts[place]) for place in powers])
    return texts.str.replace(r"(\.\d*?)0+\z", "$1").str.strip_suffix(".")


def _digits(text: str) -> str:
    try:
        return format(Decimal(text), "f")
    except ArithmeticError:
        return text

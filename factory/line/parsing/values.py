"""One raw column in, the same column as its declared type out: each value exactly, or null where it does not fit.

A raw value that is given (`is_given`) and has no typed value is a misfit: its row goes to quarantine. Nothing is
guessed:

- a number's text may have blanks around it, and 80.0 is the whole number 80; 12.7 is none, and neither is 007, a name;
- a whole number that a Float64 cannot hold exactly is a misfit, a fraction is read as the nearest Float64;
- a number too great for its type is a misfit, and so is one whose signs for decimals and thousands are not as declared;
- NaN in a raw column of floats means that no value is given, where the declared type has no NaN;
- a moment is read to the microsecond; finer digits stay in the raw table;
- text stays as it is; another value becomes text as `as_text` of factory/storage/raw_values.py writes it.
"""

import polars as pl
import polars.selectors as cs

from factory.errors import SchemaMismatch
from factory.line.parsing.moments import moment_of
from factory.line.parsing.parse import Parse
from factory.storage.columns import type_named
from factory.storage.raw_values import as_text

_ISO_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_EXACT = 1 << 53
"""Beyond this a Float64 skips whole numbers."""
_LEADING_ZERO = r"^[+-]?0[0-9]"
_WHOLE_WITH_POINT, _POWER = r"^([+-]?\d+)\.0*$", r"^[+-]?\d{1,7}(\.\d{1,8})?[eE]\+?\d{1,2}$"
"""A whole number as 80.0, and as 8e1 with no more digits than a Float64 holds."""


def exactly(name: str) -> pl.Expr:
    """Return the column with exactly this name; `pl.col` would take `^a.*$` and `*` for patterns."""
    return cs.by_name(name).as_expr()


def read(values: pl.Series, column: str, kind: str, parse: Parse) -> pl.Series:
    """Return a raw column as values of the declared `kind`, as `value_of` does, and quickly where texts are plain.

    Most texts are written plainly, and one cast reads them; only where it does not are they looked at more closely.
    """
    if values.dtype != pl.String or parse.number:
        return _closely(values, column, kind, parse)
    plain = _plainly(values, _type(column, kind), parse.formats.get(column, ""), parse.time_zone)
    if plain is None:
        return _closely(values, column, kind, parse)
    unsure = plain.is_null() & values.is_not_null()
    if plain.dtype.is_float():
        unsure |= ~(plain.abs() < _EXACT).fill_null(value=True)
    if plain.dtype.is_numeric():
        unsure |= _lead_with_zero(values)
    if not unsure.any():
        return plain.alias(values.name)
    places = unsure.arg_true()
    return plain.scatter(places, _closely(values.gather(places), column, kind, parse)).alias(values.name)


def _lead_with_zero(texts: pl.Series) -> pl.Series:
    """Return which texts begin with a sign or none and a 0 that another digit follows, by their order among texts."""
    leads = texts.is_between(pl.lit("00"), pl.lit("0:"), closed="left")  # `:` is the sign after 9
    if (texts < "0").any():  # as one with a sign is
        for sign in "+-":
            leads |= texts.is_between(pl.lit(f"{sign}00"), pl.lit(f"{sign}0:"), closed="left")
    return leads.fill_null(value=False)


def _closely(values: pl.Series, column: str, kind: str, parse: Parse) -> pl.Series:
    value = value_of(pl.col(values.name), values.dtype, column, kind, parse)
    return values.to_frame().with_columns(value.alias(values.name)).to_series()


def _plainly(texts: pl.Series, kind: pl.DataType, format_: str, time_zone: str) -> pl.Series | None:
    """Return texts by one cast, null where that cannot read one; None where there is no such cast for the type."""
    if kind.is_numeric():
        return texts.cast(kind, strict=False)
    if (
        isinstance(kind, pl.Datetime)
        and kind.time_zone == time_zone == "UTC"
        and (format_ or _ISO_MOMENT) == _ISO_MOMENT
    ):
        plain = texts.str.to_datetime(_ISO_MOMENT, time_unit="us", strict=False, cache=False)  # moments rarely repeat
        return plain.dt.replace_time_zone("UTC").dt.cast_time_unit(kind.time_unit)
    return None


def is_given(raw: pl.Expr, dtype: pl.DataType, kind: pl.DataType, nulls: list[str]) -> pl.Expr:
    """Return whether a raw column has a value, which texts in `nulls` are not."""
    given = raw.is_not_null()
    if dtype == pl.String and nulls:
        return given & ~raw.is_in(nulls)
    return given & raw.is_not_nan() if dtype.is_float() and not kind.is_float() else given


def value_of(raw: pl.Expr, dtype: pl.DataType, column: str, kind: str, parse: Parse) -> pl.Expr:
    """Return a raw column of a type as values of the declared `kind`, null where it has none or one that does not fit.

    `column` is its name, by which `parse` has its format and the texts that stand for a missing value. Raises
    SchemaMismatch where there is no such kind.
    """
    wanted = _type(column, kind)
    format_, nulls = parse.formats.get(column, ""), parse.nulls(column)
    if dtype == pl.String and nulls:
        raw = pl.when(~raw.is_in(nulls)).then(raw)
    if wanted.is_temporal() and (dtype == pl.String or dtype.is_temporal() or format_):
        moment = moment_of(raw, dtype, format_, parse.time_zone)
        if not isinstance(wanted, pl.Datetime):
            return moment.dt.date() if wanted == pl.Date else raw.cast(wanted, strict=False)
        local = moment.dt.convert_time_zone(wanted.time_zone) if wanted.time_zone else moment.dt.replace_time_zone(None)
        return local.dt.cast_time_unit(wanted.time_unit)
    if dtype == wanted:
        return raw
    return _of_text(raw, wanted, parse) if dtype == pl.String else _of_number(raw, dtype, wanted, parse)


def _type(column: str, kind: str) -> pl.DataType:
    try:
        return type_named(kind)
    except ValueError as error:
        raise SchemaMismatch(f"column {column!r}: {error}") from error


def _of_text(raw: pl.Expr, kind: pl.DataType, parse: Parse) -> pl.Expr:
    text = raw.str.strip_chars()
    if kind == pl.Boolean:
        lower = text.str.to_lowercase()
        true, false = ([word.lower() for word in words] for words in (parse.true_values, parse.false_values))
        return pl.when(lower.is_in(true)).then(pl.lit(True)).when(lower.is_in(false)).then(pl.lit(False))
    if not kind.is_numeric():
        return raw.cast(kind, strict=False)
    if parse.number:
        plain = text.str.replace_all(parse.thousands, "", literal=True) if parse.thousands else text
        plain = plain.str.replace(parse.decimal, ".", literal=True) if parse.decimal != "." else plain
        text = pl.when(text.str.contains(parse.number)).then(plain)
    text = pl.when(~text.str.contains(_LEADING_ZERO)).then(text)
    number = text.cast(pl.Float64, strict=False)
    if kind.is_integer():
        pointed = text.str.extract(_WHOLE_WITH_POINT).cast(kind, strict=False)
        powered = pl.when(text.str.contains(_POWER) & (number == number.floor()) & (number.abs() < _EXACT)).then(number)
        return pl.coalesce(text.cast(kind, strict=False), pointed, powered.cast(kind, strict=False))
    great = number.abs() >= _EXACT
    whole = text.cast(pl.Int64, strict=False)
    other = whole.is_null() | (whole != number.cast(pl.Int64, strict=False))
    skipped = great & text.str.contains(r"^[+-]?\d+$") & other
    overflowed = number.is_infinite() & text.str.contains(r"\d")
    return pl.when(~(skipped | overflowed)).then(number).cast(kind)


def _of_number(raw: pl.Expr, dtype: pl.DataType, kind: pl.DataType, parse: Parse) -> pl.Expr:
    """Return a column of numbers, truth values, dates or lengths of time as another kind, exactly or null."""
    if isinstance(dtype, pl.Duration) and kind.is_float():
        return raw.dt.total_microseconds() / 1_000_000
    if kind == pl.String:
        return _whole_numbers_plainly(raw, dtype) if dtype.is_float() else as_text(raw, dtype)
    if kind.is_integer() and dtype.is_float():
        return pl.when((raw == raw.floor()) & (raw.abs() <= _EXACT)).then(raw).cast(kind, strict=False)
    if kind.is_float() and dtype.is_integer():
        exact = raw.is_between(-_EXACT, _EXACT) | (raw.cast(kind).cast(dtype, strict=False) == raw)
        return pl.when(exact).then(raw).cast(kind)
    if kind == pl.Boolean:
        return _of_text(as_text(raw, dtype), kind, parse)  # 0 and 1 are truth values where the line says so
    return raw.cast(kind, strict=False)


def _whole_numbers_plainly(raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return numbers as text, 3.0 as 3: where some are missing, many tools write whole numbers so."""
    whole = pl.when(raw.abs() <= _EXACT).then(raw).cast(pl.Int64, strict=False)
    return pl.when(raw == whole).then(whole.cast(pl.String)).otherwise(as_text(raw, dtype))

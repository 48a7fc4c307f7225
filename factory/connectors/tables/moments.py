"""The ways to write a date or a moment, and the reading of each; a moment without a zone is UTC.

`strptime` formats are those of Polars. Texts are read exactly: a year of two digits does not fit a format with four.
"""

import polars as pl

MOMENT = pl.Datetime("us", "UTC")
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds in a unit."""
YEAR = "year"

_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y%m%d",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%b %d %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %B %Y",
)
_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_ISO = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m")
FORMATS = (*_DATES, *_ISO, *(f"{date} {clock}" for date in _DATES for clock in _CLOCKS))
"""Every format that is looked for, the commonest first."""

SWAPPED = {
    "%d/%m/%Y": "%m/%d/%Y",
    "%d-%m-%Y": "%m-%d-%Y",
    "%d/%m/%y": "%m/%d/%y",
}
"""Formats that differ in which of two numbers is the day: one text may be read by both."""


def swapped(format_: str) -> str | None:
    """Return the format with day and month exchanged, or None where a text can tell them apart by its signs."""
    for day_first, month_first in SWAPPED.items():
        if format_.startswith(day_first):
            return format_.replace(day_first, month_first)
        if format_.startswith(month_first):
            return format_.replace(month_first, day_first)
    return None


def moment_of(raw: pl.Expr, dtype: pl.DataType, format_: str) -> pl.Expr:
    """Return a raw column as moments in UTC, null where its value is not written so."""
    if isinstance(dtype, pl.Datetime):
        naive = raw.dt.replace_time_zone("UTC") if dtype.time_zone is None else raw.dt.convert_time_zone("UTC")
        return naive.cast(MOMENT)
    if dtype == pl.Date:
        return raw.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if format_ in EPOCHS:
        micros = raw.cast(pl.Float64, strict=False) * EPOCHS[format_]
        return micros.cast(pl.Int64, strict=False).cast(MOMENT, strict=False)
    if format_ == YEAR:
        year = raw.cast(pl.Float64, strict=False)
        whole = pl.when(year.is_between(1000, 3000) & (year == year.floor())).then(year.cast(pl.Int32, strict=False))
        return pl.datetime(whole, 1, 1, time_unit="us", time_zone="UTC")
    text = raw if dtype == pl.String else raw.cast(pl.Int64, strict=False).cast(pl.String)
    return _read(text.str.strip_chars(), format_)


def _read(text: pl.Expr, format_: str) -> pl.Expr:
    if "%z" in format_:
        signed = text.str.replace(r"[zZ]$", "+00:00")
        read = signed.str.to_datetime(format_, time_unit="us", time_zone="UTC", strict=False, ambiguous="null")
    else:
        read = text.str.to_datetime(format_, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    return pl.when(read.dt.year().is_between(1000, 3000)).then(read)

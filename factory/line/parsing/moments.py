"""The ways to write a date or a moment, and the reading of each.

`strptime` formats are those of Polars. Texts are read exactly: a year of two digits does not fit a format with four.
"""

from datetime import UTC, datetime
from typing import Any

import polars as pl

MOMENT = pl.Datetime("us", "UTC")
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds in a unit."""
YEAR = "year"
_YEARS = (1000, 9999)
"""Texts are read in full years: `%Y` would take 24 for a year of the first century."""
_OFFSET = r"T.*(?:[zZ]|[+-]\d\d(?::?\d\d)?)$"

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
ANY_ISO = ""
"""No format: ISO 8601, with or without a clock and an offset, which differ from value to value."""
FORMATS = (*_DATES, *_ISO, *(f"{date} {clock}" for date in _DATES for clock in _CLOCKS), ANY_ISO)
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


def moment_of(raw: pl.Expr, dtype: pl.DataType, format_: str, time_zone: str = "UTC") -> pl.Expr:
    """Return a raw column as moments in UTC, null where its value is not written so.

    Without a format it is ISO 8601. What has no offset is read from the clock of `time_zone`; what that clock shows
    twice, or never, is null.
    """
    if isinstance(dtype, pl.Datetime):
        zoned = _on_clock(raw, time_zone) if dtype.time_zone is None else raw.dt.convert_time_zone("UTC")
        return zoned.cast(MOMENT)
    if dtype == pl.Date:
        return _on_clock(raw.cast(pl.Datetime("us")), time_zone)
    if format_ in EPOCHS:
        micros = raw.cast(pl.Float64, strict=False) * EPOCHS[format_]
        return micros.cast(pl.Int64, strict=False).cast(MOMENT, strict=False)
    if format_ == YEAR:
        year = raw.cast(pl.Float64, strict=False)
        whole = pl.when(year.is_between(*_YEARS) & (year == year.floor())).then(year.cast(pl.Int32, strict=False))
        return pl.datetime(whole, 1, 1, time_unit="us", time_zone="UTC")
    text = (raw if dtype == pl.String else raw.cast(pl.Int64, strict=False).cast(pl.String)).str.strip_chars()
    return _written(text, format_, time_zone) if format_ else _iso(text, time_zone)


def within(cursor: pl.Expr, kind: pl.DataType, after: Any | None, until: datetime | None) -> pl.Expr:
    """Return whether a cursor of that type lies in `[after, until)`; `until` does not apply where it is not a time."""
    here = pl.lit(True)
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        cursor, kind = cursor.dt.convert_time_zone("UTC"), pl.Datetime(kind.time_unit, "UTC")
    if after is not None:
        here &= cursor >= pl.lit(_as_value(kind, after) if isinstance(after, datetime) else after, kind)
    if until is not None and kind.is_temporal():
        here &= cursor < pl.lit(_as_value(kind, until), kind)
    return here


def within_or_unread(cursor: pl.Series, after: Any | None, until: datetime | None) -> pl.Expr:
    """Return, as an expression on that column, whether a cursor lies in `[after, until)`, or could not be read."""
    column = pl.col(cursor.name)
    return within(column, cursor.dtype, after, until) | column.is_null()


def _as_value(kind: pl.DataType, moment: datetime) -> Any:
    """Return a moment, naive ones being UTC, as a value of a temporal column."""
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if kind == pl.Date:
        return aware.date()
    return aware if isinstance(kind, pl.Datetime) and kind.time_zone else aware.replace(tzinfo=None)


def _iso(text: pl.Expr, time_zone: str) -> pl.Expr:
    """Return ISO texts as moments: a date, or a date and a clock with or without an offset, which may be +02 too."""
    text = text.str.replace(" ", "T", literal=True)
    offset: pl.Expr = pl.when(text.str.contains(_OFFSET)).then(text)
    offset = pl.when(offset.str.contains(r"[+-]\d\d$")).then(offset + ":00").otherwise(offset)
    clocks = [_written(offset, f"%Y-%m-%dT{clock}%z", time_zone) for clock in ("%H:%M:%S%.f", "%H:%M")]
    plain = [_written(text, format_, time_zone) for format_ in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")]
    return pl.coalesce(*plain, *clocks)


def _written(text: pl.Expr, format_: str, time_zone: str) -> pl.Expr:
    if "%z" in format_:
        signed = text.str.replace(r"[zZ]$", "+00:00")
        read = signed.str.to_datetime(format_, time_unit="us", time_zone="UTC", strict=False, ambiguous="null")
        return pl.when(read.dt.year().is_between(*_YEARS)).then(read)
    read = text.str.to_datetime(format_, time_unit="us", strict=False)
    return _on_clock(pl.when(read.dt.year().is_between(*_YEARS)).then(read), time_zone)


def _on_clock(naive: pl.Expr, time_zone: str) -> pl.Expr:
    """Return what a clock shows as moments in UTC."""
    if time_zone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    return naive.dt.replace_time_zone(time_zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")

"""Values of properties: as JSON gives them → texts that say the same exactly; such texts → literals of a URL.

A moment of V2 (`/Date(1395705600000)/`) becomes ISO 8601: `Edm.DateTime` has no zone, `Edm.DateTimeOffset` has one. All
else is as it came: an Int64 or Decimal digit by digit, a time or duration as `PT10H`, bytes in base64.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import polars as pl

from factory.connectors.odata.metadata import Property, Version
from factory.connectors.tables.json_text import text_of_json

MOMENTS = ("Edm.DateTime", "Edm.DateTimeOffset", "Edm.Date")
_DATE = re.compile(r"/Date\((-?\d+)([+-]\d+)?\)/")
_UTC_TICKS = r"^/Date\((-?\d{1,14})(?:[+-]0+)?\)/$"
_YEAR_1, _YEAR_9999 = -62_135_596_800_000, 253_402_300_799_999
_EPOCH = datetime(1970, 1, 1)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SUFFIX_V2 = {"Edm.Int64": "L", "Edm.Decimal": "M", "Edm.Double": "d", "Edm.Single": "f"}
WHOLE_NUMBERS = ("Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32", "Edm.Int64")
_NUMBERS = (*WHOLE_NUMBERS, *_SUFFIX_V2)
_QUOTED_V2 = {
    "Edm.DateTime": "datetime",
    "Edm.DateTimeOffset": "datetimeoffset",
    "Edm.Time": "time",
    "Edm.Guid": "guid",
}
_PLAIN_V4 = ("Edm.DateTimeOffset", "Edm.Date", "Edm.TimeOfDay", "Edm.Guid")


def text_of_value(value: Any, kind: str, version: Version) -> str | None:
    """Return a value of a property as text; None for none."""
    text = text_of_json(value)
    if text is None or version == "V4" or kind not in MOMENTS:
        return text
    said = _DATE.fullmatch(text)
    if not said:
        return text
    try:
        moment = _EPOCH + timedelta(milliseconds=int(said[1]))
        if kind == "Edm.DateTimeOffset":
            moment = moment.replace(tzinfo=timezone(timedelta(minutes=int(said[2] or 0))))
    except (OverflowError, ValueError):
        return text
    whole = moment.microsecond == 0
    return moment.isoformat(timespec="seconds" if whole else "milliseconds").replace("+00:00", "Z")


def texts_of(values: Iterable[Any], kind: str, version: Version) -> pl.Series:
    """Return a property's values as `text_of_value` gives them, one by one or, of moments of V2, all at once."""
    plain = (value if type(value) is str or value is None else text_of_json(value) for value in values)
    texts = pl.Series(list(plain), dtype=pl.String)
    if version == "V4" or kind not in MOMENTS:
        return texts
    zone = "Z" if kind == "Edm.DateTimeOffset" else ""
    ticks = texts.str.extract(r"^/Date\((-?\d{1,14})\)/$" if not zone else _UTC_TICKS).cast(pl.Int64)
    ordinary = ticks.is_between(_YEAR_1, _YEAR_9999)
    if (texts.is_not_null() & ~ordinary.fill_null(value=False)).any():
        return pl.Series([text_of_value(text, kind, version) for text in texts], dtype=pl.String)
    moments = pl.from_epoch(ticks, time_unit="ms")
    whole, exact = moments.dt.strftime(f"%Y-%m-%dT%H:%M:%S{zone}"), moments.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.3f{zone}")
    return whole.zip_with(ticks % 1000 == 0, exact)


def literal_of(text: str, one: Property, version: Version) -> str | None:
    """Return a value of a property, as `text_of_value` gives it, as a literal of a URL; None where it has none."""
    if one.kind == "Edm.String":
        return "'" + text.replace("'", "''") + "'"
    if one.kind in _NUMBERS and _NUMBER.fullmatch(text):
        return f"{text}{_SUFFIX_V2.get(one.kind, '')}" if version == "V2" else text
    if one.kind == "Edm.Boolean" and text in ("true", "false"):
        return text
    if one.kind == "Edm.Guid" and not GUID.fullmatch(text):
        return None
    if version == "V2" and one.kind in _QUOTED_V2 and "'" not in text:
        return f"{_QUOTED_V2[one.kind]}'{text}'"
    return text if version == "V4" and one.kind in _PLAIN_V4 and re.fullmatch(r"[\w:.+-]+", text) else None


def literal_of_moment(moment: datetime, one: Property, version: Version) -> str | None:
    """Return a moment as a literal that a property is compared with; of a property without a zone on UTC's clock."""
    in_utc = (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None)
    if one.kind == "Edm.Date":
        return None  # a day begins at its first moment: the reader's caller compares
    if one.kind == "Edm.DateTime" or (one.kind == "Edm.DateTimeOffset" and version == "V4"):
        text = in_utc.isoformat() + ("Z" if one.kind == "Edm.DateTimeOffset" else "")
        return literal_of(text, one, version)
    return literal_of(f"{in_utc.isoformat()}Z", one, version) if one.kind == "Edm.DateTimeOffset" else None

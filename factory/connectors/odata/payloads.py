"""A message's values → the JSON of a property, in V2 or V4; what does not fit is said in a sentence.

Values come as JSON has them, moments as RFC 3339 in UTC, days as `2026-03-01` (factory/connectors/sinks/message.py).
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from factory.connectors.odata.metadata import Property, Version
from factory.connectors.odata.values import GUID, MOMENTS
from factory.line.sinks import ColumnKind

_WHOLE = {
    "Edm.Byte": (0, 2**8 - 1),
    "Edm.SByte": (-(2**7), 2**7 - 1),
    "Edm.Int16": (-(2**15), 2**15 - 1),
    "Edm.Int32": (-(2**31), 2**31 - 1),
    "Edm.Int64": (-(2**63), 2**63 - 1),
}
_FRACTIONS = ("Edm.Decimal", "Edm.Double", "Edm.Single")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def document_of(fields: Mapping[str, str]) -> bytes:
    """Return a JSON document of properties, each by the text of its value."""
    return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields.items()) + "}").encode()


def json_of(value: Any, one: Property, version: Version) -> str:
    """Return the JSON text of a property's value; raises ValueError with a sentence where it has none."""
    if value is None:
        if not one.nullable:
            raise ValueError(f"{one.name} must have a value")
        return "null"
    if one.kind == "Edm.String":
        return _quoted(_text(value, one))
    if one.kind in (*_WHOLE, *_FRACTIONS):
        return _number(value, one, version)
    if one.kind == "Edm.Boolean" and isinstance(value, bool):
        return "true" if value else "false"
    if one.kind in MOMENTS:
        return _quoted(_moment(value, one, version))
    if isinstance(value, str) and one.kind != "Edm.Boolean" and (one.kind != "Edm.Guid" or GUID.fullmatch(value)):
        return _quoted(value)
    raise _misfit(value, one)


def fits(kind: ColumnKind, one: Property) -> bool:
    """Whether a property can have the values of a kind; of a type that is not known it can."""
    if kind == "anything" or one.kind == "Edm.String":
        return True
    if one.kind in _WHOLE:
        return kind == "whole number"
    if one.kind in _FRACTIONS:
        return kind in ("whole number", "number")
    if one.kind in MOMENTS:
        return kind in ("moment", "day", "text")
    return kind == ("truth" if one.kind == "Edm.Boolean" else "text")


def is_same(ours: str | None, theirs: str | None, one: Property) -> bool:
    """Whether two texts of a property's values say the same: numbers may be written in many ways."""
    if ours is None or theirs is None or one.kind not in (*_WHOLE, *_FRACTIONS):
        return ours == theirs
    return Decimal(ours) == Decimal(theirs)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _text(value: Any, one: Property) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = value if isinstance(value, str) else str(value)
    if one.max_length is not None and len(text) > one.max_length:
        raise ValueError(f"{one.name} takes {one.max_length} characters, and {text!r} has {len(text)}")
    return text


def _number(value: Any, one: Property, version: Version) -> str:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise _misfit(value, one) from None
    if isinstance(value, bool) or not number.is_finite():
        raise _misfit(value, one)
    if one.kind in _WHOLE:
        least, most = _WHOLE[one.kind]
        if number != int(number) or not least <= number <= most:
            raise _misfit(value, one)
        return _quoted(f"{number:.0f}") if version == "V2" and one.kind == "Edm.Int64" else f"{number:.0f}"
    if one.kind == "Edm.Decimal":
        number = _rounded(number, value, one)
    return _quoted(f"{number:f}") if version == "V2" else f"{number:f}"


def _rounded(number: Decimal, value: Any, one: Property) -> Decimal:
    """Return a number with as many digits behind the point as the property has; it must have those before it."""
    if one.scale is not None and -int(number.as_tuple().exponent) > one.scale:
        number = round(number, one.scale)
    digits = len(number.as_tuple().digits) + min(int(number.as_tuple().exponent), 0)
    if one.precision is not None and digits > one.precision - (one.scale or 0):
        raise ValueError(
            f"{one.name} takes {one.precision} digits, {one.scale or 0} behind the point: {value} has more"
        )
    return number


def _moment(value: Any, one: Property, version: Version) -> str:
    try:
        moment = datetime.fromisoformat(value) if "T" in value else datetime.combine(date.fromisoformat(value), time())
    except (TypeError, ValueError):
        raise _misfit(value, one) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if version == "V2":
        ticks = (moment - _EPOCH) // timedelta(milliseconds=1)
        return f"/Date({ticks}+0000)/" if one.kind == "Edm.DateTimeOffset" else f"/Date({ticks})/"
    return moment.date().isoformat() if one.kind == "Edm.Date" else moment.isoformat().replace("+00:00", "Z")


def _misfit(value: Any, one: Property) -> ValueError:
    return ValueError(f"{one.name} takes {one.kind}, and {value!r} is none")

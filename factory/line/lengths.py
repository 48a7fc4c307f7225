"""Lengths of time as a line's file writes them: a whole number and a unit, such as 30d, 6h, 90m or 45s."""

import re
from datetime import timedelta

from factory.errors import LineError

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_LENGTH = re.compile(rf"(\d{{1,7}})\s*([{''.join(_UNITS)}])")


def length_of(text: str, key: str) -> timedelta:
    """Return a length of time; raises LineError that names the key."""
    if not (written := _LENGTH.fullmatch(text)):
        raise LineError(
            f"{key}: {text!r} is no length of time; write a whole number and a unit, such as 30d, 6h, 90m or 45s",
            at=(key,),
        )
    return int(written[1]) * _UNITS[written[2]]


def length_text(length: timedelta) -> str:
    """Return a length as a line's file writes it, in the largest unit that leaves it whole; parts of a second round."""
    seconds = round(length.total_seconds())
    for unit, one in _UNITS.items():
        if seconds % one.total_seconds() == 0 and unit != "w":
            return f"{seconds // round(one.total_seconds())}{unit}"
    return f"{seconds}s"


def length_in_words(length: timedelta) -> str:
    """Return a length for people, in the largest unit of which it has at least two, such as `25 days`."""
    for name in ("days", "hours", "minutes"):
        count = length / _UNITS[name[0]]
        if count >= 2:
            return f"{count:.0f} {name}"
    return f"{length.total_seconds():.0f} seconds"

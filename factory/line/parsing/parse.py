"""The section `parse` of a table: how its values are written. What it does not say is not done."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from factory.errors import LineError

_MARKS = ("", ".", ",", "'", "\u2019", " ", "\u00a0", "\u202f", "_")


@dataclass(frozen=True, kw_only=True)
class Parse:
    """How a table's texts are read; a value that cannot be read so goes to quarantine."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    decimal: str = "."
    """The sign before the decimals: `.` or `,`."""
    thousands: str = ""
    """The sign between groups of three digits, if there is one."""
    null_values: tuple[str, ...] = ()
    """Texts that stand for a missing value, in every column. An empty field of a CSV file always does."""
    null_values_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → texts that stand for a missing value in that column alone."""
    true_values: tuple[str, ...] = ("true",)
    """Texts that mean true, in any case of letters."""
    false_values: tuple[str, ...] = ("false",)
    """Texts that mean false, in any case of letters."""
    formats: Mapping[str, str] = field(default_factory=dict)
    """Column → how its dates are written: `%d.%m.%Y` and the like, `epoch_s`, `epoch_ms`, `epoch_us`, `year`. Without
    it they are ISO 8601."""
    time_zone: str = "UTC"
    """The clock that moments without an offset are read from, such as Europe/Berlin; what that clock shows twice, or
    never, cannot be read."""

    def __post_init__(self) -> None:
        """Raise LineError where the signs cannot be told apart, or the clock is not known."""
        if self.decimal not in (".", ","):
            raise LineError(f"parse: decimal is {self.decimal!r}; it must be '.' or ','", at=("decimal",))
        if self.thousands not in _MARKS or self.thousands == self.decimal:
            raise LineError(
                f"parse: thousands is {self.thousands!r}; it must be one of {', '.join(map(repr, _MARKS[1:]))}, and "
                "another sign than decimal",
                at=("thousands",),
            )
        if both := {text.lower() for text in self.true_values} & {text.lower() for text in self.false_values}:
            raise LineError(f"parse: {min(both)!r} means both true and false", at=("true_values",))
        if self.time_zone != "UTC" and self.time_zone not in available_timezones():
            raise LineError(
                f"parse: there is no time zone {self.time_zone!r}; write it as Europe/Berlin", at=("time_zone",)
            )

    def nulls(self, column: str) -> list[str]:
        """Return the texts that stand for a missing value in a column."""
        return [*self.null_values, *self.null_values_of.get(column, ())]

    @property
    def number(self) -> str | None:
        """The regular expression of a number that is written with these signs; None where it is written plainly."""
        if self.decimal == "." and not self.thousands:
            return None
        point, mark = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"(?:\d{{1,3}}(?:{mark}\d{{3}})+|\d+)" if mark else r"\d+"
        return rf"^[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?$"

    def zone(self) -> ZoneInfo:
        """Return the clock."""
        return ZoneInfo(self.time_zone)

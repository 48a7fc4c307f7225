"""What of a table's rows is known before they happen, and what only after: a timetable, open orders, a plan.

A row happens at its cursor. A line's file may say that rows are announced before, and with which columns; and which
columns of a row are known later than its cursor, such as when a flight that was due at ten has landed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import polars as pl

from factory.errors import LineError

ANNOUNCED_AT = "announced_at"
"""The column with the moment at which a row became known, microseconds, UTC, in tables that features are built of."""
_MOMENT = pl.Datetime("us", "UTC")
FAR = datetime(9000, 1, 1)
"""Later than any row's moment, and within the range of every source."""


@dataclass(frozen=True, kw_only=True)
class Announced:
    """Since when a row is known before it happens, and with which columns; said in exactly one of two ways."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    columns: tuple[str, ...]
    """Columns of the raw table that are known then; all others are null until the row happens."""
    at: str = ""
    """The column with the moment of the announcement."""
    ahead_days: float | None = None
    """How many days before its cursor each row is known, where no column says it."""

    def __post_init__(self) -> None:
        """Raise LineError unless it is said once since when rows are known."""
        if bool(self.at) == (self.ahead_days is not None):
            raise LineError("say either `at`, the column with the moment of the announcement, or `ahead_days`")
        if self.ahead_days is not None and self.ahead_days <= 0:
            raise LineError(f"ahead_days {self.ahead_days:g} must be above 0", at=("ahead_days",))

    def moment(self, cursor: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """Return since when each row is known, as ANNOUNCED_AT; a column without a zone is in UTC."""
        name = self.at or cursor
        moments = pl.col(name) if schema[name] == _MOMENT else in_utc(pl.col(name))  # a cast would leave the GPU engine
        return moments.alias(ANNOUNCED_AT) if self.ahead_days is None else moments.alias(ANNOUNCED_AT) - self._ahead

    def before(self, until: datetime) -> datetime:
        """Return the moment (UTC, naive as `until` is) before which all happens that is announced by `until`."""
        return FAR if self.ahead_days is None else until + self._ahead

    @property
    def _ahead(self) -> timedelta:
        return timedelta(days=self.ahead_days or 0)


def aware(moment: datetime) -> datetime:
    """Return a moment in UTC, where a day is 24 hours, as it is not in every zone; a naive one is in UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def in_utc(moments: pl.Expr) -> pl.Expr:
    """Return moments in UTC, microseconds; those without a zone are in it."""
    return moments.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")

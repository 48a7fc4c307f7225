"""A line's `online_snapshot` section: how far back features look, and so what the gateway knows beside a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import polars as pl

from factory.errors import LineError

RECENT = timedelta(days=2)
"""How much older than the newest row a decision may be and still be answered; the snapshot covers it, too."""


@dataclass(frozen=True, kw_only=True)
class LookBack:
    """What a snapshot keeps of each clean table: its newest days by its cursor, and single older rows.

    A table whose cursor is not a time is kept whole.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    days: int = 0
    """The longest window of any feature."""
    last_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Table → columns: of each of their values the newest row is kept, however old."""
    row_alone: bool = False
    """Whether features come only from the decision's own row and shared tables, so that no other decision is kept."""
    stale_after_hours: float | None = None
    """How long after a site's own newest row its decisions are answered; None: always, and the answer says how old."""

    def __post_init__(self) -> None:
        """Raise LineError on a length that is not positive, and on settings that contradict each other."""
        if self.days < 0:
            raise LineError(f"days {self.days} must be 0 or more", at=("days",))
        if self.stale_after_hours is not None and self.stale_after_hours <= 0:
            raise LineError(f"stale_after_hours {self.stale_after_hours} must be above 0", at=("stale_after_hours",))
        if self.row_alone and (self.days or self.last_of or self.stale_after_hours):
            raise LineError(
                "row_alone keeps no earlier rows: leave days, last_of and stale_after_hours out", at=("row_alone",)
            )

    def rows_needed(self, table: str, rows: pl.LazyFrame, cursor: str, newest: datetime | None) -> pl.LazyFrame:
        """Return the rows of a clean table that features of recent decisions can depend on.

        `newest` has a zone; a cursor without one is in UTC.
        """
        if newest is None or not tells_time(rows, cursor):
            return rows
        oldest = newest - timedelta(days=self.days) - RECENT
        recent = pl.col(cursor) >= comparable(oldest, rows.collect_schema()[cursor])
        by = self.last_of.get(table)
        if not by:
            return rows.filter(recent)
        older = rows.filter(~recent & pl.all_horizontal(pl.col(name).is_not_null() for name in by))
        last = older.filter(pl.col(cursor) == pl.col(cursor).max().over(by))
        return pl.concat([last, rows.filter(recent)])


def comparable(moment: datetime, column: pl.DataType) -> pl.Expr:
    """Return a moment that has a zone as one to compare a column with: in its zone, or in UTC where it has none."""
    naive = pl.lit(moment.astimezone(UTC).replace(tzinfo=None))
    zone = column.time_zone if isinstance(column, pl.Datetime) else None
    return naive.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else naive


def tells_time(rows: pl.LazyFrame, column: str) -> bool:
    """Whether the table has the column, and it holds moments."""
    return isinstance(rows.collect_schema().get(column), pl.Datetime)

"""The section `calendar` of a table: decisions that no system keeps, made of the things they are about and of times.

A maintenance planner asks about every machine every morning; no table has a row for each of these questions. A table
with a calendar is made, not read: of each thing that is in service a row for each moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from factory.errors import LineError
from factory.line.lengths import length_of

DUE_AT = "due_at"
"""The column of a calendar's rows with the moment at which each is to be decided, UTC."""
DAY = timedelta(days=1)
MONDAY = date(1970, 1, 5)
"""From this day on weeks and other numbers of days are counted, where the calendar does not say when it begins."""


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Which decisions there are: about each of which things, at which moments."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    of: str
    """The table of the things, one row each: machines, customers, contracts. Its key, and the column that names the
    site, are columns of the decisions."""
    every: str = "1d"
    """How far moments lie apart: whole days, or hours that divide the day, such as `7d` or `8h` (shifts)."""
    at: str = "00:00"
    """The time of day of the first moment of a day, HH:MM in `time_zone`."""
    time_zone: str = "UTC"
    """On whose clock `at` is, such as Europe/Berlin: 06:00 is 06:00 in summer and in winter."""
    on: str = ""
    """A table of events: a decision at each of its rows about the thing that the row names, in the place of `every`."""
    delay: str = ""
    """How long after an event of `on` is decided, such as `5m`: what happens at the moment of a decision is not yet
    known to it, and the event itself is only with a delay."""
    since: str = ""
    """The column of the things' table with the day or moment from which a thing is decided about; null: always."""
    until: str = ""
    """The column with the day or moment from which it no longer is; null: still is."""
    begins: str = ""
    """The first day of the calendar, YYYY-MM-DD; needed without `since`, and where things are older than data."""

    def __post_init__(self) -> None:
        """Raise LineError where there would be no calendar."""
        self._require_step()
        try:
            _ = self.first_time
        except ValueError as error:
            raise LineError(f"calendar: at {self.at!r} is no time of day; write it as HH:MM", at=("at",)) from error
        try:
            _ = self.zone
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise LineError(f"calendar: there is no time zone {self.time_zone!r}", at=("time_zone",)) from error
        try:
            _ = self.first_day
        except ValueError as error:
            message = f"calendar: begins {self.begins!r} is no day; write it as YYYY-MM-DD"
            raise LineError(message, at=("begins",)) from error
        if not (self.on or self.since or self.begins):
            raise LineError("calendar: say `since`, a column of the things' table, or `begins`, the first day")
        if self.delay and not self.on:
            raise LineError("calendar: delay is how long after an event of `on` is decided; say `on`", at=("delay",))

    def _require_step(self) -> None:
        step = self.step
        if step <= timedelta(0) or (step % DAY if step > DAY else DAY % step):
            raise LineError(
                f"calendar: every {self.every!r} is neither whole days nor a length that divides the day, such as 8h",
                at=("every",),
            )

    @property
    def step(self) -> timedelta:
        """How far moments lie apart on the clock of the time zone."""
        return length_of(self.every, "every")

    @property
    def after_event(self) -> timedelta:
        """How long after an event is decided."""
        return length_of(self.delay, "delay") if self.delay else timedelta(0)

    @property
    def first_time(self) -> time:
        """The time of day of a day's first moment."""
        return datetime.strptime(self.at, "%H:%M").time()

    @property
    def zone(self) -> ZoneInfo:
        """On whose clock it is."""
        return ZoneInfo(self.time_zone)

    @property
    def first_day(self) -> date | None:
        """The day on which it begins; None where only the things say it."""
        return date.fromisoformat(self.begins) if self.begins else None

    def moments(self, first: datetime, last: datetime) -> list[datetime]:
        """Return the moments with `first` <= moment < `last`, in order and in UTC; both have a zone."""
        if self.first_day:
            first = max(first, datetime.combine(self.first_day, time(), self.zone).astimezone(UTC))
        return sorted({moment for moment in self._on_days(first, last) if first <= moment < last})

    def _on_days(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield the moments of the days around two moments; an hour that the clock leaves out is the one after it."""
        day_step, anchor = max(self.step // DAY, 1), self.first_day or MONDAY
        day, end = first.astimezone(self.zone).date() - DAY, last.astimezone(self.zone).date() + DAY
        day += timedelta(days=-(day - anchor).days % day_step)
        times = [timedelta(0)] if self.step >= DAY else [self.step * count for count in range(DAY // self.step)]
        while day <= end:
            midnight = datetime.combine(day, self.first_time)
            yield from ((midnight + later).replace(tzinfo=self.zone).astimezone(UTC) for later in times)
            day += timedelta(days=day_step)


@dataclass(frozen=True, kw_only=True)
class SiteThrough:
    """How a row's site is found in another table: telemetry names the machine, and the machine its plant."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    through: str
    """The other table, shared by all sites, with one column as its key."""
    key: str
    """The column of this table that has the other's key."""
    column: str
    """The column of the other table that names the site, as its `site_names` reads it."""

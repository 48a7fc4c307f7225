"""The section `freshness` of a line's file: how old a site's newest row may be before people are told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from factory.errors import LineError


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """Each site is judged by itself: one that still delivers must not hide fourteen that do not."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    stale_after_hours: float | None = None
    """Hours from a site's newest row to the moment the line looks as of, after which a check names it."""

    silent: Literal["tell", "stop"] = "tell"
    """What becomes of a site that is missing from an export, or has sent nothing for longer than it ever did. `tell`
    tells people, `stop` also has it fail at `raw` until rows come."""

    def __post_init__(self) -> None:
        """Raise LineError on a limit that is not positive."""
        if self.stale_after_hours is not None and self.stale_after_hours <= 0:
            raise LineError(
                f"freshness: stale_after_hours {self.stale_after_hours:g} must be above 0", at=("stale_after_hours",)
            )

    def stale(self, newest: Mapping[str, datetime], sites: Iterable[str], until: datetime) -> dict[str, str]:
        """Return a sentence on each site that is too old, or has no row at all; moments are UTC and naive."""
        if self.stale_after_hours is None:
            return {}
        oldest = until - timedelta(hours=self.stale_after_hours)
        return {
            site: self._sentence(newest.get(site), until)
            for site in sites
            if site not in newest or newest[site] < oldest
        }

    def _sentence(self, moment: datetime | None, until: datetime) -> str:
        if moment is None:
            return "has delivered no row yet"
        hours = (until - moment) / timedelta(hours=1)
        return (
            f"its newest row is of {moment:%Y-%m-%d %H:%M} UTC, {hours:.0f} hours before {until:%Y-%m-%d %H:%M}; "
            f"the limit is {self.stale_after_hours:g} hours"
        )

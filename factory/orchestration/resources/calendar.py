"""What day it is for the sensors: as each line's file says, or one day for all, when the past is replayed."""

from datetime import datetime

import dagster as dg
from pydantic import Field

from factory.line.line import Line


class Calendar(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """The as-of moment by which sensors and schedules look at the world."""

    as_of: str = Field(default="", description="date YYYY-MM-DD for all lines; empty: as each line's file says")

    def until(self, line: Line) -> datetime:
        """Return the moment before which a line looks, UTC and naive."""
        return datetime.fromisoformat(self.as_of) if self.as_of else line.default_until

"""What a person or a sensor may say about one run."""

from datetime import datetime

import dagster as dg
from pydantic import Field

from factory.errors import LineError
from factory.line.line import Line
from factory.pipeline.stages import STAGES


def moment(until: str, line: Line) -> datetime:
    """Return the as-of moment (UTC, naive), the line's own if none is given; raises LineError when it is not a date."""
    if not until:
        return line.default_until
    try:
        return datetime.fromisoformat(until)
    except ValueError as error:
        raise LineError(f"line {line.name}: until={until!r} is not a date; write it as YYYY-MM-DD") from error


class StageConfig(dg.Config):
    """How far a run looks, and where it begins."""

    until: str = Field(default="", description="as-of date YYYY-MM-DD, exclusive; empty: the line's own")
    redo_from: str = Field(
        default="",
        description=f"stage to begin with though nothing changed, leaving those before it alone: {', '.join(STAGES)}",
    )

    def moment(self, line: Line) -> datetime:
        """Return the as-of moment of this run."""
        return moment(self.until, line)

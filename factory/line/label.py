"""The section `label` of a line's file: when a decision's outcome is known, and which columns tell it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from factory.errors import LineError
from factory.line.lengths import length_of
from factory.line.windows import Where


@dataclass(frozen=True, kw_only=True)
class Label(Where):
    """When it is known what became of a decision, and by which columns of its row.

    The features' proof (docs/guarantees.md) takes rows as they were known at the moment of a decision.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    horizon: str = ""
    """How long after a decision its outcome is known, such as `7d` or `3h`. A label whose time has not come as of the
    run is unknown, and not 0; between training, validation and holdout so much time is left out."""
    columns: tuple[str, ...] = ()
    """Columns of the decision table that tell the outcome: unknown at the decision, and until the horizon has passed.
    Columns that `known_at` names become known as it says."""
    known_before: tuple[str, ...] = ()
    """Features that look like the label and were seen to be known before the decision: they refuse no candidate."""
    event: str = ""
    """A table whose rows are what is foreseen, such as failures: the label is 1 where one comes within `horizon` from
    the decision on, else 0."""

    def __post_init__(self) -> None:
        """Raise LineError on a horizon that is no length of time, and where an event has none."""
        _ = self.after
        if self.event and not self.horizon:
            raise LineError(
                "label: an event needs `horizon`, such as 7d: within it the event is to be foreseen", at=("event",)
            )
        if (self.where or self.by) and not self.event:
            raise LineError("label: where and by say which rows of an `event` count", at=("event",))

    @property
    def after(self) -> timedelta:
        """How long after a decision its outcome is known; nothing where it is not said."""
        return length_of(self.horizon, "horizon") if self.horizon else timedelta(0)

"""The section `changes` of a table: how corrections, late rows and deletions at the source are known.

What a run reads again it compares by content: a row that differs comes in as a new version of its key, one that is new
is added, one that is gone is withdrawn. The ways differ in how much is read again, and so in what they cost and miss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from factory.errors import LineError

Way = Literal["", "whole", "look_back", "change_column", "change_log", "append"]
_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("max_withdrawn_share",),
    "whole": ("rolling", "max_withdrawn_share"),
    "look_back": ("days", "max_withdrawn_share"),
    "change_column": ("column", "overlap_hours", "deleted", "max_withdrawn_share"),
    "change_log": ("column", "overlap_hours", "deleted"),
    "append": (),
}
"""Which other keys belong to each way."""


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """How a row says that the source takes its key for deleted."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    column: str
    """The column that says it, such as `is_deleted`, `deleted_at` or the operation in a change log."""
    values: tuple[bool | int | str, ...] = ()
    """The values that mean deleted, such as `true` or `D`; none: any value does."""

    @property
    def texts(self) -> list[str]:
        """The values as text, as a column's own are when they are cast."""
        return [str(value).lower() if isinstance(value, bool) else str(value) for value in self.values]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How changes at the source are known, and how many rows may be gone at once."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    known_by: Way = ""
    """`whole`: the whole table is read and compared; nothing is missed. `look_back`: the newest days are.
    `change_column`: rows whose `column` tells of a change are, and those from the cursor on. `change_log`: each row is
    a version of its key, in the order of `column`. `append`: rows never change, and loading goes on from the cursor.
    Without it: a file is compared whole when it changed; a database is read from the cursor on, and whole where it has
    another number of rows than the lake."""
    days: float = 0.0
    """`look_back`: how many days before a site's newest row are read again."""
    column: str = ""
    """`change_column`, `change_log`: the column that only grows with each change: a moment, a number."""
    overlap_hours: float = 0.0
    """Hours before the largest `column` that are read again, for transactions that end after later ones began."""
    deleted: Deleted | None = None
    """How a row tells that its key was deleted, where the source keeps such rows."""
    rolling: bool = False
    """`whole`: whether the source drops its oldest rows, as an export of the last 30 days does: rows older than its
    first stay as they are."""
    max_withdrawn_share: float = 0.5
    """The largest share of a site's rows that may be gone at once; where more are, the site fails and keeps them."""

    def __post_init__(self) -> None:
        """Raise LineError on a key that does not belong to the way, and where one is missing."""
        plain = {"days": 0.0, "column": "", "overlap_hours": 0.0, "deleted": None, "rolling": False}
        for key, default in plain.items():
            if getattr(self, key) != default and key not in _KEYS[self.known_by]:
                ways = " or ".join(way for way, keys in _KEYS.items() if key in keys)
                raise LineError(f"changes: {key} is for known_by {ways}, not {self.known_by or 'left out'}", at=(key,))
        if self.known_by == "look_back" and self.days <= 0:
            raise LineError(f"changes: look_back needs `days` above 0, not {self.days:g}", at=("known_by",))
        if self.known_by in ("change_column", "change_log") and not self.column:
            raise LineError(f"changes: {self.known_by} needs `column`, which grows with each change", at=("known_by",))
        if self.overlap_hours < 0:
            raise LineError(f"changes: overlap_hours {self.overlap_hours:g} must be 0 or more", at=("overlap_hours",))
        if not 0 < self.max_withdrawn_share <= 1:
            raise LineError(
                f"changes: max_withdrawn_share is {self.max_withdrawn_share:g}; it must be above 0 and at most 1",
                at=("max_withdrawn_share",),
            )

    @property
    def columns(self) -> list[str]:
        """The columns of the table that this section names."""
        return [name for name in (self.column, self.deleted.column if self.deleted else "") if name]


@dataclass(frozen=True, kw_only=True)
class SurrogateKey:
    """A key for rows that have none: made of what is in a row, and so the same wherever in the table it stands."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    column: str
    """The column that is added, a text; declare it under `columns` and name it as `key`."""
    leave_out: tuple[str, ...] = ()
    """Columns that may change while the row stays the same, such as the target. Of rows that are alike in all others
    the later ones are numbered."""

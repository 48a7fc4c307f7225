"""The section `schema_changes` of a table: what becomes of rows that come with other columns than the line declares."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class SchemaChanges:
    """What a new, lost or retyped column does to the rows that come so; whatever it does, it is told, once.

    `ignore` goes on with the rows as they are, `quarantine` sends them to quarantine, `stop` loads nothing of the table
    for the sites that they belong to.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    new: Literal["ignore", "add", "quarantine", "stop"] = "add"
    """A column that the line does not declare. `add` keeps it in the raw table, where nothing uses it until it is
    declared; `ignore` does not keep it."""
    lost: Literal["ignore", "quarantine", "stop"] = "stop"
    """A declared column that is not there. `ignore` takes it for missing in those rows. A lost key, cursor or site
    always stops."""
    retyped: Literal["ignore", "quarantine", "stop"] = "ignore"
    """A column of another type than before. `ignore` reads each value as declared: what does not fit waits in
    quarantine. Of a text file every column is text."""

"""What a line's file says about one table of a `TableSource`; columns have the line's own names unless noted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from factory.errors import LineError


@dataclass(frozen=True, kw_only=True)
class TableAt:
    """Where a table is, and how its values are written."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    at: str
    """The place, as factory/connectors/tables/place.py reads it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The line's name of a column → the table's own, where they differ."""
    formats: Mapping[str, str] = field(default_factory=dict)
    """How a date is written: `%d.%m.%Y` and the like, `epoch_s`, `epoch_ms`, `epoch_us`, `year`."""
    missing: tuple[str, ...] = ()
    """Texts that stand for a missing value; an empty field of a CSV file always does."""
    leave_out: tuple[str, ...] = ()
    """Columns of the table, by its own names, that never enter the factory."""
    separator: str = ","
    decimal: str = "."
    only_site: str = ""
    """The one site of a table that has no column with sites."""
    row_number: str = ""
    """The column to add with a row's number, from 1, for a table that has no key."""
    sites: Mapping[str, str] = field(default_factory=dict)
    """Value of the site column → site, where the name derived from the value does not fit."""


_TABLES = TypeAdapter(dict[str, TableAt])


def tables_of(arguments: Mapping[str, Any]) -> dict[str, TableAt]:
    """Return the tables of a source; raises LineError naming each argument that is wrong."""
    try:
        return _TABLES.validate_python(dict(arguments))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise LineError(f"source of a line: {'; '.join(wrong)}; see factory/connectors/tables/arguments.py") from error

"""What a line's file says about where one table of a `TableSource` is; how its values are written its columns say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from factory.errors import LineError


@dataclass(frozen=True, kw_only=True)
class TableAt:
    """Where a table is, and how its file is laid out."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    at: str
    """The place, as factory/connectors/tables/place.py reads it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The line's name of a column → the table's own, where they differ."""
    leave_out: tuple[str, ...] = ()
    """Columns of the table, by its own names, that never enter the factory."""
    separator: str = ","
    only_site: str = ""
    """The one site of a table that has no column with sites."""
    row_number: str = ""
    """The column to add with a row's number, from 1, for a table that has no key."""


MOVED = {
    "formats": "parse: {formats: …}",
    "missing": "parse: {null_values: […]}",
    "decimal": "parse: {decimal: …, thousands: …}",
    "sites": "site_names: {mapping: …}",
}
"""What is said of a table's values beside its columns now, for the contract reads them."""
_TABLES = TypeAdapter(dict[str, TableAt])


def tables_of(arguments: Mapping[str, Any]) -> dict[str, TableAt]:
    """Return the tables of a source; raises LineError naming each argument that is wrong."""
    for name, table in arguments.items():
        for key in MOVED if isinstance(table, Mapping) else ():
            if key in table:
                raise LineError(
                    f"source of a line: {name}.{key} is said beside the table's columns now: `tables: {name}: "
                    f"{MOVED[key]}`"
                )
    try:
        return _TABLES.validate_python(dict(arguments))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise LineError(f"source of a line: {'; '.join(wrong)}; see factory/connectors/tables/arguments.py") from error

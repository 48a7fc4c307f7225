"""What a line's file says about where one table of a `TableSource` is; how its values are written its columns say."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from itertools import combinations
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from factory.connectors.web.access import Access
from factory.connectors.web.paging import Paging
from factory.errors import LineError
from factory.errors.masking import ENVIRONMENT, is_secret_name


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
    """What stands between two fields of a CSV file: one sign, `\\t` for a tab."""
    quote: str = '"'
    """What stands around a field of a CSV file that has separators or lines in it; empty where nothing does."""
    escape: str = ""
    """What stands before a sign of a CSV file that divides nothing, such as the backslash in `"5\\" disk"`."""
    encoding: str = "utf-8"
    """How a text file's signs are written, by Python's name; a byte order mark of UTF-8 is no part of the text."""
    skip_lines: int = 0
    """Lines above the heading."""
    footer: int = 0
    """Records at the end that are none, such as a sum."""
    comment: str = ""
    """What a line of a CSV file begins with that is no record."""
    records: str = ""
    """The key under which the one object of a JSON file or answer has the list of records; `a.b` where it is deeper."""
    access: Access | None = None
    """How a service knows who asks, as factory/connectors/web/access.py reads it."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters that a service is given with each page, such as `sap-client`; one that is a secret as `env:NAME`.

    `{after}` and `{until}` in a value stand for the moments between which rows are wanted, in ISO 8601; where there is
    no such moment, the parameter is left out.
    """
    paging: Paging = field(default_factory=Paging)
    """How a service's pages follow each other, as factory/connectors/web/paging.py reads it."""
    only_site: str = ""
    """The one site of a table that has no column with sites."""
    row_number: str = ""
    """The column to add with a row's number, from 1, for a table that has no key."""

    def __post_init__(self) -> None:
        """Refuse what no CSV file is written with."""
        for name in ("separator", "quote", "escape"):
            sign, may_be_empty = getattr(self, name), name != "separator"
            if not (may_be_empty and not sign) and (len(sign) != 1 or not sign.isascii() or sign in "\r\n\0"):
                raise ValueError(f"{name} {sign!r} is not one ASCII sign, such as ';'")
        for name, other in combinations(("separator", "quote", "escape"), 2):
            if getattr(self, name) and getattr(self, name) == getattr(self, other):
                raise ValueError(f"{name} and {other} are both {getattr(self, name)!r}")
        for name, text in self.query.items():
            if is_secret_name(name) and not text.startswith(ENVIRONMENT):
                raise ValueError(f"query: {name} is a secret by its name: say `{name}: env:VARIABLE`")
        if self.skip_lines < 0 or self.footer < 0:
            raise ValueError("skip_lines and footer are numbers of lines, 0 or more")


LAYOUT = ("separator", "quote", "escape", "encoding", "skip_lines", "footer", "comment", "records")
"""How a file is written: what a look at it finds."""
SERVICE = ("access", "query", "paging")
"""How a service is spoken to: what a person says."""
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


def said_of(section: Any) -> Any:
    """Return a section of a table's arguments as a line's file says it: its kind, and what differs from defaults."""
    if not is_dataclass(section):
        return dict(section) if isinstance(section, Mapping) else section
    said: dict[str, Any] = {}
    for one in fields(section):
        value = getattr(section, one.name)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if one.name == "kind" or value != default:
            said[one.name] = said_of(value)
    return said

"""How the pages of a service follow each other, as the section `paging` of a table says it.

paging: {by: link}                                         # the header `Link` has the next page's address
paging: {by: next, at: links.next}                         # a key of the answer has it
paging: {by: token, at: meta.cursor, parameter: cursor}    # a key has what the next page is asked with
paging: {by: page, parameter: page, first: 1}              # pages are numbered
paging: {by: offset, parameter: offset, size: 500, size_parameter: limit, total: meta.total}
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from factory.errors import SourceError

_PARAMETERS = {"token": "cursor", "page": "page", "offset": "offset"}


@dataclass(frozen=True, kw_only=True)
class Paging:
    """What a service must be asked for the next page, and how many rows it says it has."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    by: Literal["auto", "link", "next", "token", "page", "offset", "keyset", "none"] = "auto"
    """Of OData: `keyset` after the last key, `link` by the service's own links, `offset` by `$skip`. `auto` tries."""
    at: str = ""
    """The key of the answer that has the next page's address or token; `a.b` where it is within another."""
    parameter: str = ""
    """The parameter with the token, the page's number or the offset."""
    first: int = 1
    """The number of the first page."""
    size: int = 0
    """How many rows a page is to have; 0 as many as the service likes."""
    size_parameter: str = ""
    """The parameter with that size."""
    total: str = ""
    """The key of the answer with the number of rows on all pages: as many must come."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        if self.by in ("next", "token") and not self.at:
            raise ValueError(
                f"paging by {self.by}: say in `at` under which key of the answer it is, such as links.next"
            )
        if self.size < 0:
            raise ValueError("paging: size is a number of rows, 0 or more")

    def require(self, ways: Collection[str], what: str) -> None:
        """Raise SourceError where a kind of service has no such way."""
        if self.by not in ways:
            raise SourceError(f"paging: {what} has no pages by {self.by!r}; it has {', '.join(ways)}")

    @property
    def asks_with(self) -> str:
        """The parameter by which the next page is asked for."""
        return self.parameter or _PARAMETERS.get(self.by, "")

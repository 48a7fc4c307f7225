"""Values of a site column in, sites out: `New York` is the site `New_York`, for a site is also a folder and a model."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from factory.errors import SourceError
from factory.names import checked_name

UNKNOWN = "unknown"
"""The site of rows whose site column is empty."""


def site_of(value: str | None, named: Mapping[str, str]) -> str:
    """Return the site of a value: as `named` says, or the value with `_` for each character that a site cannot have."""
    if value is None:
        return UNKNOWN
    if value in named:
        return checked_name(named[value])
    folded = "".join(sign for sign in unicodedata.normalize("NFKD", value) if not unicodedata.combining(sign))
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", folded).lstrip("_-").rstrip("_")[:63]
    return plain or UNKNOWN


def sites_of_values(values: Iterable[str | None], named: Mapping[str, str], table: str) -> dict[str, list[str | None]]:
    """Return each site with its value; raises SourceError where two values would be one site."""
    sites: dict[str, list[str | None]] = {}
    for value in values:
        sites.setdefault(site_of(value, named), []).append(value)
    for site, alike in sites.items():
        if len(alike) > 1:
            shown = ", ".join(sorted(repr(value) for value in alike))
            raise SourceError(
                f"table {table}: the values {shown} of the site column would all be the site {site!r}; "
                "name them apart under `sites` in the source's arguments"
            )
    return sites

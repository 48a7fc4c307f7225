"""The section `site_names` of a table: values of its site column in, sites out.

A site is also a folder, a partition and a model: `New York` is the site `New_York`. What the section does not say is
not done: without `trim` a name with a blank behind it is a second spelling, whose rows wait in quarantine.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import polars as pl

from factory.names import checked_name

UNKNOWN = "unknown"
"""The site of raw rows whose site column is empty or says nothing: no site of the line, they wait in quarantine."""


@dataclass(frozen=True, kw_only=True)
class SiteNames:
    """Which values of the site column are the same site."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    trim: bool = False
    """Whether blanks around a name, and several within it, count for nothing."""
    case: Literal["keep", "upper", "lower"] = "keep"
    """Whether names are read in the letters they come in, or in capital or small ones."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Value of the site column → site: spellings of one site, or a site whose name does not fit."""

    def spelling(self, value: str | None) -> str | None:
        """Return a value as the rule reads it; two values with one spelling are one site."""
        if value is None:
            return None
        if value in self.mapping:
            return self.mapping[value]
        text = " ".join(value.split()) if self.trim else value
        text = {"keep": text, "upper": text.upper(), "lower": text.lower()}[self.case]
        return self.mapping.get(text, text)

    def spelled(self, values: pl.Series) -> pl.Series:
        """Return a column of texts as the rule reads them."""
        if self == SiteNames():
            return values
        spellings = {value: self.spelling(value) for value in values.unique().drop_nulls()}
        return values.replace_strict(spellings, default=None, return_dtype=pl.String)

    def site(self, value: str | None) -> str:
        """Return the site of a value: as `mapping` says, or its spelling with `_` for what a site's name cannot have.

        Raises NameRefused where `mapping` names what cannot be a site.
        """
        spelling = self.spelling(value)
        if spelling is None:
            return UNKNOWN
        if spelling in self.mapping.values():
            return checked_name(spelling)
        folded = "".join(sign for sign in unicodedata.normalize("NFKD", spelling) if not unicodedata.combining(sign))
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", folded).lstrip("_-").rstrip("_")[:63]
        return plain or UNKNOWN

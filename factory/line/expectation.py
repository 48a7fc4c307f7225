"""One expectation, in Great Expectations' own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Severity = Literal["critical", "warning", "info"]
"""What follows where an expectation is broken; of Great Expectations 1.x."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A Great Expectations type with its kwargs; `meta` travels on into the validation result."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    type: str
    """The type, such as `expect_column_values_to_not_be_null`."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Its arguments, by Great Expectations' names."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Words of your own; `name` is what the quarantine calls the rule."""
    severity: Severity = "critical"
    """`critical`: rows that break it go to quarantine, and gates look at it; `warning`, `info`: it is told, no more."""

    @property
    def critical(self) -> bool:
        """Whether rows go to quarantine for it."""
        return self.severity == "critical"

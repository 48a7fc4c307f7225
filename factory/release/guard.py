"""What a model's training saw of each feature, and what the gateway does with a row that lies beyond it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The ranges that a release carries; a feature without one may have any value; an unknown value is inside."""

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By feature: the lowest and the highest value of the training rows, both still inside."""
    typical: Mapping[str, float] = field(default_factory=dict)
    """By feature: the median of the training rows, a value that was seen; what a row's reasons are measured against."""
    outside: Literal["tell", "abstain"] = "tell"
    """A row outside is answered and the answer says so (`tell`), or it is not answered (`abstain`)."""

    def __post_init__(self) -> None:
        """Raise ValueError on a range that is empty or not finite."""
        for feature, (low, high) in self.ranges.items():
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"range [{low}, {high}] of {feature!r}: expected two finite numbers, the lower first")
        for feature, value in self.typical.items():
            if not math.isfinite(value):
                raise ValueError(f"typical value {value} of {feature!r} is not a finite number")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        ranges = {name: list(ends) for name, ends in self.ranges.items()}
        said = {"typical": dict(self.typical)} if self.typical else {}
        return {"ranges": ranges, "outside": self.outside, **said}

"""A check: one thing that a gate asks of a candidate and what was found, as data. Reasons and tables are made from it.

A check is made by `Check.at_least`, `Check.at_most` or `Check.nothing`; only these compare a figure with its limit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Required, TypedDict, Unpack

Figure = float | int | bool | str | None
"""A measured value as JSON can hold it; None where it could not be measured, or is of no meaning."""
Bound = Literal["at_least", "at_most", "nothing"]
"""How the limit binds the figure; `nothing` asks that nothing was found, and has no limit."""
CheckMode = Literal["dry_run", "enabled"]
"""Whether a check whose limit is not kept refuses the candidate, or only reports that it would."""
Unit = Literal["number", "count", "share", "eur"]
"""What a figure counts, for those who write it down."""

_UNITS = {"_eur": "EUR", "_ms": "ms", "_mb": "MB"}


class About(TypedDict, total=False):
    """What a check says beside its figure and limit; see the fields of `Check`."""

    code: Required[str]
    mode: CheckMode
    unit: Unit
    title: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure against one limit, and the sentence against the candidate where the limit is not kept."""

    code: str
    """The gate's name, the same in every version."""
    figure: str
    """The name of the figure that was looked at, as the verdict's figures have it."""
    found: Figure
    """None where it could not be measured: that keeps no limit."""
    limit: float | int | None
    bound: Bound
    kept: bool
    mode: CheckMode = "enabled"
    unit: Unit = "number"
    title: str = ""
    """What is asked, in the words of a table; empty where the figure's name says it."""
    reason: str = ""
    """What speaks against the candidate, in a sentence; empty where the limit is kept."""

    def __post_init__(self) -> None:
        """Raise ValueError on a check that contradicts itself, or whose limit is no number: nothing would break it."""
        what = f"check {self.code} of {self.figure}"
        if (self.limit is None) != (self.bound == "nothing") or not math.isfinite(self.limit or 0):
            raise ValueError(f"{what}: limit {self.limit} does not go with {self.bound!r}; say a finite number")
        if self.kept != _is_within(self.found, self.limit, self.bound):
            raise ValueError(f"{what}: kept={self.kept}, but {self.found} was found, {self.bound} {self.limit}")
        if self.kept == bool(self.reason):
            raise ValueError(f"{what}: kept={self.kept} with the reason {self.reason!r}")

    @classmethod
    def at_least(cls, figure: str, found: Figure, limit: float, *, reason: str = "", **about: Unpack[About]) -> "Check":
        """Return the check of a figure that must reach its limit; `reason` is a sentence better than the usual one."""
        return cls._numeric(figure, found, limit, "at_least", reason, about)

    @classmethod
    def at_most(cls, figure: str, found: Figure, limit: float, *, reason: str = "", **about: Unpack[About]) -> "Check":
        """Return the check of a figure that must not exceed its limit; `reason` as in `at_least`."""
        return cls._numeric(figure, found, limit, "at_most", reason, about)

    @classmethod
    def nothing(cls, figure: str, found: Figure, *, reason: str, **about: Unpack[About]) -> "Check":
        """Return the check of a figure that names what is amiss: None or empty where nothing is."""
        kept = _is_within(found, None, "nothing")
        sentence = "" if kept else reason
        return cls(figure=figure, found=found, limit=None, bound="nothing", kept=kept, reason=sentence, **about)

    @classmethod
    def _numeric(cls, figure: str, found: Figure, limit: float, bound: Bound, reason: str, about: About) -> "Check":
        """Return a check against a number; what is no finite number counts as not measured."""
        number = found if isinstance(found, int | float) and math.isfinite(found) else None
        kept = _is_within(number, limit, bound)
        sentence = "" if kept else reason or _usual_reason(figure, number, limit, bound)
        return cls(figure=figure, found=number, limit=limit, bound=bound, kept=kept, reason=sentence, **about)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Check":
        """Rebuild a check from `asdict`'s answer; raises KeyError or ValueError on anything else."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


def reasons(checks: Iterable[Check], mode: CheckMode = "enabled") -> tuple[str, ...]:
    """Return the sentences of the checks in this mode that were not kept, in their order."""
    return tuple(check.reason for check in checks if check.mode == mode and not check.kept)


def readable(figure: str) -> str:
    """Return a figure's name in words: `value_eur` is value in EUR."""
    for suffix, unit in _UNITS.items():
        if figure.endswith(suffix):
            return f"{figure.removesuffix(suffix).replace('_', ' ')} in {unit}"
    return figure.replace("_", " ")


def _is_within(found: Figure, limit: float | None, bound: Bound) -> bool:
    """Whether a figure keeps its limit; what could not be measured keeps none."""
    if bound == "nothing" or limit is None:
        return not found
    if not isinstance(found, int | float):
        return False
    return found >= limit if bound == "at_least" else found <= limit


def _usual_reason(figure: str, found: float | None, limit: float, bound: Bound) -> str:
    needed = f"{'needs' if bound == 'at_least' else 'limit'} {limit:.4g}"
    if found is None:
        return f"{readable(figure)} could not be measured, {needed}"
    return f"{readable(figure)} is {_distinct(found, limit)}, {needed}"


def _distinct(found: float, limit: float) -> str:
    """Return the value found in four digits, or in as many as tell it from the limit."""
    return f"{found:.4g}" if f"{found:.4g}" != f"{limit:.4g}" else repr(found)

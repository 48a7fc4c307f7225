"""The gates as a table: what was asked, what was found. A verdict's checks in, written rows out."""

from collections.abc import Iterable
from dataclasses import dataclass

from factory.charts.numbers import FORMS, words
from factory.model.check import Check, Unit

FOUND: dict[Unit, str] = {"number": "figure", "count": "whole", "share": "percent", "eur": "eur"}
"""How a figure is written, by what it counts."""
_ASKED: dict[Unit, str] = {"number": "brief", "count": "brief", "share": "percent", "eur": "eur"}
"""A limit is written as the line's file has it: 5 and not 5.000."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One row of the table."""

    what: str
    found: str
    asked: str
    kept: bool
    enforced: bool
    """Whether the candidate is refused where it is not kept; a comparison in a dry run only reports it."""


def limits(checks: Iterable[Check]) -> list[Limit]:
    """Return the rows of the table, in the checks' order."""
    return [
        Limit(
            what=check.title or words(check.figure),
            found=_found(check),
            asked=_asked(check),
            kept=check.kept,
            enforced=check.mode == "enabled",
        )
        for check in checks
    ]


def _found(check: Check) -> str:
    if check.bound == "nothing":
        return str(check.found or "none")
    return FORMS[FOUND[check.unit]](float(check.found) if isinstance(check.found, int | float) else None)


def _asked(check: Check) -> str:
    if check.bound == "nothing":
        return "none"
    return f"{check.bound.replace('_', ' ')} {FORMS[_ASKED[check.unit]](check.limit)}"

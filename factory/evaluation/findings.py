"""A verdict's checks in the forms that others take: rows for a frame or a status, data for an orchestrator's check.

Nothing here knows an orchestrator or compares a figure with a limit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from factory.model.check import Check, reasons


@dataclass(frozen=True, kw_only=True)
class AssetCheck:
    """What an orchestrator shows of some checks beside the asset they are about."""

    passed: bool
    severity: Literal["ERROR", "WARN"]
    """WARN where only checks in a dry run would refuse the candidate."""
    metadata: dict[str, float | int | list[str]]
    """`reasons`, `would_refuse`, and each figure and its limit where they are numbers, so that they can be plotted."""


def asset_check(checks: Sequence[Check]) -> AssetCheck:
    """Return what to show of the checks: of a whole verdict, or of one gate in it."""
    refusing, dry_run = reasons(checks), reasons(checks, "dry_run")
    return AssetCheck(
        passed=not (refusing or dry_run),
        severity="ERROR" if refusing or not dry_run else "WARN",
        metadata={**_numbers(checks), "reasons": list(refusing), "would_refuse": list(dry_run)},
    )


def by_gate(checks: Iterable[Check]) -> dict[str, tuple[Check, ...]]:
    """Return the checks of each gate by its code, in the gates' order."""
    gates: dict[str, tuple[Check, ...]] = {}
    for check in checks:
        gates[check.code] = (*gates.get(check.code, ()), check)
    return gates


def rows(checks: Iterable[Check], **beside: Any) -> list[dict[str, Any]]:
    """Return a row for each check, plain JSON types, with the columns `beside` it, such as the site.

    A column has one type, as a frame wants it: `found` is a number or None, and a finding in words is in `reason`.
    """
    return [{**beside, **asdict(check), "found": _number(check.found)} for check in checks]


def _numbers(checks: Sequence[Check]) -> dict[str, float | int]:
    both: dict[str, float | int | None] = {}
    for check in checks:
        both |= {check.figure: _number(check.found), f"{check.figure}_{check.bound}": check.limit}
    return {name: number for name, number in both.items() if number is not None}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None

"""A contract's result: for each site, each expectation with its success and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from factory.line.expectation import Expectation

EXAMPLES = 20
"""How many unexpected values a result shows at most; Great Expectations' own default."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One expectation judged on one site.

    Row-level ones have counts and examples; table-level ones have `observed`, and `details` where a set differs.
    """

    expectation: Expectation
    name: str
    success: bool
    observed: Any = None
    element_count: int | None = None
    missing_count: int | None = None
    """Rows that the expectation does not judge; None for an expectation about the nulls themselves."""
    unexpected_count: int | None = None
    examples: tuple[Any, ...] = ()
    details: Mapping[str, Any] | None = None

    @property
    def unexpected_percent(self) -> float | None:
        """Unexpected rows per hundred rows judged; None where no row was judged."""
        if self.element_count is None or self.unexpected_count is None:
            return None
        judged = self.element_count - (self.missing_count or 0)
        return 100 * self.unexpected_count / judged if judged else None

    def __str__(self) -> str:
        """Return the finding as a sentence."""
        if self.unexpected_count is None:
            return f"{self.name}: found {self.observed}"
        shown = ", ".join(repr(value) for value in self.examples[:3])
        return f"{self.name}: {self.unexpected_count} of {self.element_count} rows" + (
            f", e.g. {shown}" if shown else ""
        )


@dataclass(frozen=True, kw_only=True)
class ContractResult:
    """The whole contract judged on one site."""

    site: str
    rows: int
    broken: int
    """Rows that broke a row-level expectation for which rows go to quarantine, even where `mostly` lets it pass."""
    success: bool
    """Whether every critical expectation is met."""
    checks: tuple[CheckResult, ...]

    @property
    def share(self) -> float:
        """Clean rows per judged row, 0 to 1; 1 where no row was judged."""
        return 1 - self.broken / self.rows if self.rows else 1.0

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each critical expectation that was not met."""
        return tuple(str(check) for check in self._unmet if check.expectation.critical)

    @property
    def table_failures(self) -> tuple[str, ...]:
        """Of the failures, those about the whole table, for which no row can be blamed."""
        blameless = (check for check in self._unmet if check.unexpected_count is None)
        return tuple(str(check) for check in blameless if check.expectation.critical)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each other expectation that was not met: they are told, and nothing follows."""
        return tuple(
            f"{check} ({check.expectation.severity})" for check in self._unmet if not check.expectation.critical
        )

    @property
    def _unmet(self) -> tuple[CheckResult, ...]:
        return tuple(check for check in self.checks if not check.success)

"""The section `gates` of a line's file: what a candidate must reach before a site may serve it."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from factory.errors import LineError

Mode = Literal["disabled", "dry_run", "enabled"]
ALIKE = ("auto", "entity", "row")
PERIOD = re.compile(r"[1-9]\d*(m|h|d|w|mo)")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How sure we must be that the candidate is better than another model on the same rows.

    The certainty that the candidate's headline figure is better than the other's by more than `min_absolute_change`, by
    what the holdout's witnesses show of both, must reach `min_probability`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    mode: Mode = "enabled"
    """Whether a shortfall refuses, only shows in the figure `would_refuse`, or nothing is compared at all."""
    min_absolute_change: float = 0.0
    """By how much the candidate's headline figure must be better, in the figure's own units."""
    min_probability: float = 0.5
    """How sure it must be, 0 to 1."""

    def __post_init__(self) -> None:
        """Raise LineError on an unknown mode: a misspelling must not let a candidate through."""
        _require_mode(self.mode)
        for name in ("min_absolute_change", "min_probability"):
            _require_finite(getattr(self, name), name)

    @property
    def margin(self) -> float | None:
        """By how much the headline must be exceeded; None where nothing is compared."""
        return None if self.mode == "disabled" else self.min_absolute_change


USUAL_CERTAINTY = 0.95
"""How sure a candidate must be to beat what needs no model, where a line's file says nothing: the lower end of an
interval that leaves one case in twenty outside, on that side."""


@dataclass(frozen=True, kw_only=True)
class AgainstConstant:
    """How sure we must be that the candidate beats the best that needs no model, in money and in loss.

    In money it must beat each constant decision: never and always acting; a person for every row and always the
    commonest class; the best one number. In loss it must beat the best constant answer: base rate, class shares, mean.
    Each must be so with the certainty `min_probability`. A verdict tells of a line that asks for less than
    this.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    mode: Mode = "enabled"
    """Whether a shortfall refuses, only shows in the figure `would_refuse`, or is not asked for at all."""
    min_probability: float = USUAL_CERTAINTY
    """How sure it must be to be better, 0 to 1."""

    def __post_init__(self) -> None:
        """Raise LineError on an unknown mode, and on a share that no candidate could miss or reach by its meaning."""
        _require_mode(self.mode)
        if not 0 < self.min_probability < 1:
            raise LineError(
                f"min_probability {self.min_probability} is not between 0 and 1; to ask for nothing, say "
                "`mode: disabled`",
                at=("min_probability",),
            )

    @property
    def asks_less(self) -> str | None:
        """What a reader of the verdict must know: in how far the line asks for less than is usual; None where not."""
        usual = f"the usual certainty is {USUAL_CERTAINTY:.0%}"
        if self.mode != "enabled":
            what = "is only told of" if self.mode == "dry_run" else "is not asked for"
            return f"to be better than the best constant decision {what} by this line; {usual}"
        if self.min_probability < USUAL_CERTAINTY:
            return (
                f"this line asks to be better than the best constant decision with certainty "
                f"{self.min_probability:.1%} only; {usual}"
            )
        return None


@dataclass(frozen=True, kw_only=True)
class Gates:
    """The bar of one line."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    min_rows: int
    """Witnesses in the holdout that a candidate must have been judged on: rows that are alike count as one, as `alike`
    says."""
    alike: str | tuple[str, ...] = "auto"
    """Which rows are alike and so one witness: `entity`, a period of time such as `1d` or `6h`, names of columns, or
    `row` where each stands for itself. `auto`: the line's entity or the day, whichever leaves fewer witnesses, and
    groups of near-duplicate rows where a line has neither."""
    min_contract_share: float
    """The share of a site's rows that must keep the contract."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """Limits below which a figure of the holdout must not be: the task's figures, the line's own, `value_eur`."""
    at_most: Mapping[str, float] = field(default_factory=dict)
    """Limits above which a figure of the holdout must not be."""
    against_constant: AgainstConstant = field(default_factory=AgainstConstant)
    """How sure we must be that the candidate is better than what can be decided without a model."""
    against_baseline: Comparison
    """How sure we must be that the candidate is better than the plain baseline."""
    against_champion: Comparison
    """How sure we must be that the candidate is better than what the site serves."""
    max_probability_of_loss: float = 0.95
    """The candidate is refused when the champion earns more than it with a larger certainty than this.

    The mode of `against_champion` applies here, too.
    """
    max_parity_error: float = 1e-4
    """How far the served file's answers may lie from the trained network's."""
    max_latency_ms: float = 5.0
    """How long the answer to one row may take."""
    max_size_mb: float = 20.0
    """How large the served file may be."""
    approval: Literal["none", "required"] = "none"
    """Whether a person must approve a candidate that passed before its promotion: `factory approve SITE VERSION`."""
    promotion: Literal["direct", "shadow", "canary"] = "direct"
    """A candidate that passed replaces the champion, or is on trial beside it until `factory trial promote SITE`."""
    canary_share: float = 0.1
    """The share of requests that a canary answers."""

    def __post_init__(self) -> None:
        """Raise LineError on a share outside (0, 1], and on a limit that is not finite: no figure would exceed it."""
        for limit, *name in self._limits():
            _require_finite(limit, *name)
        if isinstance(self.alike, str) and self.alike not in ALIKE and not PERIOD.fullmatch(self.alike):
            raise LineError(
                f"alike: {self.alike!r} is not one of {', '.join(ALIKE)}, no period of time such as `1d` or `6h`, and "
                "no list of columns such as `[experiment]`",
                at=("alike",),
            )
        if not 0.0 < self.canary_share <= 1.0:
            raise LineError(f"canary_share {self.canary_share} is not above 0 and at most 1", at=("canary_share",))

    def _limits(self) -> Iterator[tuple[Any, ...]]:
        names = ("min_contract_share", "max_probability_of_loss", "max_parity_error", "max_latency_ms", "max_size_mb")
        yield from ((getattr(self, name), name) for name in ("min_rows", *names))
        yield from ((limit, "at_least", name) for name, limit in self.at_least.items())
        yield from ((limit, "at_most", name) for name, limit in self.at_most.items())

    @property
    def approval_required(self) -> bool:
        """Whether a person must approve a candidate before its promotion."""
        return self.approval == "required"


def _require_mode(mode: str) -> None:
    if mode not in get_args(Mode):
        raise LineError(f"mode {mode!r} is not one of {', '.join(get_args(Mode))}", at=("mode",))


def _require_finite(limit: float, *name: str) -> None:
    if not math.isfinite(limit):
        raise LineError(
            f"{': '.join(name)}: {limit} is not a finite number; for no limit, write a large number", at=name
        )

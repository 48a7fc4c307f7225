"""What each policy earned and paid, period by period.

Value is what decisions were worth above each site's best constant decision, by outcomes known at the end of the
backtest. A retraining is paid for in the period that it serves, by the line's `costs`. The first models are the same
for all policies and cost nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

POLICIES = ("never", "blind", "factory")


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """One retraining of the line: the site models it made, the seconds it took, and what it cost."""

    site_models: int
    seconds: float
    cost_eur: float


@dataclass(frozen=True, kw_only=True)
class Period:
    """One period under one policy."""

    value_eur: float
    retrainings: tuple[Retraining, ...] = ()

    @property
    def cost_eur(self) -> float:
        """What its retrainings cost together."""
        return sum(retraining.cost_eur for retraining in self.retrainings)

    @property
    def net_eur(self) -> float:
        """Value less cost."""
        return self.value_eur - self.cost_eur


@dataclass(frozen=True, kw_only=True)
class Step:
    """One period under every policy, and what the factory did at its beginning."""

    begin: datetime
    end: datetime
    decisions: int
    periods: Mapping[str, Period]
    events: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Sites by event: `drifted`, `released`, `refused`."""


def summed(periods: Sequence[Period]) -> dict[str, Any]:
    """Return several periods of a policy as one, in plain JSON types."""
    retrainings = [retraining for period in periods for retraining in period.retrainings]
    return {
        "net_eur": round(sum(period.net_eur for period in periods), 2),
        "value_eur": round(sum(period.value_eur for period in periods), 2),
        "cost_eur": round(sum(period.cost_eur for period in periods), 2),
        "retrainings": len(retrainings),
        "site_models": sum(retraining.site_models for retraining in retrainings),
        "seconds": round(sum(retraining.seconds for retraining in retrainings), 1),
    }


def report(line: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the whole of it: `{"line", "months": [{"from", "to", "decisions", <policy>: {…}, …}], "total": {…}}`."""
    return {
        "line": line,
        "months": [
            {
                "from": f"{step.begin:%Y-%m-%d}",
                "to": f"{step.end:%Y-%m-%d}",
                "decisions": step.decisions,
                **{policy: summed([step.periods[policy]]) for policy in POLICIES},
                **{name: sorted(sites) for name, sites in step.events.items()},
            }
            for step in steps
        ],
        "total": {policy: summed([step.periods[policy] for step in steps]) for policy in POLICIES},
    }

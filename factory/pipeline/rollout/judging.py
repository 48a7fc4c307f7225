"""Whether a wave goes on: what became of each site's candidate in, every reason against going on out.

A wave is judged twice: before its turn by the figures that its verdicts hold, so that a candidate with bad
figures never serves, and afterwards by its releases.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["takes", "serves", "refused", "failed", "held"]
"""takes: it passed and may be released. serves: it is served already. held: it passed and people hold the site."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one site's candidate; figures are of the holdout, on the same rows for both models."""

    site: str
    kind: Kind
    why: str = ""
    """Why it is refused, failed or held."""
    counted: bool
    """Whether it counts against the limit: it served before, or is in the first wave."""
    replaces: bool = False
    """Whether it takes the place of a model that is served."""
    digest: str = ""
    version: int = 0
    headline: str = ""
    figure: float | None = None
    champion_figure: float | None = None
    value_eur: float | None = None
    champion_value_eur: float | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a wave must keep to go on."""

    max_refused: float = 0.25
    """Largest share of counted sites whose candidate was refused or failed."""
    min_value_change_eur: float = 0.0
    """What the candidates must earn on the holdout, at least, above the champions they replace, all sites together."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a wave does not go on; `site` is "" for the whole wave."""

    site: str
    figure: str
    found: float | str | None
    limit: float | str
    says: str


def reasons_against(outcomes: Sequence[Outcome], limits: Limits) -> tuple[Reason, ...]:
    """Return every reason not to go on; none means that the wave may."""
    return (*_too_many_refused(outcomes, limits), *_nobody_takes_it(outcomes), *_earns_less(outcomes, limits))


def value_change_eur(outcomes: Sequence[Outcome]) -> float | None:
    """Return by how much the candidates earn more than the champions they replace, to the cent; None without one."""
    changes = [
        outcome.value_eur - outcome.champion_value_eur
        for outcome in _replacing(outcomes)
        if outcome.value_eur is not None and outcome.champion_value_eur is not None
    ]
    return round(math.fsum(changes), 2) if changes else None


def _too_many_refused(outcomes: Sequence[Outcome], limits: Limits) -> Iterator[Reason]:
    counted = [outcome for outcome in outcomes if outcome.counted]
    against = [outcome.site for outcome in counted if outcome.kind in ("refused", "failed")]
    share = len(against) / len(counted) if counted else 0.0
    if share > limits.max_refused:
        says = (
            f"{len(against)} of {len(counted)} sites, {share:.1%}, were refused or failed: {', '.join(against)}; "
            f"the limit is {limits.max_refused:.1%}"
        )
        yield Reason(site="", figure="refused_share", found=share, limit=limits.max_refused, says=says)


def _nobody_takes_it(outcomes: Sequence[Outcome]) -> Iterator[Reason]:
    counted = [outcome for outcome in outcomes if outcome.counted]
    if counted and not any(outcome.kind in ("takes", "serves") for outcome in outcomes):
        says = "no site takes the change, so there is nothing to go on by; needs 1"
        yield Reason(site="", figure="takers", found=0, limit=1, says=says)


def _earns_less(outcomes: Sequence[Outcome], limits: Limits) -> Iterator[Reason]:
    limit = limits.min_value_change_eur
    for outcome in _replacing(outcomes):
        if outcome.value_eur is None or outcome.champion_value_eur is None:
            says = f"{outcome.site}: its value could not be compared with what it replaces, needs {limit:+,.0f} EUR"
            yield Reason(site=outcome.site, figure="value_change_eur", found=None, limit=limit, says=says)
    change = value_change_eur(outcomes)
    if change is not None and change < limit:
        says = f"the wave earns {change:+,.2f} EUR against what it replaces, needs {limit:+,.2f}"
        yield Reason(site="", figure="value_change_eur", found=change, limit=limit, says=says)


def _replacing(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.kind == "takes" and outcome.replaces]

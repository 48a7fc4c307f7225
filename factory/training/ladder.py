"""The choice among the rungs of a site's ladder, on validation rows alone. Answers and costs in, one rung out.

Few rows of one site say little about which of several good models is best there. So the rows of all sites count as so
many more of the site's own; and of the mixtures whose loss cannot be told from the least one, the most even is taken:
weights that were fitted to chance do worse than equal ones (Smith & Wallis, 2009), all the more as the network was
stopped and calibrated on these very rows. A rung that costs more than a cheaper one is refused where what it earns
more does not pay for that within the line's horizon, even if it earns a standard error more than it seems.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factory.tasks import Task
from factory.tasks.plain import Rows
from factory.tasks.task import Floats, Value
from factory.training.blend import Weights, blended, mixtures

Shares = tuple[tuple[str, float], ...]
POOLED_ROWS = 1000
"""As how many rows of the site the pooled ones count: so many tell a site that is unlike the others."""
STANDARD_ERRORS = 2.0
"""Losses that are no further apart than this cannot be told apart."""
MAX_ROWS = 20_000
"""More pooled rows than these make the choice slower and no better."""
NETWORK = "network"
BLEND = "blend"


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Validation rows: labels, all known, and what each member answered to them before it learnt from them."""

    label: Floats
    answers: Mapping[str, Rows]
    _losses: dict[Shares, Floats] = field(default_factory=dict, repr=False)
    _values: dict[Shares, Floats] = field(default_factory=dict, repr=False)

    def losses(self, weights: Weights, terms: "Terms") -> Floats:
        """Return what a mixture loses in each row; the rows of all sites are asked once for all of them."""
        return _kept(self._losses, weights, lambda: terms.task.row_losses(self.label, blended(self.answers, weights)))

    def values_eur(self, weights: Weights, terms: "Terms") -> Floats:
        """Return what each decision of a mixture is worth above the best constant one, at its best threshold."""

        def valued() -> Floats:
            answer, constant = blended(self.answers, weights), terms.task.without_model(self.label, terms.value)
            threshold = terms.task.best_threshold(self.label, answer, terms.value)
            return terms.task.row_values_eur(self.label, answer, threshold, terms.value, constant)

        return _kept(self._values, weights, valued)

    def some(self, most: int, seed: int) -> "Judged":
        """Return at most so many rows, drawn by chance."""
        if len(self.label) <= most:
            return self
        drawn = np.sort(np.random.default_rng(seed).choice(len(self.label), most, replace=False))
        return Judged(label=self.label[drawn], answers={name: rows[drawn] for name, rows in self.answers.items()})


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One rung at a site: which members it is made of, and what it is worth and costs."""

    name: str
    weights: Weights
    loss: float
    """Mean validation loss, the site's rows and the pooled ones together."""
    value_per_decision_eur: float
    """On the same rows, at the threshold that is worth most there."""
    training_s: float
    serving_s: float
    """Of a thousand answers."""
    cost_eur: float
    """Of training and serving within the horizon."""
    row_values: Floats
    """What each decision was worth, `[own + pooled rows]`."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a site's choice depends on beside its rows."""

    task: Task
    value: Value
    decisions: float
    """How many decisions the horizon has at the site."""
    second_eur: float
    """What a second of computing costs."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a member takes, in processor seconds: the site's share of its training, and a thousand answers."""

    training_s: float
    serving_s: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The rung that a site's candidate is, every rung that was tried, cheapest first, and why in a sentence."""

    chosen: Rung
    rungs: Sequence[Rung]
    why: str


class Ladder:
    """One site's rungs, weighed on its own validation rows and on the pooled ones."""

    def __init__(
        self,
        own: Judged,
        pooled: Judged,
        costs: Mapping[str, Cost],
        terms: Terms,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`names` are what people call members at this site, where that is not their own name."""
        self.own, self.pooled, self.costs, self.terms, self.names = own, pooled, costs, terms, names or {}
        few, many = len(own.label), len(pooled.label)
        shared = POOLED_ROWS / (few + POOLED_ROWS)
        self.weight = np.concatenate([np.full(few, (1 - shared) / max(few, 1)), np.full(many, shared / max(many, 1))])

    def choice(self, singles: Sequence[str], *, blend: bool) -> Choice:
        """Return the choice among members alone and, with `blend`, their best mixture."""
        rungs = [self._rung(self.names.get(name, name), {name: 1.0}) for name in singles]
        if blend and len(singles) > 1 and len(weights := self._even_mixture(singles)) > 1:
            rungs.append(self._rung(BLEND, weights))
            best = rungs[-1]
        else:
            best = min(rungs, key=lambda rung: rung.loss)
        rungs.sort(key=lambda rung: rung.cost_eur)
        chosen = next((rung for rung in rungs if self._is_enough(rung, best)), best)
        return Choice(chosen=chosen, rungs=rungs, why=self._why(chosen, best, rungs))

    def _even_mixture(self, members: Sequence[str]) -> Weights:
        """Return the most even of the mixtures whose loss cannot be told from the least."""
        tried = mixtures(members)
        losses = np.array([self._losses(weights) for weights in tried])
        means = losses @ self.weight
        excess = losses - losses[int(np.argmin(means))]
        above = excess @ self.weight
        error = np.sqrt(np.square(excess - above[:, None]) @ np.square(self.weight))
        near = [number for number in range(len(tried)) if above[number] <= STANDARD_ERRORS * error[number]]
        return tried[min(near, key=lambda number: (-_evenness(tried[number]), means[number]))]

    def _is_enough(self, cheaper: Rung, best: Rung) -> bool:
        """Whether what the best rung earns more than a cheaper one, with a standard error in favour, does not pay."""
        if cheaper.cost_eur >= best.cost_eur:
            return False
        extra = best.row_values - cheaper.row_values
        mean = float(extra @ self.weight)
        error = math.sqrt(float(np.square(extra - mean) @ np.square(self.weight)))
        return (mean + error) * self.terms.decisions < best.cost_eur - cheaper.cost_eur

    def _rung(self, name: str, weights: Weights) -> Rung:
        values = np.concatenate([rows.values_eur(weights, self.terms) for rows in (self.own, self.pooled)])
        training_s, serving_s = (
            sum(getattr(self.costs[member], what) for member in weights) for what in ("training_s", "serving_s")
        )
        seconds = training_s + serving_s / 1000 * self.terms.decisions
        return Rung(
            name=name,
            weights=weights,
            loss=float(self._losses(weights) @ self.weight),
            value_per_decision_eur=float(values @ self.weight),
            training_s=training_s,
            serving_s=serving_s,
            cost_eur=seconds * self.terms.second_eur,
            row_values=values,
        )

    def _why(self, chosen: Rung, best: Rung, rungs: Sequence[Rung]) -> str:
        parts = " + ".join(f"{share:.1f} {self.names.get(name, name)}" for name, share in chosen.weights.items())
        what = f"{chosen.name} ({parts})" if len(chosen.weights) > 1 else chosen.name
        if chosen is not best:
            return (
                f"{what}: what the {best.name} earns more does not pay for its extra cost of "
                f"{best.cost_eur - chosen.cost_eur:.2f} EUR within the horizon"
            )
        others = ", ".join(f"{rung.name} {rung.loss:.4f}" for rung in rungs if rung is not chosen)
        return f"{what}: validation loss {chosen.loss:.4f}" + (f"; {others}" if others else "")

    def _losses(self, weights: Weights) -> Floats:
        return np.concatenate([rows.losses(weights, self.terms) for rows in (self.own, self.pooled)])


def _kept(known: dict[Shares, Floats], weights: Weights, computed: Callable[[], Floats]) -> Floats:
    shares = tuple(sorted(weights.items()))
    if shares not in known:
        known[shares] = computed()
    return known[shares]


def _evenness(weights: Weights) -> float:
    """Return the entropy of the weights, rounded so that equal ones are equal."""
    return round(-sum(share * math.log(share) for share in weights.values()), 9)

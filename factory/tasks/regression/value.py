"""Money of an estimate: what acting too high or too low costs, and the margin to act by.

What is acted on is the estimate less a margin. Its worth is counted above the best that can be done without a model:
acting on one and the same number every time. What it is worth on average nobody can say from a model's answer, for that
has an estimate and an interval, and no chances of the outcomes that cost: so there are no `Payoff`.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from factory.errors import LineError
from factory.tasks.task import Value

Floats = npt.NDArray[np.floating[Any]]

_CANDIDATES = 200
"""At most so many numbers are tried as margin, or as what to act on without a model: quantiles of what is known."""
_ROUNDING = 1e-6
"""Too high by no more than this share is the rounding of single precision, and no failure."""


@dataclass(frozen=True, kw_only=True)
class RegressionValue(Value):
    """What one decision costs, in EUR, from the line's definition; all amounts are 0 or less."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    under_unit_eur: float
    """For each unit that was acted on too low: a cycle of life thrown away, a piece not sold."""
    over_unit_eur: float
    """For each unit that was acted on too high: a piece left over."""
    over_eur: float = 0.0
    """Once, when it was too high at all: an unplanned failure."""

    def __post_init__(self) -> None:
        """Raise LineError where an error would earn something, or an error to one side costs nothing."""
        amounts = (self.under_unit_eur, self.over_unit_eur, self.over_eur)
        if not all(math.isfinite(amount) and amount <= 0 for amount in amounts):
            raise LineError(f"value: what an error costs is 0 EUR or less, found {amounts}")
        if not self.under_unit_eur or not (self.over_unit_eur or self.over_eur):
            raise LineError("value: an error to each side must cost something, or acting always that way is best")


def cost_eur(label: Floats, acted: Floats | float, value: RegressionValue) -> npt.NDArray[np.float64]:
    """Return what acting on these numbers costs against knowing the outcome, in EUR, 0 or less; float64 [rows]."""
    over = np.asarray(acted, np.float64) - label.astype(np.float64)
    too_high = value.over_eur + value.over_unit_eur * over
    failed = over > _ROUNDING * (1 + np.abs(label))
    return np.where(failed, too_high, -value.under_unit_eur * np.minimum(over, 0.0))


def best_constant(label: Floats, value: RegressionValue) -> float:
    """Return the one number that, acted on every time, costs least; 0 where no label is known."""
    known = label[np.isfinite(label)]
    return _cheapest(known, lambda acted: cost_eur(known, acted, value)) if known.size else 0.0


def best_margin(label: Floats, estimate: Floats, value: RegressionValue) -> float:
    """Return what to take off the estimate so that acting on it costs least; 0 without rows or finite estimates."""
    if not len(label) or not np.isfinite(estimate).all():
        return 0.0
    exact = estimate.astype(np.float64)
    return _cheapest(exact - label, lambda margin: cost_eur(label, exact - margin, value))


def _cheapest(known: Floats, cost: Any) -> float:
    """Return the number that costs least, of 0 and what is known; of equally cheap ones the smallest."""
    exact = known.astype(np.float64)
    if len(exact) > _CANDIDATES:
        exact = np.quantile(exact, np.linspace(0, 1, _CANDIDATES), method="inverted_cdf")
    tried = np.unique([0.0, *exact])
    return float(tried[int(np.argmax([cost(number).sum() for number in tried]))])

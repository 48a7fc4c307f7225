"""Money of a choice among classes: decided at once where it is sure enough, handed to a person where it is not."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from factory.errors import LineError
from factory.model.payoff import Payoff
from factory.tasks.task import Value

Floats = npt.NDArray[np.floating[Any]]

MIN_ROWS = 200
"""A validation window with fewer rows says less about the threshold than the money does."""
NEVER = 2.0
"""A threshold that no probability reaches: every row goes to a person."""


@dataclass(frozen=True, kw_only=True)
class MulticlassValue(Value):
    """What one decision is worth above handing the row to a person, in EUR, from the line's definition."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    right_eur: float
    """A class decided rightly, above handing the row to a person; above 0."""
    wrong_eur: float
    """A class decided wrongly; 0 or less."""

    def __post_init__(self) -> None:
        """Raise LineError where deciding could never pay, or could never cost."""
        if not (math.isfinite(self.right_eur) and math.isfinite(self.wrong_eur)):
            raise LineError(f"value: right and wrong must be numbers, not {(self.right_eur, self.wrong_eur)}")
        if self.right_eur <= 0 or self.wrong_eur > 0:
            raise LineError(
                f"value: right_eur {self.right_eur:g} must be above 0 and wrong_eur {self.wrong_eur:g} 0 or less"
            )

    @property
    def stakes(self) -> Payoff:
        """What a class decided on is worth above handing the row to a person."""
        return Payoff(right_eur=self.right_eur, wrong_eur=self.wrong_eur)


def row_values_eur(label: Floats, answer: Floats, threshold: float, value: MulticlassValue) -> npt.NDArray[np.float64]:
    """Return what each decision is worth above handing it to a person; what is below the threshold is handed over."""
    decided = answer.max(axis=1) >= threshold
    return value.stakes.worth_eur(answer.argmax(axis=1) == label, decided)


def best_threshold(label: Floats, answer: Floats, value: MulticlassValue) -> float:
    """Return the certainty from which deciding is worth most on a validation window.

    Small windows, or a probability that is not a number, are answered by the money alone: deciding with certainty p is
    worth p · right + (1 - p) · wrong, which is 0 at p* = -wrong / (right - wrong).
    """
    if len(label) < MIN_ROWS or not np.isfinite(answer).all():
        return -value.wrong_eur / (value.right_eur - value.wrong_eur)
    sure = answer.max(axis=1).astype(np.float64)
    distinct, place = np.unique(-sure, return_inverse=True)
    worth = np.cumsum(np.bincount(place, weights=row_values_eur(label, answer, 0.0, value), minlength=len(distinct)))
    best = int(np.argmax(worth))
    return -float(distinct[best]) if worth[best] > 0 else NEVER

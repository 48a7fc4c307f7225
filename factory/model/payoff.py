"""What a right and a wrong decision are worth, and a decision's worth on average; gates and gateway both use this."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Chance = TypeVar("Chance", float, npt.NDArray[np.float64])


@dataclass(frozen=True, kw_only=True)
class Payoff:
    """What a decision that can be right or wrong is worth, in EUR, above doing nothing of oneself.

    Binary: an alarm on a positive, or on a negative. Multiclass: the right class, or another one.
    """

    right_eur: float
    wrong_eur: float

    def __post_init__(self) -> None:
        """Raise ValueError where deciding could never pay, or could never cost."""
        if not (
            math.isfinite(self.right_eur) and math.isfinite(self.wrong_eur) and self.wrong_eur <= 0 < self.right_eur
        ):
            raise ValueError(f"payoff {self.right_eur} and {self.wrong_eur}: right must be above 0, wrong 0 or less")

    def expected_eur(self, chance: Chance) -> Chance:
        """Return what a decision is worth on average that is right with this chance.

        With an outcome that is known the chance is 0 or 1, and it is what the decision was worth.
        """
        return chance * self.right_eur + (1.0 - chance) * self.wrong_eur

    def worth_eur(self, right: Bools, decided: Bools) -> npt.NDArray[np.float64]:
        """Return what each decision was worth; 0 where none was made."""
        return np.where(decided, self.expected_eur(right.astype(np.float64)), 0.0)

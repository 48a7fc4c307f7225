"""What is at stake in one decision, and what it is worth on average; gates and gateway compute with the same."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Stakes:
    """What a decision that can be right or wrong is worth, in EUR, above leaving it to whoever decides without a model.

    Binary: an alarm on a positive, or on a negative. Multiclass: the right class, or another one.
    """

    right_eur: float
    wrong_eur: float

    def __post_init__(self) -> None:
        """Raise ValueError where deciding could never pay, or could never cost."""
        if not (
            math.isfinite(self.right_eur) and math.isfinite(self.wrong_eur) and self.wrong_eur <= 0 < self.right_eur
        ):
            raise ValueError(f"stakes {self.right_eur} and {self.wrong_eur}: right must be above 0, wrong 0 or less")

    def worth_eur(self, chance: npt.ArrayLike, decides: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return what each decision is worth on average when it is right with this chance; 0 where none is made.

        With an outcome that is known the chance is 0 or 1, and it is what the decision was worth.
        """
        right: npt.NDArray[np.floating[Any]] = np.asarray(chance, np.float64)
        return np.where(decides, right * self.right_eur + (1.0 - right) * self.wrong_eur, 0.0)

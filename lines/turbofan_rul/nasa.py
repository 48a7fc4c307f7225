"""The score of the 2008 prognostics challenge: late estimates weigh more than early ones."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

_EARLY, _LATE = 13.0, 10.0


def nasa_score(label: Floats, answer: Floats) -> float:
    """Return the sum over engines of exp(-d / 13) - 1 where the estimate is d cycles early, exp(d / 10) - 1 where late.

    Saxena, Goebel, Simon & Eklund (2008), "Damage propagation modeling for aircraft engine run-to-failure simulation".
    Labels are cycles `[engines]`, answers `[engines, 3]` with the estimate first. Lower is better; 0 is perfect.
    """
    late = answer[:, 0].astype(np.float64) - label
    with np.errstate(over="ignore"):
        penalty = np.where(late < 0, np.expm1(-late / _EARLY), np.expm1(late / _LATE))
    return float(penalty.sum()) if len(penalty) else float("nan")

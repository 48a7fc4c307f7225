"""Curves that several tasks draw: shares by tenths of the rows, and what each threshold is worth."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from factory.charts.numbers import eur
from factory.charts.pictures import Series
from factory.tasks.holdout import ROLES, Holdout
from factory.tasks.task import Floats

SHOWN = ("candidate", "baseline")
"""The models whose curves are drawn; more curves could not be distinguished."""
BINS = 10
ACROSS = 120
"""Points of a curve."""


def tenths(hit: npt.NDArray[np.bool_], chance: Floats) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean chance, share of hits and its interval (Wilson, 1927) of tenths of the rows by their chance."""
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, min(BINS, max(1, len(order) // 5))) if len(part)]
    promised = np.array([chance[part].mean() for part in parts], np.float64)
    seen = np.array([hit[part].mean() for part in parts], np.float64)
    rows = np.array([len(part) for part in parts], np.float64)
    return promised, *wilson(seen, rows)


def wilson(share: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return shares and where they lie in 95 % of such samples: low and high (Wilson, 1927)."""
    z = 1.96
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return share, np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def worth_curves(holdout: Holdout, tried: Callable[[Floats], Floats]) -> list[Series]:
    """Return what candidate and baseline, where there is one, are worth at the thresholds tried of their answers."""
    shown = [role for role in SHOWN if role in holdout.models]
    return [worth_curve(holdout, role, tried(holdout.models[role].answer)) for role in shown]


def worth_curve(holdout: Holdout, role: str, thresholds: Floats) -> Series:
    """Return a model's worth at each threshold, from the lowest."""
    tried = np.sort(thresholds)
    worth = np.array([holdout.worth(role, float(threshold)) for threshold in tried])
    return Series(name=ROLES[role], x=tried, y=worth, accent=role == "candidate")


def with_hindsight(holdout: Holdout, curve: Series) -> str:
    """Return in words what the chosen threshold earned, and what the best would have."""
    earned = holdout.worth("candidate", holdout.candidate.threshold)
    best = float(curve.y.max(initial=earned))
    chosen = f"Chosen before the holdout was seen: {eur(earned)}."
    return (
        f"{chosen} With hindsight {eur(best)} were possible." if best > earned else f"{chosen} No better was possible."
    )

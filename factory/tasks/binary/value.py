"""Money: what a line's decisions are worth above raising no alarm, and the threshold that makes the most of them."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from factory.errors import LineError
from factory.model.payoff import Payoff
from factory.tasks.task import Value

Floats = npt.NDArray[np.floating[Any]]
Alarms = npt.NDArray[np.bool_]

MIN_ROWS = 200
MIN_POSITIVES = 20
"""A validation window with fewer rows or positives than these says less about the threshold than the money does."""

NEVER = 2.0
"""A threshold that no probability reaches: the line earns most by raising no alarm."""


@dataclass(frozen=True, kw_only=True)
class BinaryValue(Value):
    """What one decision is worth, in EUR, from the line's definition."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    caught_eur: float
    """A case foreseen: what is saved, less what acting costs."""
    missed_eur: float
    """A case not foreseen; below `caught_eur`."""
    false_alarm_eur: float
    """Acted upon in vain; 0 or less."""

    def __post_init__(self) -> None:
        """Raise LineError where no decision could ever pay, or a false alarm would."""
        amounts = (self.caught_eur, self.missed_eur, self.false_alarm_eur)
        if not all(math.isfinite(amount) for amount in amounts):
            raise LineError(f"value: caught, missed and false alarm must be numbers, not {amounts}")
        if self.caught_eur <= self.missed_eur:
            raise LineError(
                f"value: caught_eur {self.caught_eur:g} must exceed missed_eur {self.missed_eur:g} for an alarm to pay",
                at=("caught_eur",),
            )
        if self.false_alarm_eur > 0:
            raise LineError(
                f"value: false_alarm_eur {self.false_alarm_eur:g} must be 0 or less; a false alarm earns nothing",
                at=("false_alarm_eur",),
            )

    @property
    def gain_eur(self) -> float:
        """What catching one positive is worth above missing it."""
        return self.caught_eur - self.missed_eur

    @property
    def stakes(self) -> Payoff:
        """What an alarm is worth above raising none."""
        return Payoff(right_eur=self.gain_eur, wrong_eur=self.false_alarm_eur)


def row_values_eur(label: Floats, alarm: Alarms, value: BinaryValue) -> npt.NDArray[np.float64]:
    """Return what each decision is worth above deciding nothing, in EUR; float64 [rows].

    Deciding nothing misses every positive, so an alarm gains `caught - missed` on a positive and `false_alarm` on a
    negative; no alarm gains nothing.
    """
    return value.stakes.worth_eur(label > 0, alarm)


def value_eur(label: Floats, alarm: Alarms, value: BinaryValue) -> float:
    """Return what the decisions are worth together above deciding nothing, in EUR."""
    return float(row_values_eur(label, alarm, value).sum())


def break_even(value: BinaryValue) -> float:
    """Return the probability from which an alarm pays, from the money alone.

    An alarm at probability p is worth p · (caught - missed) + (1 - p) · false_alarm, which is zero at
    p* = -false_alarm / (caught - missed - false_alarm) and grows with p. For a calibrated model no threshold is better.
    """
    return max(0.0, -value.false_alarm_eur) / (value.gain_eur - value.false_alarm_eur)


def best_threshold(label: Floats, probability: Floats, value: BinaryValue) -> float:
    """Return the threshold that is worth most on a validation window; decisions are `probability >= threshold`.

    Windows under 200 rows or 20 positives, or with a probability that is not a number, are answered by `break_even`.
    Of thresholds worth the same, the one with fewest alarms wins; where no alarm pays, it is NEVER.
    """
    enough = len(label) >= MIN_ROWS and int((label > 0).sum()) >= MIN_POSITIVES
    if not enough or not np.isfinite(probability).all():
        return break_even(value)
    return _optimum(label, probability.astype(np.float64), value)


def _optimum(label: Floats, probability: npt.NDArray[np.float64], value: BinaryValue) -> float:
    """Return the threshold that is worth most: halfway to the next lower probability, so that rounding moves no row."""
    distinct, place = np.unique(-probability, return_inverse=True)
    gains = row_values_eur(label, np.ones(len(label), dtype=np.bool_), value)
    worth = np.cumsum(np.bincount(place, weights=gains, minlength=len(distinct)))
    best = int(np.argmax(worth))
    if worth[best] <= 0:
        return NEVER
    highest_alarm = -float(distinct[best])
    next_lower = -float(distinct[best + 1]) if best + 1 < len(distinct) else 0.0
    # A threshold that single precision holds exactly decides the same in the graph, in numpy and in the gateway.
    halfway = float(np.float32((highest_alarm + next_lower) / 2))
    return halfway if next_lower < halfway <= highest_alarm else highest_alarm

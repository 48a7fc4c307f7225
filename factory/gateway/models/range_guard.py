"""Which rows lie beyond what the model's training saw, told for a whole batch in two comparisons."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.model.session import Rows
from factory.release import Manifest

MAX_REPORTED = 20
"""So many values outside are told of for one request; more would make a long answer, not a better one."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The rows of one request that lie outside, and why."""

    rows: tuple[int, ...]
    reasons: str
    """For people, row by row, at most MAX_REPORTED of them."""


class RangeGuard:
    """The training ranges of one release's features."""

    def __init__(self, manifest: Manifest) -> None:
        ends = [manifest.guard.ranges.get(name, (-_LARGEST, _LARGEST)) for name in manifest.features]
        self._low, self._high = np.array(ends, np.float32).T
        self._features = manifest.features
        self.abstains = manifest.guard.outside == "abstain"

    def beyond(self, rows: Rows) -> NDArray[np.bool_] | None:
        """Return which values of `[batch, …, features]` are outside, infinite ones always; None if none is."""
        beyond: NDArray[np.bool_] = (rows < self._low) | (rows > self._high)
        return beyond if beyond.any() else None

    def outside(self, rows: Rows, beyond: NDArray[np.bool_], named: Callable[[int], int] = int) -> Outside | None:
        """Return what is to be told of one request's rows; None if all of it is inside.

        `named` gives the number by which the client knows a row.
        """
        places = np.argwhere(beyond)
        if not len(places):
            return None
        reasons = "; ".join(self._reason(rows, place, named) for place in places[:MAX_REPORTED])
        return Outside(rows=tuple(sorted({int(place[0]) for place in places})), reasons=reasons)

    def _reason(self, rows: Rows, place: NDArray[np.intp], named: Callable[[int], int]) -> str:
        row, feature = named(int(place[0])), place[-1]
        value, low, high = rows[tuple(place)], self._low[feature], self._high[feature]
        return f"row {row}: {self._features[feature]} is {value:g}, training saw {low:g} to {high:g}"

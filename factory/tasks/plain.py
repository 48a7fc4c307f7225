"""How a plain model's raw numbers, class probabilities or one estimate, become the answers of a task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.tasks.task import Floats

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """`raw @ matrix + offset`, cut at the task's limits.

    Raw are the probabilities of the classes that training knows, `[rows, classes]`, or an estimate, `[rows, 1]`.
    """

    matrix: Rows
    """`[raw, answers]`"""
    offset: Rows
    """`[answers]`"""
    minimum: float | None = None
    maximum: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether answers are cut at all."""
        return self.minimum is not None or self.maximum is not None

    def answers(self, raw: Floats) -> Rows:
        """Return float32 `[rows, answers]`."""
        answer: Rows = np.asarray(raw, np.float32) @ self.matrix + self.offset
        return np.clip(answer, self.minimum, self.maximum) if self.bounded else answer


def of_classes(known: Sequence[int], wanted: Sequence[int], rows: int) -> Readout:
    """Return what reads the probabilities of some classes; `known` are those that training saw, in their order.

    No class is impossible for not having been seen in so many rows: each has the share of one more row in so many more
    rows as there are classes (Laplace's rule).
    """
    classes = max(len(known), len(wanted))
    share = 1.0 / (rows + classes)
    matrix = (np.asarray(known)[:, None] == np.asarray(wanted)[None, :]).astype(np.float32)
    return Readout(matrix=matrix * np.float32(1.0 - classes * share), offset=np.full(len(wanted), share, np.float32))

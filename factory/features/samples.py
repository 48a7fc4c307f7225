"""Rows as a network eats them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from factory.errors import TrainingError
from factory.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Features as float32 `[rows, features]` or `[rows, steps, features]` (NaN where unknown), and each row's site.

    Labels are float32 `[rows]` as the task computes with them, NaN where unknown.
    """

    features: NDArray[np.float32]
    label: NDArray[np.float32]
    site: NDArray[np.str_]
    columns: tuple[str, ...] = ()
    """The features' names, in order; empty where nobody asks for one by its name."""

    def __len__(self) -> int:
        return len(self.label)

    def of(self, site: str) -> "Samples":
        """Return one site's rows, in order."""
        return self.where(self.site == site)

    def where(self, kept: NDArray[np.bool_]) -> "Samples":
        """Return the rows marked in `kept`, in order."""
        return replace(self, features=self.features[kept], label=self.label[kept], site=self.site[kept])

    def labelled(self) -> "Samples":
        """Return the rows whose label is known (not NaN), in order: the only ones that train or judge a model."""
        return self.where(~np.isnan(self.label))


def trainable(samples: Samples, task: Task, window: str) -> Samples:
    """Return the labelled rows, or raise TrainingError naming the window and what is wrong with it."""
    rows = samples.labelled()
    if flaw := task.flaw(rows.label):
        raise TrainingError(f"the {window} window cannot train a model: {flaw}; load more history or widen the window")
    if rows.features.ndim not in (2, 3) or not rows.features.shape[-1]:
        raise TrainingError(
            f"the {window} window has features of shape {rows.features.shape}, expected [rows, features] or "
            "[rows, steps, features]"
        )
    return rows

"""Rows as a network eats them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Features as float32 `[rows, features]` (NaN where unknown), labels as float32 `[rows]`, and each row's site."""

    features: NDArray[np.float32]
    label: NDArray[np.float32]
    site: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)

    def of(self, site: str) -> "Samples":
        """Return one site's rows, in order."""
        return self.where(self.site == site)

    def where(self, kept: NDArray[np.bool_]) -> "Samples":
        """Return the rows marked in `kept`, in order."""
        return Samples(features=self.features[kept], label=self.label[kept], site=self.site[kept])

    def labelled(self) -> "Samples":
        """Return the rows whose label is known (not NaN), in order: the only ones that train or judge a model."""
        return self.where(~np.isnan(self.label))

    def flaw(self) -> str | None:
        """Return why these labelled rows cannot train or judge a binary model, or None if they can."""
        if not len(self):
            return "no row has a known label"
        values = np.unique(self.label)
        if not np.isin(values, (0.0, 1.0)).all():
            return f"labels must be 0 or 1, found {values[~np.isin(values, (0.0, 1.0))][:3].tolist()}"
        if values.size == 1:
            return f"all {len(self)} labels are {values[0]:.0f}"
        return None


def trainable(samples: Samples, window: str) -> Samples:
    """Return the labelled rows, or raise TrainingError naming the window and what is wrong with it."""
    rows = samples.labelled()
    if flaw := rows.flaw():
        raise TrainingError(f"the {window} window cannot train a model: {flaw}; load more history or widen the window")
    if rows.features.ndim != 2 or not rows.features.shape[1]:
        raise TrainingError(
            f"the {window} window has features of shape {rows.features.shape}, expected [rows, features]"
        )
    return rows

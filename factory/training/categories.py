"""Categories: a feature that holds the number of a value, 0, 1, 2, …, in; a learned vector for each value out.

Entity embeddings (Guo & Berkhahn, 2016). The numbers are names: 3 is no more than 2.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LEAST_ROWS = 5
"""A value that fewer training rows have shares one vector with all that training never saw."""
MOST_CODE = 100_000
"""A greater one is no number of a value."""
_UNSEEN = 0.02
"""The share of training rows in which a value counts as never seen, so that this vector is learnt, too."""


def fit_categories(codes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the vector of each code, `[features, codes + 2]`, of training rows' codes, `[rows, features]`.

    A row holds first the vector of a missing value, then of the codes 0, 1, …, last of one never seen.
    """
    is_code = (codes >= 0) & (codes <= MOST_CODE)
    most = int(codes[is_code].max(initial=0))
    place = np.zeros((codes.shape[1], most + 3), np.int64)
    taken = 0  # the first vector of each is that of what was never seen
    for feature, (column, counts) in enumerate(zip(codes.T, is_code.T, strict=True)):
        rows = [np.isnan(column).sum(), *np.bincount(column[counts].astype(np.int64), minlength=most + 1), 0]
        is_learnt = np.array(rows) >= LEAST_ROWS
        place[feature] = np.where(is_learnt, taken + np.cumsum(is_learnt), taken)
        taken += int(is_learnt.sum()) + 1
    return place


class Categories(nn.Module):
    """Each category's code to `embedding` numbers; one that is negative, infinite or too rare counts as never seen."""

    column: Tensor
    place: Tensor

    def __init__(self, column: NDArray[np.int64], place: NDArray[np.int64], vectors: int, embedding: int) -> None:
        """Take each category's place among the features, and its rows of `fit_categories`."""
        super().__init__()
        self.register_buffer("column", torch.from_numpy(column.copy()))
        self.register_buffer("place", torch.from_numpy(place.copy()))
        self.weight = nn.Parameter(torch.empty(vectors, embedding).uniform_(-1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Embed the categories of float32 `[batch, features]`, NaN where unknown: `[batch, categories * embedding]`."""
        codes = torch.index_select(features, 1, self.column)
        codes_known = self.place.shape[1] - 2
        missing = torch.isnan(codes)
        code = torch.where(missing, 0.0, codes)
        inside = (code >= 0) & (code < codes_known)
        number = torch.clamp(code, 0, codes_known - 1).to(torch.int64) + 1
        number = torch.where(missing, 0, torch.where(inside, number, codes_known + 1))
        place = torch.gather(self.place.T, 0, number)
        if self.training:
            place = torch.where(torch.rand_like(code) < _UNSEEN, self.place[:, -1], place)
        return nn.functional.embedding(place, self.weight).flatten(1)

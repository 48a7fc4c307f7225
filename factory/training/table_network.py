"""The table encoder: raw features of one row in, each ensemble member's outputs out.

TabM (Gorishniy, Kotelnikov & Babenko, 2024): an ensemble of multilayer perceptrons that share their weight matrices and
differ in cheap elementwise adapters (BatchEnsemble); each member is trained on its own loss; the task's head joins
them. Numbers enter through piecewise-linear embeddings (Gorishniy, Rubachev & Babenko, 2022), categories through
learned vectors as well.
"""

from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from factory.line.recipe import TableRecipe
from factory.training.bins import Bins, fit_bins
from factory.training.categories import Categories, fit_categories
from factory.training.weights import Weights


class Embedding(nn.Module):
    """Each feature to `embedding` numbers: a linear map of its piecewise-linear code, its scaled value and its absence.

    An unknown value (NaN) has a learned vector of its own; a value outside the range seen in training, infinite ones
    too, counts as the nearest one inside.
    """

    low: Tensor
    high: Tensor
    left: Tensor
    inverse_width: Tensor
    inverse_range: Tensor

    def __init__(self, bins: Bins, embedding: int) -> None:
        super().__init__()
        for name, values in vars(bins).items():
            self.register_buffer(name, torch.from_numpy(values.copy()))
        features, pieces = bins.left.shape
        # Not from zero, the paper's variant B: in few epochs the pieces then never catch up with the linear part.
        self.weight = nn.Parameter(torch.empty(features, pieces + 2, embedding).uniform_(-(pieces**-0.5), pieces**-0.5))
        self.bias = nn.Parameter(torch.empty(features, embedding).uniform_(-1, 1))
        with torch.no_grad():
            self.weight[:, pieces:].uniform_(-1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Embed float32 `[batch, features]` as `[batch, features * embedding]`."""
        unknown = torch.isnan(features)
        value = torch.clamp(torch.where(unknown, self.low, features), self.low, self.high)
        pieces = torch.clamp((value.unsqueeze(-1) - self.left) * self.inverse_width, 0.0, 1.0)
        linear = 2.0 * (value - self.low) * self.inverse_range - 1.0
        known_code = torch.cat([pieces, linear.unsqueeze(-1)], -1) * (~unknown).unsqueeze(-1)
        code = torch.cat([known_code, unknown.unsqueeze(-1).to(features.dtype)], -1)
        return (torch.einsum("bnp,npe->bne", code, self.weight) + self.bias).flatten(1)


class MemberLinear(nn.Module):
    """One weight matrix for all members, with each member's own input scale, output scale and bias."""

    def __init__(self, wide: int, out: int, members: int) -> None:
        super().__init__()
        limit = wide**-0.5
        self.weight = nn.Parameter(torch.empty(wide, out).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(out).uniform_(-limit, limit).repeat(members, 1))
        self.scale_in = nn.Parameter(torch.ones(members, wide))
        self.scale_out = nn.Parameter(torch.ones(members, out))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[members, batch, wide]` to `[members, batch, out]`.

        Scaling the matrix, `[members, wide, out]`, or what goes in and comes out, `[members, batch, …]`, gives the
        same. The first is faster for batches of more rows than the layer has units, and where the weights stay as they
        are; the second up to four times as fast for the small batches of a small table with many features.
        """
        if self.training and hidden.shape[1] < self.weight.shape[1]:
            scaled = (hidden * self.scale_in.unsqueeze(1)) @ self.weight
            return torch.addcmul(self.bias.unsqueeze(1), scaled, self.scale_out.unsqueeze(1))
        own = self.scale_in.unsqueeze(2) * self.weight * self.scale_out.unsqueeze(1)
        return torch.baddbmm(self.bias.unsqueeze(1), hidden, own)


class Members(nn.Module):
    """The ensemble: raw features in, each member's own outputs out."""

    def __init__(self, recipe: TableRecipe, outputs: int, bins: Bins, categories: Categories | None = None) -> None:
        super().__init__()
        self.embedding = Embedding(bins, recipe.embedding)
        self.categories = categories
        embedded = bins.low.size + (len(categories.column) if categories else 0)
        widths = [embedded * recipe.embedding] + [recipe.width] * recipe.depth
        self.layers = nn.ModuleList(MemberLinear(wide, out, recipe.members) for wide, out in pairwise(widths))
        self.dropout = nn.Dropout(recipe.dropout)
        limit = widths[-1] ** -0.5
        self.head = nn.Parameter(torch.empty(recipe.members, widths[-1], outputs).uniform_(-limit, limit))
        self.head_bias = nn.Parameter(torch.zeros(recipe.members, outputs))
        self._make_members_differ(embedded, recipe)

    def _make_members_differ(self, features: int, recipe: TableRecipe) -> None:
        """Draw each member's first scale from a normal distribution, one number a feature, as the paper does."""
        draws = torch.randn(recipe.members, features, 1).expand(-1, -1, recipe.embedding)
        with torch.no_grad():
            self.layers[0].scale_in.copy_(draws.flatten(1))  # type: ignore[operator]

    def forward(self, features: Tensor) -> Tensor:
        """Return the members' outputs, `[batch, members, outputs]`, of float32 `[batch, features]`."""
        code = self.embedding(features)
        if self.categories is not None:
            code = torch.cat([code, self.categories(features)], -1)
        hidden = code.expand(len(self.head), -1, -1)
        for layer in self.layers:
            hidden = self.dropout(torch.relu(layer(hidden)))
        outputs: Tensor = torch.bmm(hidden, self.head).transpose(0, 1) + self.head_bias
        return outputs


def new_members(recipe: TableRecipe, outputs: int, features: NDArray[np.float32], columns: Sequence[str]) -> Members:
    """Return untrained members; bins and categories are those of these training rows, float32 `[rows, features]`."""
    bins = fit_bins(features, recipe.bins)
    if not recipe.category_columns:
        return Members(recipe, outputs, bins)
    column = np.array([columns.index(name) for name in recipe.category_columns], np.int64)
    place = fit_categories(features[:, column])
    return Members(recipe, outputs, bins, Categories(column, place, int(place.max()) + 1, recipe.embedding))


def empty_members(recipe: TableRecipe, outputs: int, weights: Weights) -> Members:
    """Return the members that these weights, named as in `Members`, can be loaded into; KeyError if they cannot be."""
    bins = Bins(**{field.name: weights[f"embedding.{field.name}"].numpy() for field in fields(Bins)})
    if not recipe.category_columns:
        return Members(recipe, outputs, bins)
    column, place, vectors = (weights[f"categories.{name}"] for name in ("column", "place", "weight"))
    return Members(recipe, outputs, bins, Categories(column.numpy(), place.numpy(), len(vectors), recipe.embedding))

"""The table network: raw features in, one calibrated probability out, everything between kept in one module.

TabM (Gorishniy, Kotelnikov & Babenko, 2024): an ensemble of multilayer perceptrons that share their weight matrices and
differ in cheap elementwise adapters (BatchEnsemble); each member is trained on its own loss, their probabilities are
averaged. Numbers enter through piecewise-linear embeddings (Gorishniy, Rubachev & Babenko, 2022).
"""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from factory.errors import ModelRefused
from factory.training.bins import Bins, fit_bins
from factory.training.recipe import Recipe
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

        Scaling the matrix, `[members, wide, out]`, rather than what goes in and comes out, `[members, batch, …]`, gives
        the same, and faster for batches wider than the layer.
        """
        own = self.scale_in.unsqueeze(2) * self.weight * self.scale_out.unsqueeze(1)
        return torch.baddbmm(self.bias.unsqueeze(1), hidden, own)


class Members(nn.Module):
    """The ensemble: raw features in, each member's own logit out."""

    def __init__(self, recipe: Recipe, bins: Bins) -> None:
        super().__init__()
        self.embedding = Embedding(bins, recipe.embedding)
        widths = [bins.low.size * recipe.embedding] + [recipe.width] * recipe.depth
        self.layers = nn.ModuleList(MemberLinear(wide, out, recipe.members) for wide, out in pairwise(widths))
        self.dropout = nn.Dropout(recipe.dropout)
        limit = widths[-1] ** -0.5
        self.head = nn.Parameter(torch.empty(recipe.members, widths[-1]).uniform_(-limit, limit))
        self.head_bias = nn.Parameter(torch.zeros(recipe.members))
        self._make_members_differ(bins.low.size, recipe)

    def _make_members_differ(self, features: int, recipe: Recipe) -> None:
        """Draw each member's first scale from a normal distribution, one number a feature, as the paper does."""
        draws = torch.randn(recipe.members, features, 1).expand(-1, -1, recipe.embedding)
        with torch.no_grad():
            self.layers[0].scale_in.copy_(draws.flatten(1))  # type: ignore[operator]

    def forward(self, features: Tensor) -> Tensor:
        """Return the members' logits, `[batch, members]`, of float32 `[batch, features]`."""
        hidden = self.embedding(features).expand(len(self.head), -1, -1)
        for layer in self.layers:
            hidden = self.dropout(torch.relu(layer(hidden)))
        logits: Tensor = (hidden * self.head.unsqueeze(1)).sum(-1).T + self.head_bias
        return logits


class Network(nn.Module):
    """The members, the mean of their probabilities, and its calibration: a scale and a shift of the logit."""

    scale: Tensor
    shift: Tensor

    def __init__(self, recipe: Recipe, bins: Bins) -> None:
        super().__init__()
        self.members = Members(recipe, bins)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def raw_logit(self, features: Tensor) -> Tensor:
        """Return the logit of the members' mean probability before calibration, `[batch]`, never infinite."""
        logits = self.members(features).float()
        # log sigmoid(x) = -softplus(-x); the exporter writes logsigmoid as log(sigmoid(x)), which underflows.
        yes = torch.logsumexp(-nn.functional.softplus(-logits), -1)
        return yes - torch.logsumexp(-nn.functional.softplus(logits), -1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the calibrated probability, float32 `[batch, 1]`, of raw features, float32 `[batch, features]`."""
        return torch.sigmoid(self.raw_logit(features) * self.scale + self.shift).unsqueeze(-1)


def rebuilt(recipe: Recipe, weights: Weights) -> Network:
    """Return the network these weights belong to, in evaluation mode; ModelRefused if they do not fit the recipe."""
    try:
        bins = Bins(**{field.name: weights[f"members.embedding.{field.name}"].numpy() for field in fields(Bins)})
        with torch.random.fork_rng(devices=[]):
            network = Network(recipe, bins)
        network.load_state_dict(dict(weights))
    except (KeyError, RuntimeError) as error:
        raise ModelRefused(
            f"the weights do not fit the recipe {recipe}: {error}; train again with this recipe"
        ) from error
    return network.eval()


def new_network(recipe: Recipe, features: NDArray[np.float32]) -> Network:
    """Return an untrained network whose bins are fitted on these training rows, float32 `[rows, features]`."""
    return Network(recipe, fit_bins(features, recipe.bins))

"""The sequence network: windows of raw moments in, each member's raw answer out.

A temporal convolution (Bai, Kolter & Koltun, 2018) over patches of neighbouring moments, as in PatchTST (Nie et al.,
2023), with an ensemble of heads on top. The window ends at the decision, so there is no later moment to look at.
Unknown values are NaN; so are whole moments before the entity began.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from factory.line.recipe import SequenceRecipe
from factory.training.conditions import Conditions, fit_conditions

_CLIP = 5.0
"""Standard deviations beyond which a value counts as this far: one broken sensor must not drown the others."""
_FAR = 1e15
_KERNEL = 3


class Normalisation(nn.Module):
    """Each moment measured against its own operating condition, and what of it is unknown.

    In training every column of a window is moved by one chance offset of `shift` standard deviations: no two sensors
    are mounted quite alike, so their course must count for more than their height.
    """

    setting_mean: Tensor
    setting_scale: Tensor
    centre: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, conditions: Conditions, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = shift
        for name, values in vars(conditions).items():
            self.register_buffer(name, torch.from_numpy(values.copy()))

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, steps, 2 * columns + 1]`: scaled values, which are unknown, and whether the moment was.

        An unknown value counts as its condition's mean. In a moment before the entity began only the last number is 1,
        so the network tells a gap from a beginning.
        """
        unknown = torch.isnan(features)
        features = torch.clamp(features, -_FAR, _FAR)  # infinity times a scale of 0 would be no number
        condition = self._condition(features, unknown)
        scale = self.scale[condition]
        value = torch.clamp((features - self.mean[condition]) * scale, -_CLIP, _CLIP)
        if self.training and self.shift:
            value = value + self.shift * torch.randn_like(value[:, :1]) * (scale > 0)
        value = torch.where(unknown, 0.0, value)
        before = unknown.all(-1, keepdim=True)
        return torch.cat([value, (unknown & ~before).to(value.dtype), before.to(value.dtype)], -1)

    def _condition(self, features: Tensor, unknown: Tensor) -> Tensor:
        """Return the number of each moment's nearest condition, `[batch, steps]`, by the settings that are known."""
        setting = torch.where(unknown, 0.0, (features - self.setting_mean) * self.setting_scale)
        # |setting - centre|² less |setting|², which is the same for every centre.
        distance = (~unknown).to(setting.dtype) @ self.centre.square().T - 2.0 * setting @ self.centre.T
        return distance.argmin(-1)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of `[batch, channels, steps]`, every step by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise, keeping the shape."""
        centred = hidden - hidden.mean(-2, keepdim=True)
        variance = centred.square().mean(-2, keepdim=True)
        scaled: Tensor = centred * torch.rsqrt(variance + 1e-5) * self.weight + self.bias
        return scaled


class Block(nn.Module):
    """A residual block: a dilated causal convolution, then a mix of the channels."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.look_back = nn.Conv1d(channels, channels, _KERNEL, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.before = (_KERNEL - 1) * dilation

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[batch, channels, steps]` to the same shape."""
        earlier = nn.functional.pad(self.norm(hidden), (self.before, 0))
        change: Tensor = self.dropout(self.mix(nn.functional.gelu(self.look_back(earlier))))
        return hidden + change


class Heads(nn.Module):
    """Each member's own two layers on what all share."""

    def __init__(self, members: int, wide: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(members, wide, hidden) * wide**-0.5)
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.second = nn.Parameter(torch.randn(members, hidden, outputs) * 0.5 * hidden**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, code: Tensor, dropout: nn.Module) -> Tensor:
        """Map `[batch, wide]` to `[batch, members, outputs]`."""
        hidden = dropout(nn.functional.gelu(code @ self.first + self.first_bias))
        answers: Tensor = hidden @ self.second + self.second_bias
        return answers.transpose(0, 1)


class Members(nn.Module):
    """The ensemble: windows of raw moments in, each member's own raw answer out."""

    def __init__(self, recipe: SequenceRecipe, outputs: int, conditions: Conditions) -> None:
        super().__init__()
        columns = conditions.mean.shape[1]
        self.patch = recipe.patch
        self.normalisation = Normalisation(conditions, recipe.shift)
        self.stem = nn.Linear(recipe.patch * (2 * columns + 1), recipe.channels)
        self.blocks = nn.ModuleList(
            Block(recipe.channels, 2**number, recipe.dropout) for number in range(recipe.blocks)
        )
        self.norm = ChannelNorm(recipe.channels)
        self.dropout = nn.Dropout(recipe.dropout)
        self.heads = Heads(recipe.members, 2 * recipe.channels, recipe.head_width, outputs)
        self._let_gaps_say_nothing_yet(columns)

    def _let_gaps_say_nothing_yet(self, columns: int) -> None:
        """Start with no effect of a gap, so that one never met in training changes nothing but its own value."""
        with torch.no_grad():
            self.stem.weight.view(self.stem.out_features, self.patch, -1)[..., columns : 2 * columns].zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Return `[batch, members, outputs]` of float32 `[batch, steps, columns]`, NaN where unknown."""
        hidden = self.stem(self._patches(features)).transpose(1, 2)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        code = torch.cat([hidden[..., -1], hidden.mean(-1)], -1)
        answers: Tensor = self.heads(self.dropout(code), self.dropout)
        return answers

    def _patches(self, features: Tensor) -> Tensor:
        """Normalise and join neighbours, `[batch, patches, patch * (2 * columns + 1)]`, the last patch always full."""
        if short := -features.shape[1] % self.patch:
            features = nn.functional.pad(features, (0, 0, short, 0), value=math.nan)
        patches: Tensor = self.normalisation(features).unflatten(1, (-1, self.patch)).flatten(2)
        return patches


def new_members(recipe: SequenceRecipe, outputs: int, features: NDArray[np.float32], columns: Sequence[str]) -> Members:
    """Return untrained members whose normalisation is fitted on these training rows, `[rows, steps, columns]`."""
    conditions = tuple(columns.index(name) for name in recipe.condition_columns)
    return Members(recipe, outputs, fit_conditions(features, conditions, recipe.max_conditions))


def empty_members(recipe: SequenceRecipe, outputs: int, weights: Mapping[str, Tensor]) -> Members:
    """Return the members these weights, named as in `state_dict`, belong to; KeyError if a part is missing."""
    parts = {name: weights[f"normalisation.{name}"].numpy() for name in Conditions.__dataclass_fields__}
    return Members(recipe, outputs, Conditions(**parts))

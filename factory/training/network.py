"""A whole network: the recipe's encoder, and the task's head. Raw features in, the calibrated answer out.

This is the one place that knows which recipe is built by which module; to add a recipe, write one and add a row.
"""

import importlib
from types import ModuleType

import torch
from torch import Tensor, nn

from factory.errors import ModelRefused
from factory.features.samples import Samples
from factory.line.recipe import Recipe, SequenceRecipe, TableRecipe
from factory.tasks import Task
from factory.tasks.head import Head
from factory.training.weights import Weights

_ENCODERS = {
    TableRecipe: "factory.training.table_network",
    SequenceRecipe: "factory.training.sequence_network",
}
"""Each encoder's module has `new_members` and `empty_members`; what they give maps features `[batch, …]` to
`[batch, members, outputs]`."""

_MEMBERS = "members."


class Network(nn.Module):
    """The members of an ensemble and what joins and calibrates them."""

    def __init__(self, members: nn.Module, head: Head) -> None:
        super().__init__()
        self.members = members
        self.head = head

    def joined(self, features: Tensor) -> Tensor:
        """Return the members' joint output before calibration, `[batch, joined]`."""
        return self.head.joined(self.members(features))

    def forward(self, features: Tensor) -> Tensor:
        """Return the calibrated answer, float32 `[batch, answers]`, of raw features, float32 `[batch, …]`."""
        answer: Tensor = self.head(self.joined(features))
        return answer


def new_network(recipe: Recipe, task: Task, train: Samples) -> Network:
    """Return an untrained network; its normalisation is fitted on these training rows."""
    head = task.new_head(train.label)
    return Network(_encoder(recipe).new_members(recipe, head.outputs, train.features, train.columns), head)


def rebuilt(recipe: Recipe, task: Task, weights: Weights) -> Network:
    """Return the network these weights belong to, in evaluation mode; ModelRefused if they do not fit."""
    try:
        head = task.new_head()
        own = {name.removeprefix(_MEMBERS): tensor for name, tensor in weights.items() if name.startswith(_MEMBERS)}
        with torch.random.fork_rng(devices=[]):
            network = Network(_encoder(recipe).empty_members(recipe, head.outputs, own), head)
        network.load_state_dict(dict(weights))
    except (KeyError, RuntimeError) as error:
        raise ModelRefused(
            f"the weights do not fit the recipe {recipe} for a {task.kind} task: {error}; train again with this recipe"
        ) from error
    return network.eval()


def _encoder(recipe: Recipe) -> ModuleType:
    return importlib.import_module(_ENCODERS[type(recipe)])

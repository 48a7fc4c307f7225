"""How long base training is: rounds of steps, after each of which the network is judged; which rows; at what rate.

A round draws its rows from the recipe's seed and its own number alone, so that a checkpoint need hold no random state.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from factory.line.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The rounds of a training on so many rows: epochs, or where the recipe has `max_steps` so many steps each."""

    recipe: Recipe
    rows: int

    @property
    def rounds(self) -> int:
        """How many rounds there are at most."""
        most = self.recipe.max_steps
        return self.recipe.epochs if most is None else most // self.round_steps

    @property
    def batch_rows(self) -> int:
        """The rows of a step."""
        return min(self.recipe.batch_rows, self.rows)

    @property
    def round_steps(self) -> int:
        """The steps of a round; of an epoch, rows that fill no last batch are left out."""
        return self.recipe.round_steps or self.rows // self.batch_rows

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, the first being 0."""
        recipe = self.recipe
        if recipe.max_steps is not None:
            return recipe.learning_rate * min(1.0, (step + 1) / self.round_steps)
        steps = recipe.epochs * self.round_steps
        rise = min(1.0, (step + 1) / max(1.0, recipe.warmup * steps))
        return recipe.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / steps))

    def batches(self, number: int) -> tuple[Tensor, ...]:
        """Return the row numbers of each step of a round, the first round being 1.

        An epoch is one order of all rows, drawn from torch's own state, which is seeded before each; rounds of steps
        are cut one after another from an endless sequence of such orders.
        """
        needed = self.round_steps * self.batch_rows
        if self.recipe.max_steps is None:
            return torch.split(torch.randperm(self.rows)[:needed], self.batch_rows)
        begin = (number - 1) * needed
        first, last = begin // self.rows, (begin + needed - 1) // self.rows
        orders = torch.cat([self._order(place) for place in range(first, last + 1)])
        return torch.split(orders[begin - first * self.rows :][:needed], self.batch_rows)

    def _order(self, place: int) -> Tensor:
        chance = torch.Generator().manual_seed(self.recipe.seed * 100_003 + place)
        return torch.randperm(self.rows, generator=chance)

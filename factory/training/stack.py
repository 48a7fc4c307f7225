"""Many sites' weights trained as one: stacked `[sites, …]`, one vectorised pass a step, nothing else shared."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from factory.features.samples import Samples
from factory.line.recipe import Recipe
from factory.tasks import Task
from factory.training.network import rebuilt
from factory.training.reproducible import on_cuda
from factory.training.weights import Weights


class Stack:
    """The sites' weights, `[sites, …]`, their optimizer, and each site's rows in endless shuffled order."""

    def __init__(self, base: Weights, sites: Mapping[str, Samples], recipe: Recipe, task: Task, device: str) -> None:
        self.recipe, self.device = recipe, device
        # Dropout stays off: its chances would be shared out over the sites by their place in the stack.
        network = rebuilt(recipe, task, base).to(device).eval()
        self.members, self.head = network.members, network.head
        self.buffers = dict(self.members.named_buffers())
        self.base = {name: tensor.detach() for name, tensor in self.members.named_parameters()}
        self.stacked = {
            name: tensor.expand(len(sites), *tensor.shape).clone().requires_grad_()
            for name, tensor in self.base.items()
        }
        self.optimizer = torch.optim.AdamW(
            self.stacked.values(), lr=recipe.fine_tune_learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.rows = [(torch.from_numpy(rows.features), torch.from_numpy(rows.label)) for rows in sites.values()]
        self.row_numbers = [ShuffledRows(len(rows), seed_of(site, recipe)) for site, rows in sites.items()]

    def weights(self, index: int) -> dict[str, Tensor]:
        """Return a copy of one site's parameters, named as in the network."""
        return {f"members.{name}": tensor[index].detach().cpu().clone() for name, tensor in self.stacked.items()}

    def one_epoch(self) -> Tensor:
        """Take one epoch's steps and return each site's mean training loss, `[sites]`."""
        total = torch.zeros(len(self.rows), device=self.device)
        for _ in range(self.recipe.fine_tune_steps):
            features, label = self._batch()
            self.optimizer.zero_grad()
            losses = self._losses(features, label)
            losses.sum().backward()  # type: ignore[no-untyped-call]
            self._clip()
            self.optimizer.step()
            self._pull()
            total += losses.detach()
        return total / self.recipe.fine_tune_steps

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Return the next rows of every site: features `[sites, rows, …]`, labels `[sites, rows]`."""
        drawn = [torch.from_numpy(numbers.next(self.recipe.fine_tune_batch_rows)) for numbers in self.row_numbers]
        features = torch.stack([rows[0][index] for rows, index in zip(self.rows, drawn, strict=True)])
        label = torch.stack([rows[1][index] for rows, index in zip(self.rows, drawn, strict=True)])
        return features.to(self.device), label.to(self.device)

    def _losses(self, features: Tensor, label: Tensor) -> Tensor:
        """Return each site's mean member loss, `[sites]`."""

        def outputs(parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
            return functional_call(self.members, (parameters, self.buffers), (rows,))  # type: ignore[no-any-return]

        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=on_cuda(self.device)):
            members = torch.vmap(outputs)(self.stacked, features)
        return self.head.loss(members, label).mean(1)

    def _clip(self) -> None:
        """Scale each site's gradient down to the recipe's greatest norm, by that site's norm alone."""
        gradients = [tensor.grad for tensor in self.stacked.values() if tensor.grad is not None]
        norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
        factor = torch.clamp(self.recipe.max_gradient_norm / (norms + 1e-6), max=1.0)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))

    def _pull(self) -> None:
        """Draw every site a little back towards the base model."""
        share = self.recipe.fine_tune_learning_rate * self.recipe.fine_tune_pull
        with torch.no_grad():
            for name, tensor in self.stacked.items():
                tensor.lerp_(self.base[name].expand_as(tensor), share)


class ShuffledRows:
    """An endless sequence of a site's row numbers, shuffled anew in each round."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._chance = rows, np.random.default_rng(seed)
        self._ahead: NDArray[np.int64] = np.empty(0, np.int64)

    def next(self, count: int) -> NDArray[np.int64]:
        """Return the next row numbers."""
        while len(self._ahead) < count:
            self._ahead = np.concatenate([self._ahead, self._chance.permutation(self._rows)])
        drawn, self._ahead = self._ahead[:count], self._ahead[count:]
        return drawn


def seed_of(site: str, recipe: Recipe) -> int:
    """Return a seed that only the recipe and the site's name decide."""
    return int.from_bytes(hashlib.sha256(f"{recipe.seed}:{site}".encode()).digest()[:8], "big")

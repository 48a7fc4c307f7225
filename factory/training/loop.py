"""Training the base model on the pooled rows of all sites, from a checkpoint if there is one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from factory.errors import TrainingError
from factory.features.samples import Samples, trainable
from factory.line.recipe import Recipe
from factory.tasks import Task
from factory.training.checkpoint import Epoch, Progress, fingerprint, resume, save
from factory.training.network import Network, new_network, rebuilt
from factory.training.predict import joined, judgement
from factory.training.reproducible import on_cuda, reproducible, seed_torch
from factory.training.schedule import Schedule
from factory.training.weights import weights_of


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The best round's weights, calibrated on the validation window, and how training went."""

    weights: dict[str, Tensor]
    history: tuple[Epoch, ...]
    best_epoch: int


def train_base(
    train: Samples,
    validation: Samples,
    recipe: Recipe,
    *,
    task: Task,
    device: str,
    checkpoint: Path | None,
    report: Callable[[Epoch], None],
) -> Trained:
    """Train a network until its validation loss stops falling; on one machine the same inputs give the same bytes.

    `report` is called after every round, when its checkpoint is already on disk. A training that died goes on from its
    checkpoint and ends with the bytes it would have had; a checkpoint of other rows, another recipe or device is
    overwritten. Rows without a label are left out. Raises TrainingError if a window has no rows, or labels that
    teach nothing.
    """
    train, validation = trainable(train, task, "training"), trainable(validation, task, "validation")
    with reproducible(device):
        seed_torch(recipe.seed, device)
        network = new_network(recipe, task, train).to(device)
        progress = Progress(
            network=network, optimizer=_optimizer(network, recipe), average=_running_average(network, recipe)
        )
        key = fingerprint(recipe, task, device, train, validation)
        if checkpoint:
            resume(progress, checkpoint, key)
        run = _Run(train, validation, recipe, task, device, network)
        while not _finished(progress, run.schedule):
            epoch = _one_round(progress, run)
            if checkpoint:
                save(progress, checkpoint, key)
            report(epoch)
        return _result(progress, validation, recipe, task)


class _Run:
    """What stays the same from round to round; the training rows lie on the device."""

    def __init__(
        self, train: Samples, validation: Samples, recipe: Recipe, task: Task, device: str, network: Network
    ) -> None:
        self.features = torch.from_numpy(np.ascontiguousarray(train.features)).to(device)
        self.label = torch.from_numpy(np.ascontiguousarray(train.label)).to(device)
        self.validation, self.recipe, self.task, self.device = validation, recipe, task, device
        self.schedule = Schedule(recipe=recipe, rows=len(train))
        self.head = network.head
        self.members = torch.compile(network.members) if on_cuda(device) else network.members

    def loss(self, batch: Tensor) -> Tensor:
        """Return the mean of the members' own losses on these rows: each member learns as if it were alone."""
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=on_cuda(self.device)):
            outputs = self.members(self.features[batch])
        return self.head.loss(outputs, self.label[batch]).mean()


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        network.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, recipe.second_moment),
        weight_decay=recipe.weight_decay,
    )


def _running_average(network: Network, recipe: Recipe) -> AveragedModel | None:
    """Return what keeps the running average of the weights, where training has no end that the rate could fall to."""
    if recipe.max_steps is None:
        return None

    def towards(average: Tensor, weight: Tensor, taken: Tensor | int) -> Tensor:
        # In the first steps the average must not be mostly the weights that training began with.
        kept = min(recipe.weight_average, (1 + int(taken)) / (10 + int(taken)))
        return average.lerp(weight, 1.0 - kept)

    return AveragedModel(network, avg_fn=towards)


def _finished(progress: Progress, schedule: Schedule) -> bool:
    """Return whether all rounds are done or none of the last `patience` was the best."""
    done = len(progress.history)
    return done >= schedule.rounds or done - progress.best_epoch >= schedule.recipe.patience


def _one_round(progress: Progress, run: _Run) -> Epoch:
    """Take a round's steps, judge the network, and keep its weights if they are the best so far."""
    number = len(progress.history) + 1
    # Each round draws its chances from (seed, number) alone, so a checkpoint need not hold a random state.
    seed_torch(run.recipe.seed * 100_003 + number, run.device)
    training_loss = _steps(progress, run, number)
    loss, headline = judgement(progress.judged, run.task, run.validation, run.device)
    if not math.isfinite(loss):
        raise TrainingError(f"round {number}: validation loss is {loss}; lower the recipe's learning_rate")
    epoch = Epoch(number=number, training_loss=training_loss, validation_loss=loss, validation_headline=headline)
    progress.add(epoch)
    return epoch


def _steps(progress: Progress, run: _Run, number: int) -> float:
    """Take the optimizer steps of one round and return the mean loss."""
    progress.network.train()
    batches = run.schedule.batches(number)
    total = torch.zeros((), device=run.device)
    for step, batch in enumerate(batches, start=len(progress.history) * len(batches)):
        for group in progress.optimizer.param_groups:
            group["lr"] = run.schedule.rate(step)
        progress.optimizer.zero_grad()
        loss = run.loss(batch.to(run.device))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(progress.network.parameters(), run.recipe.max_gradient_norm)
        progress.optimizer.step()
        if progress.average is not None:
            progress.average.update_parameters(progress.network)
        total += loss.detach()
    return float(total) / len(batches)


def _result(progress: Progress, validation: Samples, recipe: Recipe, task: Task) -> Trained:
    """Calibrate the best weights on the pooled validation rows."""
    network = rebuilt(recipe, task, progress.best)
    network.head.calibrate(joined(network, validation.features), validation.label)
    return Trained(weights=weights_of(network), history=tuple(progress.history), best_epoch=progress.best_epoch)

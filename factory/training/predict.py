"""Answers from weights, in batches."""

import numpy as np
import torch
from numpy.typing import NDArray

from factory.features.samples import Samples
from factory.line.recipe import Recipe
from factory.tasks import Task
from factory.training.network import Network, rebuilt
from factory.training.weights import Weights

_BATCH_ROWS = 8192


def answers(weights: Weights, recipe: Recipe, task: Task, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the calibrated answer to each row of float32 `[rows, …]`, as float32 `[rows, answers]`."""
    network = rebuilt(recipe, task, weights)
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in _batches(features)]).numpy()


def joined(network: Network, features: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float64]:
    """Return the members' joint output before calibration, float64 `[rows, joined]`; keeps the network's mode."""
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [network.joined(batch.to(device)).cpu() for batch in _batches(features)]
    network.train(was_training)
    return torch.cat(parts).numpy().astype(np.float64)


def judgement(network: Network, task: Task, rows: Samples, device: str = "cpu") -> tuple[float, float]:
    """Return loss and headline figure of these labelled rows before calibration; NaN where there is none."""
    joint = joined(network, rows.features, device)
    with torch.inference_mode():
        answer = network.head(torch.from_numpy(joint.astype(np.float32)).to(device)).cpu().numpy()
    return network.head.joined_loss(joint, rows.label), task.headline_of(rows.label, answer)


def _batches(features: NDArray[np.float32]) -> tuple[torch.Tensor, ...]:
    """Cut rows into batches; no rows are one empty batch."""
    return torch.split(torch.from_numpy(np.ascontiguousarray(features, np.float32)), _BATCH_ROWS)

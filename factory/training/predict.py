"""Probabilities from weights, in batches."""

import numpy as np
import torch
from numpy.typing import NDArray

from factory.training.network import Network, rebuilt
from factory.training.recipe import Recipe
from factory.training.weights import Weights

_BATCH_ROWS = 8192


def probability(weights: Weights, recipe: Recipe, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the calibrated probability of each row of float32 `[rows, features]`, as float32 `[rows]`."""
    network = rebuilt(recipe, weights)
    with torch.inference_mode():
        parts = [network(batch).squeeze(-1) for batch in _batches(features)]
    return torch.cat(parts).numpy()


def raw_logit(network: Network, features: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float64]:
    """Return each row's logit before calibration, float64 `[rows]`; leaves the network in the mode it was in."""
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [network.raw_logit(batch.to(device)).cpu() for batch in _batches(features)]
    network.train(was_training)
    return torch.cat(parts).numpy().astype(np.float64)


def log_loss(logit: NDArray[np.float64], label: NDArray[np.float32]) -> float:
    """Return the mean log loss of logits against 0/1 labels, without ever taking the logarithm of 0."""
    return float(np.mean(np.logaddexp(0.0, logit) - label * logit))


def average_precision(logit: NDArray[np.float64], label: NDArray[np.float32]) -> float:
    """Return the average precision of logits against 0/1 labels; 0 if a logit is not finite."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(label, logit)) if np.isfinite(logit).all() else 0.0


def _batches(features: NDArray[np.float32]) -> tuple[torch.Tensor, ...]:
    """Cut rows into batches; no rows are one empty batch."""
    return torch.split(torch.from_numpy(np.ascontiguousarray(features, np.float32)), _BATCH_ROWS)

"""One logit a class and member in; the mean of the members' probabilities, calibrated by one temperature, out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from factory.tasks.head import Doubles, Head

_BOUNDS = (0.05, 20.0)


class MulticlassHead(Head):
    """`joined` is the log of the mean probabilities; calibration multiplies it (Guo et al., 2017, temperature)."""

    scale: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.outputs = classes
        self.register_buffer("scale", torch.ones(()))

    def loss(self, outputs: Tensor, label: Tensor) -> Tensor:
        """Return each row's log loss, the mean of its members' own."""
        target = label.long().unsqueeze(-1).expand(outputs.shape[:-1])
        flat = cross_entropy(outputs.float().reshape(-1, self.outputs), target.reshape(-1), reduction="none")
        return flat.reshape(target.shape).mean(-1)

    def joined(self, outputs: Tensor) -> Tensor:
        """Return the log of the members' mean probabilities, up to a constant, `[batch, classes]`."""
        return torch.logsumexp(log_softmax(outputs.float(), -1), -2)

    def forward(self, joined: Tensor) -> Tensor:
        """Return the calibrated probabilities, `[batch, classes]`."""
        return torch.softmax(joined * self.scale, -1)

    def joined_loss(self, joined: Doubles, label: NDArray[np.float32]) -> float:
        """Return the mean log loss."""
        return _log_loss(joined, _one_hot(label, self.outputs))

    def calibrate(
        self, joined: Doubles, label: NDArray[np.float32], prior: Head | None = None, prior_rows: float = 10.0
    ) -> None:
        """Fit the scale with the least log loss; the prior's rows have as labels the prior's own probabilities."""
        from scipy.optimize import minimize_scalar

        start = float(prior.scale) if isinstance(prior, MulticlassHead) else 1.0
        known = np.isfinite(joined).all(axis=1) & np.isfinite(label)
        if not known.any():
            self.scale.fill_(start)
            return
        rows = joined[known]
        weight = prior_rows / len(rows)
        target = (_one_hot(label[known], self.outputs) + weight * np.exp(_log_softmax(rows * start))) / (1 + weight)
        minimum = minimize_scalar(lambda scale: _log_loss(rows * scale, target), bounds=_BOUNDS, method="bounded")
        self.scale.fill_(float(minimum.x))


def _one_hot(label: NDArray[np.float32], classes: int) -> Doubles:
    return np.eye(classes)[label.astype(np.int64)]


def _log_softmax(logits: Doubles) -> Doubles:
    shifted = logits - logits.max(axis=1, keepdims=True)
    answer: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return answer


def _log_loss(logits: Doubles, target: Doubles) -> float:
    return float(-(target * _log_softmax(logits)).sum(axis=1).mean())

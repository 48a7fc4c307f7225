"""One logit a member in; the mean of the members' probabilities, calibrated, out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from factory.tasks.binary.platt import Platt, fit_platt
from factory.tasks.head import Doubles, Head


class BinaryHead(Head):
    """`joined` is the logit of the mean probability; its calibration is a scale and a shift."""

    outputs = 1
    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def loss(self, outputs: Tensor, label: Tensor) -> Tensor:
        """Return each row's log loss, the mean of its members' own: each learns as if it were alone."""
        logits = outputs.squeeze(-1).float()
        target = label.unsqueeze(-1).expand_as(logits)
        return binary_cross_entropy_with_logits(logits, target, reduction="none").mean(-1)

    def joined(self, outputs: Tensor) -> Tensor:
        """Return the logit of the members' mean probability, `[batch, 1]`, never infinite."""
        logits = outputs.squeeze(-1).float()
        # log sigmoid(x) = -softplus(-x); the exporter writes logsigmoid as log(sigmoid(x)), which underflows.
        yes = torch.logsumexp(-nn.functional.softplus(-logits), -1, keepdim=True)
        return yes - torch.logsumexp(-nn.functional.softplus(logits), -1, keepdim=True)

    def forward(self, joined: Tensor) -> Tensor:
        """Return the calibrated probability, `[batch, 1]`."""
        return torch.sigmoid(joined * self.scale + self.shift)

    def joined_loss(self, joined: Doubles, label: NDArray[np.float32]) -> float:
        """Return the mean log loss, without ever taking the logarithm of 0."""
        logit = joined[:, 0]
        return float(np.mean(np.logaddexp(0.0, logit) - label * logit))

    def calibrate(
        self, joined: Doubles, label: NDArray[np.float32], prior: Head | None = None, prior_rows: float = 10.0
    ) -> None:
        """Fit scale and shift."""
        pooled = Platt(float(prior.scale), float(prior.shift)) if isinstance(prior, BinaryHead) else Platt()
        calibration = fit_platt(joined[:, 0], label, prior=pooled, prior_rows=prior_rows)
        self.scale.fill_(calibration.scale)
        self.shift.fill_(calibration.shift)

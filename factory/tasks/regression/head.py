"""Three numbers a member in; the mean estimate with an interval that keeps its promise out.

The interval is conformalised quantile regression (Romano, Patterson & Candès, 2019): quantiles trained by the pinball
loss, then widened (or narrowed) by what the validation rows show them to miss. Its promise is about rows that are
exchangeable with those; the coverage that gates measure on the holdout tells how well that holds.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from factory.tasks.head import Doubles, Head
from factory.tasks.task import Floats


class RegressionHead(Head):
    """A member gives, in units of the labels' spread, an estimate and what to add below and above it."""

    outputs = 3
    center: Tensor
    spread: Tensor
    widen: Tensor

    def __init__(
        self, coverage: float, minimum: float | None, maximum: float | None, label: Floats | None = None
    ) -> None:
        super().__init__()
        self.coverage, self.minimum, self.maximum = coverage, minimum, maximum
        self.register_buffer("center", torch.tensor(0.0 if label is None else float(np.mean(label, dtype=np.float64))))
        self.register_buffer("spread", torch.tensor(1.0 if label is None else float(np.std(label, dtype=np.float64))))
        self.register_buffer("widen", torch.zeros(()))

    def loss(self, outputs: Tensor, label: Tensor) -> Tensor:
        """Return each row's squared error of the estimate and pinball loss of the interval, in units of the spread."""
        target = ((label - self.center) / self.spread).unsqueeze(-1)
        # The interval hangs on the estimate and must not pull at it.
        estimate, low, high = _interval(outputs.float(), detached=True)
        outside = (1 - self.coverage) / 2  # on each side
        interval = _pinball(target - low, outside) + _pinball(target - high, 1 - outside)
        return ((estimate - target).square() + 0.5 * interval).mean(-1)

    def joined(self, outputs: Tensor) -> Tensor:
        """Return the members' mean estimate, low and high in the labels' own unit, `[batch, 3]`."""
        mean = torch.stack(_interval(outputs.float(), detached=False), -1).mean(-2)
        return mean * self.spread + self.center

    def forward(self, joined: Tensor) -> Tensor:
        """Return estimate, low and high, `[batch, 3]`, in order and within what an outcome can be."""
        estimate, low, high = joined.unbind(-1)
        answer = torch.stack(
            [estimate, torch.minimum(low - self.widen, estimate), torch.maximum(high + self.widen, estimate)], -1
        )
        bounded = self.minimum is not None or self.maximum is not None
        return torch.clamp(answer, self.minimum, self.maximum) if bounded else answer

    def joined_loss(self, joined: Doubles, label: NDArray[np.float32]) -> float:
        """Return the mean squared error of the estimate in units of the labels' spread."""
        error = (joined[:, 0] - label) / float(self.spread)
        return float(np.mean(np.square(error)))

    def calibrate(
        self, joined: Doubles, label: NDArray[np.float32], prior: Head | None = None, prior_rows: float = 0.0
    ) -> None:
        """Fit by how much the interval is widened so that it holds the promised share of validation rows."""
        known = np.isfinite(joined).all(axis=1) & np.isfinite(label)
        pooled = float(prior.widen) if isinstance(prior, RegressionHead) else 0.0
        if not known.any():
            self.widen.fill_(pooled)
            return
        missed = np.maximum(joined[known, 1] - label[known], label[known] - joined[known, 2])
        own = float(np.quantile(missed, min(1.0, self.coverage * (1 + 1 / len(missed))), method="higher"))
        weight = prior_rows if isinstance(prior, RegressionHead) else 0.0
        self.widen.fill_((len(missed) * own + weight * pooled) / (len(missed) + weight))


def _interval(outputs: Tensor, *, detached: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return estimate, low and high of `[…, 3]`; low is never above the estimate, nor high below."""
    estimate, below, above = outputs.unbind(-1)
    middle = estimate.detach() if detached else estimate
    return estimate, middle - softplus(below), middle + softplus(above)


def _pinball(error: Tensor, share: float) -> Tensor:
    """Return the loss whose minimum is the quantile: `share` of the error above it, `1 - share` below."""
    return torch.maximum(share * error, (share - 1) * error)

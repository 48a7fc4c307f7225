"""The last part of every network: the members' outputs joined to one answer and calibrated."""

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

Doubles = npt.NDArray[np.float64]


class Head(nn.Module):
    """What a task does with what an encoder's ensemble members put out.

    Everything a head learns is in buffers: it is fitted, not trained. `joined` is the members' joint output before
    calibration, `[batch, joined]`; calibration is fitted on it.
    """

    outputs: int
    """How many numbers each member gives."""

    @abstractmethod
    def loss(self, outputs: Tensor, label: Tensor) -> Tensor:
        """Return each row's loss, `[…]`, the mean of its members' own: outputs `[…, members, outputs]`, label `[…]`."""

    @abstractmethod
    def joined(self, outputs: Tensor) -> Tensor:
        """Return the members' joint output, `[batch, joined]`, of `[batch, members, outputs]`."""

    @abstractmethod
    def forward(self, joined: Tensor) -> Tensor:
        """Return the calibrated answer, `[batch, answers]`."""

    @abstractmethod
    def joined_loss(self, joined: Doubles, label: npt.NDArray[np.float32]) -> float:
        """Return the mean loss of the joint output; it decides which epoch is best."""

    @abstractmethod
    def calibrate(
        self, joined: Doubles, label: npt.NDArray[np.float32], prior: "Head | None" = None, prior_rows: float = 10.0
    ) -> None:
        """Fit the calibration on validation rows, drawn to the prior's as by `prior_rows` more rows."""

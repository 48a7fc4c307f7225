"""What one pass over the training rows came to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch's figures: mean member log loss on the training rows; log loss and average precision on validation."""

    number: int
    training_loss: float
    validation_loss: float
    validation_average_precision: float

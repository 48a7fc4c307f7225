"""What one pass over the training rows came to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch's figures: the members' mean loss on the training rows; loss and the task's headline on validation."""

    number: int
    training_loss: float
    validation_loss: float
    validation_headline: float

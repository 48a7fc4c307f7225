"""The figures of one epoch; apart from the checkpoint, so that what loads the stages does not load PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch's figures: the members' mean loss on the training rows; loss and the task's headline on validation."""

    number: int
    training_loss: float
    validation_loss: float
    validation_headline: float

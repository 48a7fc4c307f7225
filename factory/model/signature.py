"""What a model takes and gives: the names and shapes of its one input and its one output."""

import math
from dataclasses import dataclass
from functools import cached_property

from factory.model.answers import AnswerKind, answer_kind

INPUT = "features"
"""The name of every model's input tensor."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One model's input, float32 `[batch, *input_shape]` with NaN where unknown, and output, `[batch, answers]`."""

    task: str
    """What kind of answer it gives, by the word of a line's file; see `answer_kind`."""
    features: tuple[str, ...]
    """The input's columns, in order."""
    steps: int | None = None
    """How many moments, oldest first, a sequence model sees; None for a model of single rows."""
    output: str
    """The name of the output tensor."""
    answers: tuple[str, ...]
    """The output's columns, in order."""

    def __post_init__(self) -> None:
        """Raise ValueError on a signature that no model can have."""
        if not self.features or not self.answers:
            raise ValueError(f"{len(self.features)} features and {len(self.answers)} answers; a model has some of both")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"{self.steps} steps; a sequence has one or more")

    @cached_property
    def answer_kind(self) -> AnswerKind:
        """How its answers are read. Raises ValueError on a task that this version does not know."""
        return answer_kind(self.task)

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of input: `[features]`, or `[steps, features]` of a sequence model."""
        return (len(self.features),) if self.steps is None else (self.steps, len(self.features))

    @cached_property
    def input_size(self) -> int:
        """How many numbers one row of input has."""
        return math.prod(self.input_shape)

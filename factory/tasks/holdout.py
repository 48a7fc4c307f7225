"""The rows that were judged and every model's answers to them: what the pictures of a task are drawn from."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from factory.tasks.intervals import Blocks, Interval
from factory.tasks.task import Constant, Floats, Task, Value

ROLES = {"candidate": "site model", "champion": "champion before", "base": "base model", "baseline": "baseline"}
"""The models in the order they are shown, as people call them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One model on the holdout: its answer to each row, [rows, answers], and the threshold that it decides by."""

    answer: Floats
    threshold: float
    digest: str | None = None
    """SHA-256 of the model file, where the model is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Holdout:
    """One site's judged rows; all arrays hold the same rows in the same order, labels are known."""

    task: Task
    label: Floats
    blocks: Blocks
    """Which of the rows are alike."""
    models: Mapping[str, Scored]
    """By role; a vacant role is absent."""
    value: Value

    @property
    def candidate(self) -> Scored:
        """The model that was judged."""
        return self.models["candidate"]

    @functools.cached_property
    def constant(self) -> Constant:
        """The best that could be decided on these rows without a model, known with hindsight."""
        return self.task.best_constant(self.label, self.value)

    @property
    def enough(self) -> bool:
        """Whether the labels can say anything at all; a picture of one class or of three rows says nothing."""
        return len(self.label) >= 10 and self.task.flaw(self.label) is None

    def headline(self, role: str) -> Interval:
        """Return where a model's headline figure lies, as the verdict has it."""
        return self.task.estimated(self.label, self.models[role].answer, self.blocks).interval()

    def money(self, role: str) -> Interval:
        """Return where the worth of a model's decisions lies, in EUR, each model by its own threshold."""
        return self.blocks.sum(self.row_values(role, self.models[role].threshold)).interval()

    def worth(self, role: str, threshold: float) -> float:
        """Return what a model's decisions would have been worth at another threshold, in EUR."""
        return float(self.row_values(role, threshold).sum())

    def row_values(self, role: str, threshold: float) -> Floats:
        """Return what each decision is worth above the best constant one, in EUR."""
        answer = self.models[role].answer
        return self.task.row_values_eur(self.label, answer, threshold, self.value, self.constant.decision)

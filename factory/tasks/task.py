"""The interface of every task. Labels are float32 `[rows]`, NaN where unknown; answers float32 `[rows, answers]`.

To add a task, keep this interface in a package of its own and enter it in TASKS (factory/tasks/__init__.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.model.check import Check, Figure, Unit
from factory.model.payoff import Payoff
from factory.tasks.intervals import Blocks, Estimate

if TYPE_CHECKING:
    from factory.charts.pictures import Gallery
    from factory.tasks.head import Head
    from factory.tasks.holdout import Holdout
    from factory.tasks.plain import Readout

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Value:
    """What one decision is worth, in EUR; each task has its own table of amounts."""

    @property
    def stakes(self) -> Payoff | None:
        """What is at stake in one decision; None where there is more to it than right and wrong."""
        return None


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A decision that needs no model, for it is the same for every row."""

    decision: float
    """As the task computes with it: 0 does nothing of itself; see `Task.decisions`."""
    name: str
    """What is done, in words."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One kind of answer."""

    headline: ClassVar[str]
    """The figure by which models are compared."""
    classifies: ClassVar[bool] = True
    """Whether an answer is the probabilities of classes, and no estimate."""
    smaller_is_better: ClassVar[frozenset[str]]
    """Of the figures of merit those that are errors; of the others more is better."""
    units: ClassVar[Mapping[str, Unit]]
    """What a figure counts, where that is not just a number."""
    output: ClassVar[str]
    """The name of the served model's output."""
    value: ClassVar[type[Value]]
    compared: ClassVar[tuple[str, ...]]
    """The figures reported of every model: candidate, base, baseline and champion; the headline is among them."""
    gateable: ClassVar[tuple[str, ...]]
    """The figures that a line's gates may put a limit to."""

    kind: str
    """The word a line's file uses."""

    @property
    def greater_is_better(self) -> bool:
        """Whether the model with the greater headline is the better one."""
        return self.headline not in self.smaller_is_better

    @property
    @abstractmethod
    def answers(self) -> tuple[str, ...]:
        """The names of an answer's columns."""

    @abstractmethod
    def codes(self, label: pl.Series) -> npt.NDArray[np.float32]:
        """Return labels as the task computes with them. Raises TrainingError on one that it does not know."""

    @abstractmethod
    def flaw(self, label: Floats) -> str | None:
        """Return why these known labels can neither train nor judge a model, or None if they can."""

    @abstractmethod
    def figures(self, label: Floats, answer: Floats) -> dict[str, float]:
        """Return the figures of merit by name; NaN where one is not defined. Raises nothing for poor data."""

    @abstractmethod
    def counts(self, label: Floats, answer: Floats, threshold: float) -> dict[str, float]:
        """Return the task's counts and shares on a candidate's holdout, beside the number of rows."""

    @abstractmethod
    def estimated(self, label: Floats, answer: Floats, blocks: Blocks) -> Estimate:
        """Return the headline and how sure it is; two models' on the same rows are paired."""

    @abstractmethod
    def checks(self, figures: Mapping[str, Figure]) -> Iterator[Check]:
        """Yield the checks that any model of this task must pass, whatever the line's limits are."""

    @abstractmethod
    def constants(self, label: Floats, value: Value) -> tuple[Constant, ...]:
        """Return the decisions that need no model, as far as one of them may be the best for these labels."""

    @abstractmethod
    def constant_answer(self, label: Floats) -> Floats:
        """Return the one answer, `[1, answers]`, that is least wrong for all these labels: base rate, shares, mean."""

    @abstractmethod
    def row_losses(self, label: Floats, answer: Floats) -> npt.NDArray[np.float64]:
        """Return each row's loss, `[rows]`, that a constant answer is compared by; NaN where it is not defined."""

    @abstractmethod
    def decisions(self, answer: Floats, threshold: float) -> npt.NDArray[np.float64]:
        """Return what is done on each answer, `[rows]`, in the numbers that constant decisions have."""

    @abstractmethod
    def decided_values_eur(self, label: Floats, decision: Floats, value: Value) -> npt.NDArray[np.float64]:
        """Return what each decision is worth by itself, in EUR, `[rows]`."""

    def without_model(self, label: Floats, value: Value) -> float:
        """Return the constant decision that is worth most for these labels."""
        return self.best_constant(label, value).decision

    def best_constant(self, label: Floats, value: Value) -> Constant:
        """Return the same with its name; of labels that are not known nothing is concluded."""
        known = label[np.isfinite(label)]
        return max(self.constants(known, value), key=lambda one: self.constant_eur(known, one.decision, value).sum())

    def constant_eur(self, label: Floats, decision: float, value: Value) -> npt.NDArray[np.float64]:
        """Return what the same decision in every row is worth by itself, in EUR, `[rows]`."""
        return self.decided_values_eur(label, np.full(len(label), decision), value)

    def row_values_eur(
        self, label: Floats, answer: Floats, threshold: float, value: Value, constant: float
    ) -> npt.NDArray[np.float64]:
        """Return what each decision is worth above a constant one, in EUR."""
        worth = self.decided_values_eur(label, self.decisions(answer, threshold), value)
        return worth - self.constant_eur(label, constant, value)

    @abstractmethod
    def best_threshold(self, label: Floats, answer: Floats, value: Value) -> float:
        """Return the threshold that is worth most on a validation window."""

    @abstractmethod
    def readout(self, classes: Sequence[int], rows: int, error: Floats) -> "Readout":
        """Return what makes a plain model's raw numbers answers of this task.

        `classes` are those that training knows, in `rows` rows; of an estimate there are none, and `error` is by how
        much the label of rows that training did not see exceeds it.
        """

    @abstractmethod
    def new_head(self, label: Floats | None = None) -> "Head":
        """Return the network's last part, fitted to training labels, or an empty one to load weights into."""

    @abstractmethod
    def gallery(self, holdout: "Holdout") -> "Gallery":
        """Return what a report draws of a model's answers to the holdout; its labels have no flaw."""

    def headline_of(self, label: Floats, answer: Floats) -> float:
        """Return the one figure by which models are compared."""
        return self.figures(label, answer)[self.headline]

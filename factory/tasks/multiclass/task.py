"""The multiclass task: figures, money, baseline and head, each in a module of its own, gathered for the factory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.errors import LineError, TrainingError
from factory.model.check import Check, Figure, Unit
from factory.tasks.intervals import Blocks, Estimate
from factory.tasks.multiclass import figures as of
from factory.tasks.multiclass.value import MulticlassValue, best_threshold
from factory.tasks.plain import Readout, of_classes
from factory.tasks.task import Constant, Floats, Task, Value

if TYPE_CHECKING:
    from factory.charts.pictures import Gallery
    from factory.tasks.holdout import Holdout
    from factory.tasks.multiclass.head import MulticlassHead


@dataclass(frozen=True, kw_only=True)
class Multiclass(Task):
    """Which of these is it? Labels are the classes' names, an answer has one probability for each."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    headline: ClassVar[str] = "log_loss"
    smaller_is_better: ClassVar[frozenset[str]] = frozenset({"log_loss", "calibration_error"})
    units: ClassVar[Mapping[str, Unit]] = {
        "accuracy": "share",
        "calibration_error": "share",
        "rarest_class_rows": "count",
        "decided": "count",
        "prevalence": "share",
        "share_acted": "share",
    }
    output: ClassVar[str] = "probability"
    value: ClassVar[type[Value]] = MulticlassValue
    compared: ClassVar[tuple[str, ...]] = ("log_loss", "accuracy")
    gateable: ClassVar[tuple[str, ...]] = (
        *compared,
        "macro_f1",
        "calibration_error",
        "rarest_class_rows",
        "decided",
        "prevalence",
        "share_acted",
    )

    kind: Literal["multiclass"] = "multiclass"
    """Which of these is it? One probability a class."""
    classes: tuple[str, ...]
    """The classes' names, two or more, as the label has them."""

    def __post_init__(self) -> None:
        """Raise LineError on fewer than two classes, or on equal ones."""
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise LineError(
                f"task: classes must be two or more different names, found {list(self.classes)}", at=("classes",)
            )

    @property
    def answers(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    def codes(self, label: pl.Series) -> npt.NDArray[np.float32]:
        """Return each label's place among the classes. Raises TrainingError on a class that the line does not name."""
        text = label.cast(pl.String)
        unknown = sorted(set(text.drop_nulls().unique()) - set(self.classes))
        if unknown:
            raise TrainingError(
                f"labels name {unknown[:3]}, which are not among the line's classes "
                f"{list(self.classes)}; add them to `task: classes`, or mend the features"
            )
        places = {name: place for place, name in enumerate(self.classes)}
        codes = text.replace_strict(places, default=None, return_dtype=pl.Float32)
        return codes.fill_null(float("nan")).to_numpy().astype(np.float32)

    def flaw(self, label: Floats) -> str | None:
        """Return why these labels are of no use: none, or all the same."""
        if not len(label):
            return "no row has a known label"
        values = np.unique(label)
        return f"all {len(label)} labels are {self.classes[int(values[0])]!r}" if values.size == 1 else None

    def figures(self, label: Floats, answer: Floats) -> dict[str, float]:
        """Return log loss in nats, accuracy, macro F1 and calibration error of the likeliest class."""
        return {
            "log_loss": of.log_loss(label, answer),
            "accuracy": of.accuracy(label, answer),
            "macro_f1": of.macro_f1(label, answer),
            "calibration_error": of.calibration_error(label, answer),
        }

    def counts(self, label: Floats, answer: Floats, threshold: float) -> dict[str, float]:
        """Return rows of the rarest class, answers that are no probabilities, rows decided; shares of these and others.

        The base rate is the share of the commonest class.
        """
        rows = np.bincount(label.astype(np.int64), minlength=len(self.classes))
        sound = (answer >= 0).all(axis=1) & (np.abs(answer.sum(axis=1) - 1) < 1e-3)
        return {
            "rarest_class_rows": int(rows.min()),
            "not_probabilities": int((~sound).sum()),
            "decided": (decided := int((answer.max(axis=1, initial=0.0) >= threshold).sum())),
            "prevalence": float(rows.max()) / max(1, len(label)),
            "share_acted": decided / max(1, len(label)),
        }

    def estimated(self, label: Floats, answer: Floats, blocks: Blocks) -> Estimate:
        """Return the log loss and how sure it is."""
        return blocks.mean(of.row_losses(label, answer), least=0.0)

    def checks(self, figures: Mapping[str, Figure]) -> Iterator[Check]:
        """Ask for answers that are probabilities."""
        wrong = int(figures["not_probabilities"] or 0)
        yield Check.at_most(
            "not_probabilities",
            wrong,
            0,
            code="probabilities",
            unit="count",
            title="answers that are no probabilities",
            reason=f"{wrong} of {figures['rows']} answers are not probabilities with sum 1, needs 0 such",
        )

    def constants(self, label: Floats, value: Value) -> tuple[Constant, ...]:  # noqa: ARG002  classes are worth alike
        """Return handing every row to a person, and always deciding for the commonest class."""
        commonest = int(np.bincount(label.astype(np.int64), minlength=len(self.classes)).argmax())
        return (
            Constant(decision=0.0, name="hand every row to a person"),
            Constant(decision=commonest + 1.0, name=f"always {self.classes[commonest]}"),
        )

    def constant_answer(self, label: Floats) -> Floats:
        """Return each class's share."""
        return (np.bincount(label.astype(np.int64), minlength=len(self.classes)) / max(1, len(label)))[None, :]

    def row_losses(self, label: Floats, answer: Floats) -> npt.NDArray[np.float64]:
        """Return each row's log loss in nats."""
        return of.row_losses(label, answer)

    def decisions(self, answer: Floats, threshold: float) -> npt.NDArray[np.float64]:
        """Return 0 where a person decides, elsewhere the class's place, counted from 1."""
        return np.where(answer.max(axis=1, initial=0.0) >= threshold, answer.argmax(axis=1) + 1.0, 0.0)

    def decided_values_eur(self, label: Floats, decision: Floats, value: Value) -> npt.NDArray[np.float64]:
        """Return what each decision is worth above handing it to a person."""
        return _multiclass_value(value).stakes.worth_eur(decision == label + 1, decision > 0)

    def best_threshold(self, label: Floats, answer: Floats, value: Value) -> float:
        """Return the certainty from which deciding is worth most."""
        return best_threshold(label, answer, _multiclass_value(value))

    def readout(self, classes: Sequence[int], rows: int, error: Floats) -> Readout:  # noqa: ARG002
        """Return what reads the probability of each class."""
        return of_classes(classes, range(len(self.classes)), rows)

    def new_head(self, label: Floats | None = None) -> "MulticlassHead":  # noqa: ARG002  nothing is fitted to labels
        """Return an uncalibrated head."""
        from factory.tasks.multiclass.head import MulticlassHead

        return MulticlassHead(len(self.classes))

    def gallery(self, holdout: "Holdout") -> "Gallery":
        """Return the confusion matrix, reliability of the likeliest class, and value against certainty."""
        from factory.tasks.multiclass.pictures import gallery

        return gallery(holdout)


def _multiclass_value(value: Any) -> MulticlassValue:
    assert isinstance(value, MulticlassValue)  # noqa: S101  the line's file was read by this task's own table
    return value

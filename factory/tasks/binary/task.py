"""The binary task: figures, money, baseline and head, each in a module of its own, gathered for the factory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.errors import TrainingError
from factory.model.check import Check, Figure, Unit
from factory.tasks.binary import figures as of
from factory.tasks.binary.value import BinaryValue, best_threshold, row_values_eur
from factory.tasks.intervals import Blocks, Estimate
from factory.tasks.plain import Readout, of_classes
from factory.tasks.task import Constant, Floats, Task, Value

if TYPE_CHECKING:
    from factory.charts.pictures import Gallery
    from factory.tasks.binary.head import BinaryHead
    from factory.tasks.holdout import Holdout


@dataclass(frozen=True, kw_only=True)
class Binary(Task):
    """Will it happen? Labels are 0 or 1, an answer is the probability of 1."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    headline: ClassVar[str] = "average_precision"
    smaller_is_better: ClassVar[frozenset[str]] = frozenset({"log_loss", "calibration_error"})
    units: ClassVar[Mapping[str, Unit]] = {
        "calibration_error": "share",
        "positives": "count",
        "alarms": "count",
        "prevalence": "share",
        "share_acted": "share",
    }
    output: ClassVar[str] = "probability"
    value: ClassVar[type[Value]] = BinaryValue
    compared: ClassVar[tuple[str, ...]] = ("average_precision", "roc_auc")
    gateable: ClassVar[tuple[str, ...]] = (
        *compared,
        "log_loss",
        "calibration_error",
        "positives",
        "alarms",
        "prevalence",
        "share_acted",
    )

    kind: Literal["binary"] = "binary"
    """Will it happen? One probability a row."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The one column, `probability`."""
        return ("probability",)

    def codes(self, label: pl.Series) -> npt.NDArray[np.float32]:
        """Return 0, 1 and NaN. Raises TrainingError on any other label."""
        if not (label.dtype.is_numeric() or label.dtype in (pl.Boolean, pl.Null)):
            raise TrainingError(f"labels are {label.dtype}; a binary line's features give 0, 1 or null")
        codes = label.cast(pl.Float32)
        if others := sorted({*codes.drop_nulls().drop_nans().unique()} - {0, 1}):
            shown = ", ".join(f"{value:g}" for value in others[:3])
            raise TrainingError(f"labels say {shown}; a binary line's features give 0, 1 or null")
        return codes.to_numpy().astype(np.float32)

    def flaw(self, label: Floats) -> str | None:
        """Return why these labels are of no use: none, others than 0 and 1, or all the same."""
        if not len(label):
            return "no row has a known label"
        values = np.unique(label)
        if not np.isin(values, (0.0, 1.0)).all():
            return f"labels must be 0 or 1, found {values[~np.isin(values, (0.0, 1.0))][:3].tolist()}"
        if values.size == 1:
            return f"all {len(label)} labels are {values[0]:.0f}"
        return None

    def figures(self, label: Floats, answer: Floats) -> dict[str, float]:
        """Return average precision, ROC AUC, log loss in nats and expected calibration error."""
        probability = answer[:, 0]
        return {
            "average_precision": of.average_precision(label, probability),
            "roc_auc": of.roc_auc(label, probability),
            "log_loss": of.log_loss(label, probability),
            "calibration_error": of.expected_calibration_error(label, probability),
        }

    def counts(self, label: Floats, answer: Floats, threshold: float) -> dict[str, float]:
        """Return positives, answers that are no probabilities, alarms, and the shares of positives and alarms."""
        positives, alarms = int(label.sum()), int((answer[:, 0] >= threshold).sum())
        return {
            "positives": positives,
            "not_probabilities": int((~((answer >= 0) & (answer <= 1))).sum()),
            "alarms": alarms,
            "prevalence": positives / max(1, len(label)),
            "share_acted": alarms / max(1, len(label)),
        }

    def estimated(self, label: Floats, answer: Floats, blocks: Blocks) -> Estimate:
        """Return the average precision and how sure it is."""
        return of.estimated_average_precision(label, answer[:, 0], blocks)

    def checks(self, figures: Mapping[str, Figure]) -> Iterator[Check]:
        """Ask for rows of both classes, or there is nothing to rank, and for answers that are probabilities."""
        rows, positives, wrong = (int(figures[name] or 0) for name in ("rows", "positives", "not_probabilities"))
        if rows:
            alike = f"holdout has one class only, {positives} positives in {rows} rows, needs both"
            yield Check.at_least("positives", positives, 1, code="both_classes", unit="count", reason=alike)
            yield Check.at_most("positives", positives, rows - 1, code="both_classes", unit="count", reason=alike)
        yield Check.at_most(
            "not_probabilities",
            wrong,
            0,
            code="probabilities",
            unit="count",
            title="answers that are no probability",
            reason=f"{wrong} of {rows} answers are not between 0 and 1, needs 0 such",
        )

    def constants(self, label: Floats, value: Value) -> tuple[Constant, ...]:  # noqa: ARG002  there are but two
        """Return never and always raising an alarm."""
        return (Constant(decision=0.0, name="never act"), Constant(decision=1.0, name="always act"))

    def constant_answer(self, label: Floats) -> Floats:
        """Return the share of positives."""
        return np.array([[label.mean() if len(label) else np.nan]])

    def row_losses(self, label: Floats, answer: Floats) -> npt.NDArray[np.float64]:
        """Return each row's log loss in nats."""
        return of.row_losses(label, answer[:, 0])

    def decisions(self, answer: Floats, threshold: float) -> npt.NDArray[np.float64]:
        """Return 1 where there is an alarm, 0 elsewhere."""
        return (answer[:, 0] >= threshold).astype(np.float64)

    def decided_values_eur(self, label: Floats, decision: Floats, value: Value) -> npt.NDArray[np.float64]:
        """Return what each decision is worth above no alarm."""
        assert isinstance(value, BinaryValue)  # noqa: S101  the line's file was read by this task's own table
        return row_values_eur(label, decision > 0, value)

    def best_threshold(self, label: Floats, answer: Floats, value: Value) -> float:
        """Return the probability from which an alarm is worth most."""
        assert isinstance(value, BinaryValue)  # noqa: S101
        return best_threshold(label, answer[:, 0], value)

    def readout(self, classes: Sequence[int], rows: int, error: Floats) -> Readout:  # noqa: ARG002
        """Return what reads the probability of 1."""
        return of_classes(classes, (1,), rows)

    def new_head(self, label: Floats | None = None) -> "BinaryHead":  # noqa: ARG002  nothing is fitted to labels
        """Return an uncalibrated head."""
        from factory.tasks.binary.head import BinaryHead

        return BinaryHead()

    def gallery(self, holdout: "Holdout") -> "Gallery":
        """Return reliability, precision against recall, and value against threshold."""
        from factory.tasks.binary.pictures import gallery

        return gallery(holdout)

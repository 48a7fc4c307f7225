"""The regression task: figures, money, baseline and head, each in a module of its own, gathered for the factory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from factory.errors import LineError, TrainingError
from factory.model.check import Check, Figure, Unit
from factory.tasks.intervals import Blocks, Estimate
from factory.tasks.plain import Readout
from factory.tasks.regression import figures as of
from factory.tasks.regression.value import RegressionValue, best_constant, best_margin, cost_eur
from factory.tasks.task import Constant, Floats, Task, Value

if TYPE_CHECKING:
    from factory.charts.pictures import Gallery
    from factory.tasks.holdout import Holdout
    from factory.tasks.regression.head import RegressionHead

MIN_ROWS = 30
"""A window with fewer rows says nothing about how far estimates miss."""


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """How much? Labels are numbers, an answer is an estimate with the interval that should hold the outcome."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    classifies: ClassVar[bool] = False
    headline: ClassVar[str] = "rmse"
    smaller_is_better: ClassVar[frozenset[str]] = frozenset({"rmse", "mae", "interval_width"})
    units: ClassVar[Mapping[str, Unit]] = {"coverage": "share"}
    output: ClassVar[str] = "estimate"
    value: ClassVar[type[Value]] = RegressionValue
    compared: ClassVar[tuple[str, ...]] = ("rmse", "mae")
    gateable: ClassVar[tuple[str, ...]] = (*compared, "bias", "coverage", "interval_width")

    kind: Literal["regression"] = "regression"
    """How much? An estimate with an interval."""
    coverage: float = 0.9
    """The share of outcomes that should lie in their interval."""
    minimum: float | None = None
    """What no outcome can be below: answers are cut there."""
    maximum: float | None = None
    """What no outcome can be above: answers are cut there."""

    def __post_init__(self) -> None:
        """Raise LineError on a promise that no interval could keep."""
        if not 0.5 <= self.coverage < 1:
            raise LineError(f"task: coverage {self.coverage:g} must be at least 0.5 and below 1", at=("coverage",))
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise LineError(f"task: minimum {self.minimum:g} must be below maximum {self.maximum:g}", at=("minimum",))

    @property
    def answers(self) -> tuple[str, ...]:
        """The estimate and its interval."""
        return ("estimate", "low", "high")

    def codes(self, label: pl.Series) -> npt.NDArray[np.float32]:
        """Return the numbers, NaN where unknown. Raises TrainingError on labels that are not numbers."""
        if not (label.dtype.is_numeric() or label.dtype == pl.Null):
            raise TrainingError(f"labels are {label.dtype}; a regression line's features give numbers or null")
        return label.cast(pl.Float32).to_numpy().astype(np.float32)

    def flaw(self, label: Floats) -> str | None:
        """Return why these labels are of no use: too few, an infinite one, or all the same."""
        if len(label) < MIN_ROWS:
            return f"{len(label)} rows have a known label, an estimate needs {MIN_ROWS}"
        if not np.isfinite(label).all():
            return f"{int((~np.isfinite(label)).sum())} labels are infinite"
        if np.ptp(label) == 0:
            return f"all {len(label)} labels are {label[0]:g}"
        return None

    def figures(self, label: Floats, answer: Floats) -> dict[str, float]:
        """Return root mean squared and mean absolute error, bias, coverage and mean width of the intervals."""
        return {
            "rmse": of.rmse(label, answer),
            "mae": of.mae(label, answer),
            "bias": of.bias(label, answer),
            "coverage": of.coverage(label, answer),
            "interval_width": of.interval_width(label, answer),
        }

    def counts(self, label: Floats, answer: Floats, threshold: float) -> dict[str, float]:  # noqa: ARG002
        """Return how many answers are no interval around an estimate."""
        in_order = (answer[:, 1] <= answer[:, 0]) & (answer[:, 0] <= answer[:, 2])
        return {"not_intervals": int((~(in_order & np.isfinite(answer).all(axis=1))).sum())}

    def estimated(self, label: Floats, answer: Floats, blocks: Blocks) -> Estimate:
        """Return the root mean squared error and how sure it is."""
        return blocks.mean(of.squared_errors(label, answer)).root()

    def checks(self, figures: Mapping[str, Figure]) -> Iterator[Check]:
        """Ask for answers that are an interval around an estimate."""
        wrong = int(figures["not_intervals"] or 0)
        yield Check.at_most(
            "not_intervals",
            wrong,
            0,
            code="intervals",
            unit="count",
            title="answers that are no interval around an estimate",
            reason=f"{wrong} of {figures['rows']} answers are no finite low ≤ estimate ≤ high, needs 0 such",
        )

    def constants(self, label: Floats, value: Value) -> tuple[Constant, ...]:
        """Return acting every time on the one number that costs least."""
        number = best_constant(label, _regression_value(value))
        return (Constant(decision=number, name=f"always act on {number:.6g}"),)

    def constant_answer(self, label: Floats) -> Floats:
        """Return the mean, three times: an estimate without an interval."""
        return np.full((1, 3), label.mean(dtype=np.float64) if len(label) else np.nan)

    def row_losses(self, label: Floats, answer: Floats) -> npt.NDArray[np.float64]:
        """Return the estimate's squared error."""
        return of.squared_errors(label, answer)

    def decisions(self, answer: Floats, threshold: float) -> npt.NDArray[np.float64]:
        """Return the numbers acted on: estimate less margin."""
        return answer[:, 0].astype(np.float64) - threshold

    def decided_values_eur(self, label: Floats, decision: Floats, value: Value) -> npt.NDArray[np.float64]:
        """Return what acting on each number costs against knowing the outcome, 0 or less."""
        return cost_eur(label, decision, _regression_value(value))

    def best_threshold(self, label: Floats, answer: Floats, value: Value) -> float:
        """Return the margin to take off the estimate before acting on it."""
        return best_margin(label, answer[:, 0], _regression_value(value))

    def readout(self, classes: Sequence[int], rows: int, error: Floats) -> Readout:  # noqa: ARG002
        """Return the estimate with an interval around it that holds the promised share of those errors.

        It is as wide everywhere: split conformal prediction (Lei et al., 2018), each side by itself.
        """
        outside = (1 - self.coverage) / 2 * (1 - 1 / max(len(error), 1))
        below, above = np.quantile(error, [outside, 1 - outside]) if len(error) else (0.0, 0.0)
        return Readout(
            matrix=np.ones((1, 3), np.float32),
            offset=np.array([0.0, min(below, 0.0), max(above, 0.0)], np.float32),
            minimum=self.minimum,
            maximum=self.maximum,
        )

    def new_head(self, label: Floats | None = None) -> "RegressionHead":
        """Return a head that knows the labels' centre and spread."""
        from factory.tasks.regression.head import RegressionHead

        return RegressionHead(self.coverage, self.minimum, self.maximum, label)

    def gallery(self, holdout: "Holdout") -> "Gallery":
        """Return estimates against outcomes, error by outcome, coverage, and value against margin."""
        from factory.tasks.regression.pictures import gallery

        return gallery(holdout)


def _regression_value(value: Any) -> RegressionValue:
    assert isinstance(value, RegressionValue)  # noqa: S101  the line's file was read by this task's own table
    return value

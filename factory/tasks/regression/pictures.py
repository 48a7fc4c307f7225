"""A report's pictures of a regression line: estimates and outcomes, errors, coverage, the value of margins."""

import numpy as np
import numpy.typing as npt

from factory.charts.numbers import brief, figure, percent
from factory.charts.pictures import Gallery, Plane, ReferenceLine, Series
from factory.tasks.curves import ACROSS, tenths, with_hindsight, worth_curves
from factory.tasks.holdout import ROLES, Holdout
from factory.tasks.task import Floats

SHOWN = 160
"""The most estimates that can be distinguished in a picture."""
BINS = 8


def gallery(holdout: Holdout) -> Gallery:
    """Return estimate against outcome, error by outcome, coverage by tenth, and value against margin."""
    figures = holdout.task.figures(holdout.label, holdout.candidate.answer)
    return Gallery(
        says=f"its estimates are off by {figure(figures['mae'])} on average",
        pictures=(estimates(holdout), errors(holdout), coverage(holdout), value_by_margin(holdout)),
    )


def estimates(holdout: Holdout) -> Plane:
    """Return estimates with their intervals against outcomes; of many rows some, drawn by lot."""
    rows = _some(len(holdout.label))
    label, answer = holdout.label[rows], holdout.candidate.answer[rows]
    figures = holdout.task.figures(holdout.label, holdout.candidate.answer)
    low, high = float(min(label.min(), answer.min())), float(max(label.max(), answer.max()))
    lean = "too high" if figures["bias"] > 0 else "too low"
    return Plane(
        title="How close are the estimates?",
        says=f"Off by {figure(figures['mae'])} on average, {figure(abs(figures['bias']))} {lean} on the whole. "
        f"On the line is right{_drawn(len(rows), len(holdout.label))}.",
        x_label="what happened",
        y_label="estimate and its interval",
        series=[
            Series(name="", x=label, y=answer[:, 0], low=answer[:, 1], high=answer[:, 2], style="dots", accent=True)
        ],
        diagonal=True,
        x_range=(low, high),
        y_range=(low, high),
    )


def _some(rows: int) -> npt.NDArray[np.int64]:
    chosen = np.random.default_rng(7).permutation(rows)[:SHOWN]
    return np.sort(chosen).astype(np.int64)


def _drawn(shown: int, rows: int) -> str:
    return "" if shown == rows else f"; {shown} of {rows:,} rows, drawn by lot"


def errors(holdout: Holdout) -> Plane:
    """Return the mean absolute error over equal numbers of rows by outcome, for model and baseline."""
    parts = _parts(holdout.label, BINS)
    middle = np.array([float(holdout.label[part].mean()) for part in parts])
    curves = [
        Series(
            name=ROLES[role],
            x=middle,
            y=np.array([_mae(holdout, role, part) for part in parts]),
            style="both",
            accent=role == "candidate",
        )
        for role in ("candidate", "baseline")
        if role in holdout.models
    ]
    worst = int(np.argmax(curves[0].y))
    return Plane(
        title="Where does it miss?",
        says=f"Most where the outcome was about {brief(float(f'{middle[worst]:.2g}'))}: off by "
        f"{figure(float(curves[0].y[worst]))} there, by {figure(float(curves[0].y.min()))} where it is best.",
        x_label="what happened",
        y_label="mean absolute error",
        series=curves,
        y_range=(0.0, float(np.nanmax([curve.y.max() for curve in curves])) * 1.12 or 1.0),
    )


def _parts(values: Floats, bins: int) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(values, kind="stable")
    return [part for part in np.array_split(order, min(bins, max(1, len(order) // 5))) if len(part)]


def _mae(holdout: Holdout, role: str, part: npt.NDArray[np.int64]) -> float:
    answer = holdout.models[role].answer[part, 0].astype(np.float64)
    return float(np.abs(answer - holdout.label[part]).mean())


def coverage(holdout: Holdout) -> Plane:
    """Return the share of outcomes inside their interval by tenths of the rows by estimate."""
    answer = holdout.candidate.answer
    inside = (holdout.label >= answer[:, 1]) & (holdout.label <= answer[:, 2])
    estimate, share, low, high = tenths(inside, answer[:, 0])
    figures = holdout.task.figures(holdout.label, answer)
    promised = float(getattr(holdout.task, "coverage", np.nan))
    return Plane(
        title="Do the intervals hold?",
        says=f"{percent(figures['coverage'])} of the outcomes lie in their interval, {percent(promised)} are promised; "
        f"it is {figure(figures['interval_width'])} wide on average.",
        x_label="estimate",
        y_label="outcomes inside",
        series=[Series(name="", x=estimate, y=share, low=low, high=high, style="both", accent=True)],
        references=[ReferenceLine(at=promised, text="promised", axis="y")],
        y_form="percent",
        y_range=(min(0.5, float(low.min())), 1.0),
    )


def value_by_margin(holdout: Holdout) -> Plane:
    """Return what acting on the estimate less each margin is worth, the chosen margin marked."""
    chosen = holdout.candidate.threshold
    curves = worth_curves(holdout, lambda answer: _margins(holdout, answer))
    return Plane(
        title="How much margin to take?",
        says=f"Acting on the estimate less {figure(chosen)}. {with_hindsight(holdout, curves[0])}",
        x_label="margin taken off the estimate",
        y_label="EUR above the best constant decision",
        series=curves,
        references=[ReferenceLine(at=chosen, text="chosen")],
    )


def _margins(holdout: Holdout, answer: Floats) -> npt.NDArray[np.float64]:
    """Return margins from none to what makes almost every estimate too low."""
    error = answer[:, 0].astype(np.float64) - holdout.label
    chosen = holdout.candidate.threshold
    most = float(np.quantile(error[np.isfinite(error)], 0.995, method="higher"))
    return np.linspace(min(0.0, chosen), max(chosen * 1.5, most, 1e-9), ACROSS)

"""A report's pictures of a binary line: reliability, precision and recall, the value of each threshold."""

import math

import numpy as np
import numpy.typing as npt

from factory.charts.numbers import figure, percent
from factory.charts.pictures import Gallery, Plane, ReferenceLine, Series
from factory.tasks.curves import ACROSS, SHOWN, tenths, with_hindsight, worth_curves
from factory.tasks.holdout import ROLES, Holdout
from factory.tasks.task import Floats


def gallery(holdout: Holdout) -> Gallery:
    """Return reliability, precision against recall, and value against threshold."""
    precision, recall = at(holdout.label, holdout.candidate.answer[:, 0], holdout.candidate.threshold)
    right = f"; {percent(precision)} of its alarms are right" if math.isfinite(precision) else ""
    return Gallery(
        says=f"it catches {percent(recall)} of the cases{right}",
        pictures=(separation(holdout), reliability(holdout), precision_recall(holdout), value_by_threshold(holdout)),
        caution="Where it happens rarely, average precision is lower by its nature.",
    )


def separation(holdout: Holdout) -> Plane:
    """Return how the probabilities of rows where it happened and where it did not are spread."""
    chance, case = holdout.candidate.answer[:, 0], holdout.label > 0
    area = holdout.task.figures(holdout.label, holdout.candidate.answer)["roc_auc"]
    edges = np.linspace(0.0, min(1.0, float(np.nanmax(chance)) * 1.02), 21)
    kinds = (("it happened", case, True), ("it did not", ~case, False))
    series = [
        Series(name=name, x=(edges[:-1] + edges[1:]) / 2, y=_shares(chance[rows], edges), accent=accent)
        for name, rows, accent in kinds
    ]
    return Plane(
        title="Does it tell the two apart?",
        says=f"Of a row where it happened and one where it did not, the right one got the higher probability in "
        f"{percent(area)} of all pairs.",
        x_label="probability",
        y_label="share of rows",
        series=series,
        x_form="percent",
        y_form="percent",
        x_range=(0.0, float(edges[-1])),
    )


def _shares(chance: Floats, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    counts = np.histogram(chance, bins=edges)[0].astype(np.float64)
    shares: npt.NDArray[np.float64] = counts / max(1.0, counts.sum())
    return shares


def reliability(holdout: Holdout) -> Plane:
    """Return promised against observed frequency in tenths of the rows, with Wilson's 95 % interval."""
    error = holdout.task.figures(holdout.label, holdout.candidate.answer)["calibration_error"]
    promised, observed, low, high = tenths(holdout.label > 0, holdout.candidate.answer[:, 0])
    most = min(1.0, float(max(promised.max(), high.max())) * 1.05)
    return Plane(
        title="Are its probabilities kept?",
        says=f"Promised and observed differ by {percent(error)} of the cases on average. On the line is right; "
        "each dot is a tenth of the decisions.",
        x_label="said to happen",
        y_label="did happen",
        series=[Series(name="", x=promised, y=observed, low=low, high=high, style="both", accent=True)],
        diagonal=True,
        x_form="percent",
        y_form="percent",
        x_range=(0.0, most),
        y_range=(0.0, most),
    )


def precision_recall(holdout: Holdout) -> Plane:
    """Return precision against recall of model and baseline, the chosen threshold marked."""
    model = holdout.candidate
    precision, recall = at(holdout.label, model.answer[:, 0], model.threshold)
    raises_alarms = not math.isnan(precision)
    chosen = Series(name="", x=np.array([recall]), y=np.array([precision]), style="dots", accent=True)
    at_threshold = (
        f"At its threshold {figure(model.threshold)} it catches {percent(recall)} of the cases, and "
        f"{percent(precision)} of its alarms are right."
        if raises_alarms
        else f"At its threshold {figure(model.threshold)} it raises no alarm."
    )
    curves = [_curve(holdout, role) for role in SHOWN if role in holdout.models]
    return Plane(
        title="What do the alarms catch?",
        says=f"{at_threshold} Happens in {percent(float((holdout.label > 0).mean()))} of all rows.",
        x_label="cases caught",
        y_label="alarms that are right",
        series=[*curves, *([chosen] if raises_alarms else [])],
        references=[ReferenceLine(at=float((holdout.label > 0).mean()), text="alarm always", axis="y")],
        x_form="percent",
        y_form="percent",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )


def at(label: Floats, chance: Floats, threshold: float) -> tuple[float, float]:
    """Return precision (NaN without an alarm) and recall at a threshold."""
    alarm, case = chance >= threshold, label > 0
    caught = int((alarm & case).sum())
    return (caught / int(alarm.sum()) if alarm.any() else float("nan")), caught / max(1, int(case.sum()))


def _curve(holdout: Holdout, role: str) -> Series:
    chance = holdout.models[role].answer[:, 0]
    points = [at(holdout.label, chance, threshold) for threshold in _thresholds(chance)]
    return Series(
        name=ROLES[role],
        x=np.array([recall for _, recall in points]),
        y=np.array([precision for precision, _ in points]),
        accent=role == "candidate",
    )


def _thresholds(chance: Floats) -> npt.NDArray[np.float64]:
    known = chance[np.isfinite(chance)].astype(np.float64)
    return np.unique(np.quantile(known, np.linspace(0, 1, ACROSS)))[::-1] if known.size else np.zeros(0)


def value_by_threshold(holdout: Holdout) -> Plane:
    """Return what the holdout would have earned at each threshold, the chosen one marked."""
    chosen = holdout.candidate.threshold
    curves = worth_curves(holdout, lambda answer: _thresholds(answer[:, 0]))
    return Plane(
        title="What is each threshold worth?",
        says=with_hindsight(holdout, curves[0]),
        x_label="threshold",
        y_label="EUR above the best constant decision",
        series=curves,
        references=[ReferenceLine(at=chosen, text="chosen")] if chosen <= 1 else [],
        x_range=(0.0, 1.0),
    )

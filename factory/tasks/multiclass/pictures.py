"""A report's pictures of a multiclass line: confusion, recall by class, reliability, the value of certainty."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from factory.charts.numbers import percent, whole
from factory.charts.pictures import Dots, Gallery, Matrix, Plane, ReferenceLine, Row, Series
from factory.tasks.curves import ACROSS, tenths, wilson, with_hindsight, worth_curves
from factory.tasks.holdout import Holdout
from factory.tasks.task import Floats

LISTED = 12
CLASSES = 8
"""So many classes fit a picture: the most frequent ones, and the others together."""
OTHERS = "others"


def gallery(holdout: Holdout) -> Gallery:
    """Return the confusion matrix, reliability of the likeliest class, and value against certainty."""
    figures = holdout.task.figures(holdout.label, holdout.candidate.answer)
    decided = float((holdout.candidate.answer.max(axis=1) >= holdout.candidate.threshold).mean())
    return Gallery(
        says=f"its likeliest class is right in {percent(figures['accuracy'])} of the rows, and it decides "
        f"{percent(decided)} of them by itself",
        pictures=(confusion(holdout), recall_by_class(holdout), reliability(holdout), value_by_certainty(holdout)),
    )


def recall_by_class(holdout: Holdout) -> Dots:
    """Return of each class the share of its rows that were given it, the hardest first."""
    predicted, names = holdout.candidate.answer.argmax(axis=1), holdout.task.answers
    rows = [_recall_row(names[place], predicted[holdout.label == place] == place) for place in range(len(names))]
    hardest = sorted((row for row in rows if row.value is not None), key=lambda row: row.value or 0.0)[:LISTED]
    return Dots(
        title="How well is each class found?",
        says=f"Hardest is {hardest[0].name}. Share of a class's rows that were given it, with the number of its rows.",
        rows=[replace(row, accent=place == 0) for place, row in enumerate(hardest)],
        form="percent",
    )


def _recall_row(name: str, hit: npt.NDArray[np.bool_]) -> Row:
    if not len(hit):
        return Row(name=name, value=None)
    share, low, high = wilson(np.array([hit.mean()]), np.array([len(hit)], np.float64))
    return Row(
        name=name,
        value=float(share[0]),
        low=float(low[0]),
        high=float(high[0]),
        note=f"{percent(float(share[0]))} of {whole(len(hit))}",
    )


def confusion(holdout: Holdout) -> Matrix:
    """Return what was taken for what; of many classes the most frequent, and the others together."""
    names, places = _classes(holdout)
    truth = places[holdout.label.astype(np.int64)]
    predicted = places[holdout.candidate.answer.argmax(axis=1)]
    counts = np.bincount(truth * len(names) + predicted, minlength=len(names) ** 2).reshape(len(names), len(names))
    return Matrix(title="What is taken for what?", says=_worst(names, counts), names=names, counts=counts)


def _classes(holdout: Holdout) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the names to draw, and for each class of the line its place among them."""
    classes = list(holdout.task.answers)
    if len(classes) <= CLASSES:
        return classes, np.arange(len(classes))
    rows = np.bincount(holdout.label.astype(np.int64), minlength=len(classes))
    most_frequent = sorted(np.argsort(-rows, kind="stable")[: CLASSES - 1].tolist())
    places = np.full(len(classes), len(most_frequent), np.int64)
    places[most_frequent] = np.arange(len(most_frequent))
    return [*(classes[place] for place in most_frequent), OTHERS], places


def _worst(names: list[str], counts: npt.NDArray[np.int64]) -> str:
    """Return in words which two are confused most."""
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return "Every row was given its right class."
    truth, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    share = wrong[truth, predicted] / max(1, counts[truth].sum())
    return (
        f"Most often {names[truth]} is taken for {names[predicted]}: {whole(int(wrong[truth, predicted]))} times, "
        f"{percent(float(share))} of its rows."
    )


def reliability(holdout: Holdout) -> Plane:
    """Return how sure it was of the likeliest class against how often it was right."""
    answer = holdout.candidate.answer
    error = holdout.task.figures(holdout.label, answer)["calibration_error"]
    promised, observed, low, high = tenths(answer.argmax(axis=1) == holdout.label, answer.max(axis=1))
    least = max(0.0, float(min(promised.min(), low.min())) - 0.05)
    return Plane(
        title="Is it as sure as it may be?",
        says=f"How sure it was and how often it was right differ by {percent(error)} on average. On the line is "
        "right; each dot is a tenth of the rows.",
        x_label="how sure it was",
        y_label="how often it was right",
        series=[Series(name="", x=promised, y=observed, low=low, high=high, style="both", accent=True)],
        diagonal=True,
        x_form="percent",
        y_form="percent",
        x_range=(least, 1.0),
        y_range=(least, 1.0),
    )


def value_by_certainty(holdout: Holdout) -> Plane:
    """Return what the holdout would have earned by deciding from each certainty on, the chosen one marked."""
    chosen = holdout.candidate.threshold
    curves = worth_curves(holdout, _certainties)
    return Plane(
        title="From which certainty to decide?",
        says=f"{with_hindsight(holdout, curves[0])} What is less sure goes to a person, for 0 EUR.",
        x_label="least certainty",
        y_label="EUR above the best constant decision",
        series=curves,
        references=[ReferenceLine(at=chosen, text="chosen")] if chosen <= 1 else [],
    )


def _certainties(answer: Floats) -> npt.NDArray[np.float64]:
    sure = answer.max(axis=1).astype(np.float64)
    return np.unique(np.quantile(sure[np.isfinite(sure)], np.linspace(0, 1, ACROSS)))

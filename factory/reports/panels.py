"""The pictures that every site's page has, whatever its task: training, models side by side, money, weak spots."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np

from factory.charts.numbers import figure, percent, signed, whole, words
from factory.charts.pictures import Bars, Dots, Picture, Plane, ReferenceLine, Row, Series
from factory.reports.facts import Epochs, SiteFacts
from factory.reports.importance import MOST_COLUMNS
from factory.reports.slices import Slice, worst
from factory.tasks.intervals import Interval
from factory.tasks.task import Task

MOST_IMPORTANT = MOST_COLUMNS
RULES = 10


def quarantine(facts: SiteFacts) -> Bars | None:
    """Return quarantined rows by the rule they broke; None where it is empty."""
    waiting = facts.rows.get("quarantine", 0)
    if not facts.broken_rules:
        return None
    raw = max(1, facts.rows.get("raw", 0))
    return rules_bars(
        facts.broken_rules, f"{whole(waiting)} rows wait there unchanged, {percent(waiting / raw)} of all."
    )


def rules_bars(rules: Sequence[tuple[str, int]], says: str) -> Bars:
    """Return broken rules, the most broken first; of many the first ten and the others together."""
    shown = [Row(name=rule, value=rows) for rule, rows in rules[:RULES]]
    rest = sum(rows for _, rows in rules[RULES:])
    others = [Row(name=f"{len(rules) - RULES} other rules", value=rest)] if rest else []
    return Bars(title="Quarantine by broken rule", says=says, rows=[*shown, *others])


def training(title: str, epochs: Epochs, why: str) -> Plane | None:
    """Return the loss on training and validation rows by epoch, the best one marked; None without epochs."""
    if not epochs:
        return None
    number = np.arange(1, len(epochs) + 1, dtype=np.float64)
    losses = {
        name: np.array([epoch.get(f"{name}_loss", np.nan) for epoch in epochs]) for name in ("training", "validation")
    }
    series = [
        Series(name=name, x=number, y=loss, style="both", accent=name == "validation") for name, loss in losses.items()
    ]
    best = losses["validation"]
    references = [ReferenceLine(at=float(np.nanargmin(best)) + 1, text="best")] if np.isfinite(best).any() else []
    return Plane(
        title=title,
        says=sentence(why),
        x_label="epoch",
        y_label="mean loss",
        series=series,
        references=references,
        x_form="whole",
    )


def sentence(words_: str) -> str:
    """Return words as a sentence."""
    return f"{words_[:1].upper()}{words_[1:]}{'' if words_.endswith('.') else '.'}" if words_ else ""


def site_training(facts: SiteFacts) -> list[Plane]:
    """Return the site's fine-tuning and the base model's training, as far as they are on record."""
    trainings = [
        training("Fine-tuning on the site's rows", facts.site_epochs, facts.why),
        training("The base model, on all sites", facts.base_epochs, facts.base_why),
    ]
    return [picture for picture in trainings if picture]


def models(facts: SiteFacts) -> Dots | None:
    """Return the headline of every model with its interval; None where nothing could be measured."""
    headline = facts.line.task.headline
    rows = _model_rows(facts, headline, facts.shown.headline, figure)
    better = "greater" if facts.line.task.greater_is_better else "smaller"
    title = f"Which model is best? {words(headline)}"
    says = f"{better.capitalize()} is better; lines show where it lies with 95 % certainty.{_change(facts)}"
    return Dots(title=title, says=says, rows=rows) if rows else None


def _change(facts: SiteFacts) -> str:
    if facts.is_baseline:
        return " The site's model is the baseline itself, with which nothing is compared."
    change, chance = (facts.figures.get(name) for name in ("change_vs_baseline", "probability_better_than_baseline"))
    if not (isinstance(change, float) and isinstance(chance, float)):
        return ""
    return f" Against the baseline {signed(change)}, better with a certainty of {percent(chance)}."


def money(facts: SiteFacts) -> Dots | None:
    """Return what every model's decisions are worth, with the interval; None where nothing could be measured."""
    rows = _model_rows(facts, "value_eur", facts.shown.money, whole)
    says = (
        f"EUR on {whole(len_rows(facts))} rows held out, above the best constant decision{_constant(facts)}; each by "
        "its own threshold."
    )
    if not rows or not len_rows(facts):
        return None
    return Dots(title="What are its decisions worth?", says=says, rows=rows, form="brief")


def _constant(facts: SiteFacts) -> str:
    """Return in brackets what that decision is; nothing in figures from before it was known."""
    name = facts.figures.get("constant")
    return f" ({name})" if name else ""


def len_rows(facts: SiteFacts) -> int:
    """Return how many rows were judged."""
    rows = facts.figures.get("rows")
    return int(rows) if isinstance(rows, int | float) else 0


def _model_rows(
    facts: SiteFacts, name: str, intervals: Mapping[str, Interval], write: Callable[[float], str]
) -> list[Row]:
    rows = []
    for role, label in facts.roles.items():
        value = facts.figures.get(name if role == "candidate" else f"{role}_{name}")
        if not isinstance(value, int | float):
            continue
        where = intervals.get(role)
        note = write(float(value))
        rows.append(
            Row(
                name=label,
                value=float(value),
                low=where.low if where else None,
                high=where.high if where else None,
                note=note,
                accent=role == "candidate",
            )
        )
    return rows


def importance(facts: SiteFacts) -> Dots | None:
    """Return the most important columns; None where nothing could be measured."""
    ranked, described = facts.shown.importances[:MOST_IMPORTANT], facts.line.features.columns
    if not ranked:
        return None
    rows = [
        Row(
            name=importance.column,
            value=importance.worsens,
            low=importance.least,
            high=importance.most,
            accent=place < 3,
            hint=described.get(importance.column, ""),
        )
        for place, importance in enumerate(ranked)
    ]
    says = (
        f"By how much {words(facts.line.task.headline)} worsens when a column is shuffled, the served file answering. "
        f"{ranked[0].column} matters most{_as_described(described.get(ranked[0].column, ''))}."
    )
    return Dots(
        title="What does it look at?",
        says=says,
        rows=rows,
        form="signed",
        reference=ReferenceLine(at=0.0, text="no matter"),
    )


def _as_described(words_: str) -> str:
    return f": {words_.rstrip('.')}" if words_ else ""


def slice_pictures(facts: SiteFacts) -> list[Dots]:
    """Return one picture of slices for each column that was cut."""
    overall = facts.figures.get(facts.line.task.headline)
    number = float(overall) if isinstance(overall, int | float) else None
    return [
        _slices(facts.line.task, column, list(parts), number)
        for column, parts in groupby(facts.shown.slices, key=lambda part: part.column)
    ]


def _slices(task: Task, column: str, parts: Sequence[Slice], overall: float | None) -> Dots:
    weakest = (min if task.greater_is_better else max)(parts, key=lambda part: part.headline)
    rows = [
        Row(
            name=part.where,
            value=part.headline,
            low=part.low,
            high=part.high,
            note=f"{figure(part.headline)} on {whole(part.rows)}",
            accent=part is weakest,
        )
        for part in parts
    ]
    reference = ReferenceLine(at=overall, text="all rows") if overall is not None else None
    return Dots(title=f"By {column}", says=worst(task, parts, overall), rows=rows, reference=reference)


def present(*pictures: Picture | None) -> list[Picture]:
    """Return the pictures there are."""
    return [picture for picture in pictures if picture]

"""The pictures of the line's page: all sites side by side."""

from collections.abc import Mapping

import numpy as np

from factory.charts.numbers import UNKNOWN, eur, figure, signed, whole, words
from factory.charts.pictures import Bars, Dots, Row
from factory.reports.facts import LineFacts
from factory.reports.panels import MOST_IMPORTANT, rules_bars


def headline(facts: LineFacts) -> Dots | None:
    """Return every judged site's headline beside its baseline's."""
    name = facts.line.task.headline
    rows = []
    for site in facts.sites:
        figures = site.verdict.figures if site.verdict else {}
        value, low, high = (figures.get(name) for name in (name, f"{name}_low", f"{name}_high"))
        if isinstance(value, int | float):
            rows.append(
                Row(
                    name=site.site,
                    value=float(value),
                    low=float(low) if isinstance(low, int | float) else None,
                    high=float(high) if isinstance(high, int | float) else None,
                    note=f"{figure(float(value))} ({signed_change(figures)})",
                    accent=site.serves_this,
                )
            )
    better = "Greater" if facts.line.task.greater_is_better else "Smaller"
    says = (
        f"{better} is better; in colour the candidates that serve. In brackets the change against the site's baseline."
    )
    return Dots(title=f"How good is each site? {words(name)}", says=says, rows=rows) if rows else None


def signed_change(figures: Mapping[str, object]) -> str:
    """Return the headline's change against the baseline."""
    change = figures.get("change_vs_baseline")
    return signed(change) if isinstance(change, float) else UNKNOWN


def money(facts: LineFacts) -> Dots | None:
    """Return what every judged site's decisions are worth."""
    rows = []
    for site in facts.sites:
        value = site.verdict.figures.get("value_eur") if site.verdict else None
        if isinstance(value, int | float):
            rows.append(
                Row(
                    name=site.site,
                    value=float(value),
                    low=site.value_low,
                    high=site.value_high,
                    note=whole(value),
                    accent=site.serves_this,
                )
            )
    rows.sort(key=lambda row: -(row.value or 0.0))
    total = sum(row.value or 0.0 for row in rows if row.accent)
    says = f"EUR on the rows held out, above the best constant decision; {eur(total)} of the candidates that serve."
    return Dots(title="What is each site worth?", says=says, rows=rows, form="brief") if rows else None


def importance(facts: LineFacts) -> Dots | None:
    """Return the columns that matter most over the sites with importances, weighed by their rows, with least and most.

    A column that a site does not name among its most important is taken to cost nothing there.
    """
    measured = [site for site in facts.sites if site.importances and site.verdict]
    if not measured:
        return None
    weights = np.array([float(site.verdict.figures["rows"] or 0) for site in measured if site.verdict])
    columns = dict.fromkeys(column for site in measured for column in site.importances)
    worsenings = {column: np.array([site.importances.get(column, 0.0) for site in measured]) for column in columns}
    means = {column: float(np.average(worsens, weights=weights)) for column, worsens in worsenings.items()}
    rows = [
        Row(
            name=column,
            value=means[column],
            low=float(worsenings[column].min()),
            high=float(worsenings[column].max()),
            accent=place < 3,
            hint=facts.line.features.columns.get(column, ""),
        )
        for place, column in enumerate(sorted(means, key=lambda column: -means[column])[:MOST_IMPORTANT])
    ]
    name = words(facts.line.task.headline)
    says = f"By how much {name} worsens when a column is shuffled: mean over all rows judged, and range over sites."
    return Dots(title="What do the models look at?", says=says, rows=rows, form="signed")


def quarantine(facts: LineFacts) -> Bars | None:
    """Return quarantined rows of all sites by broken rule; None where all are empty."""
    counted: dict[str, int] = {}
    for site in facts.sites:
        for rule, rows in site.broken.items():
            counted[rule] = counted.get(rule, 0) + int(rows)
    if not counted:
        return None
    waiting = sum(site.rows.get("quarantine", 0) for site in facts.sites)
    most = max(facts.sites, key=lambda site: site.rows.get("quarantine", 0))
    says = f"{whole(waiting)} rows of all sites wait there, most of them at {most.site}."
    return rules_bars(sorted(counted.items(), key=lambda rule: -rule[1]), says)

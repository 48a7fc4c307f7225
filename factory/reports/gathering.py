"""Facts from what the stages recorded: the journal's entries, quarantined rows, the models' answers to the holdout."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from factory.evaluation.evidence import Figures
from factory.features.samples import Samples
from factory.line.line import Line
from factory.model.verdict import Verdict
from factory.reports.facts import LineFacts, Serving, Shown, SiteFacts, SiteLine
from factory.reports.importance import Rows, importances
from factory.reports.limits import limits
from factory.reports.slices import slices
from factory.storage.journal import Entry
from factory.tasks.holdout import Holdout, Scored
from factory.tasks.intervals import Blocks

SLICED = 3
"""How many of the most important columns are sliced."""
RULE = "rule"
COMPARED = ("baseline", "base", "champion")


def broken_rules(quarantine: pl.DataFrame) -> list[tuple[str, int]]:
    """Return each broken rule and how many of the quarantined rows broke it; a row may have broken several."""
    counted = Counter(rule for rules in quarantine[RULE] for rule in str(rules).split("; "))
    return sorted(counted.items(), key=lambda rule: (-rule[1], rule[0]))


def holdout(line: Line, samples: Samples, blocks: Blocks, answers: Mapping[str, Rows], figures: Figures) -> Holdout:
    """Return the judged rows with the models' answers, each model deciding by the threshold its verdict had.

    `blocks` say which rows are alike. `answers` are by role; a role whose threshold is not in the verdict is left out.
    """
    thresholds = {
        "candidate": figures.get("threshold"),
        **{role: figures.get(f"{role}_threshold") for role in COMPARED},
    }
    models = {
        role: Scored(answer=answer, threshold=float(threshold))
        for role, answer in answers.items()
        if isinstance(threshold := thresholds[role], int | float)
    }
    return Holdout(task=line.task, label=samples.label, blocks=blocks, models=models, value=line.value)


def shown(judged: Holdout, samples: Samples, answer: Callable[[Rows], Rows], columns: tuple[str, ...]) -> Shown:
    """Return what the judged rows show; `answer` is the served file."""
    enough = judged.enough
    ranked = importances(judged.task, answer, samples.features, judged.label, columns) if enough else []
    now = samples.features if samples.features.ndim == 2 else samples.features[:, -1, :]
    chosen = [(column.column, columns.index(column.column)) for column in ranked[:SLICED] if column.worsens > 0]
    return Shown(
        headline={role: judged.headline(role) for role in judged.models} if len(judged.label) else {},
        money={role: judged.money(role) for role in judged.models} if len(judged.label) else {},
        gallery=judged.task.gallery(judged) if enough else None,
        slices=slices(judged, now, chosen) if enough else [],
        importances=ranked,
    )


def site_facts(
    line: Line,
    site: str,
    *,
    entries: Mapping[str, Entry],
    quarantine: pl.DataFrame,
    windows: Mapping[str, int],
    serving: Serving | None,
    held_back: str | None,
    seen: Shown,
) -> SiteFacts:
    """Return a site's facts; `entries` are its newest of each stage, with the line's `base_model`."""
    figures = {stage: entry.figures for stage, entry in entries.items()}
    verdict = Verdict.from_dict(figures["verdict"]["verdict"])
    cleaned, model, base = figures.get("clean", {}), figures["site_model"], figures.get("base_model", {})
    return SiteFacts(
        line=line,
        site=site,
        verdict=verdict,
        limits=limits(verdict.checks),
        serving=serving,
        held_back=held_back,
        rows={**_rows(cleaned, figures.get("features", {})), **windows},
        contract_share=cleaned.get("contract_share"),
        table_failures=cleaned.get("table_failures", []),
        contract_warnings=cleaned.get("contract_warnings", []),
        broken_rules=broken_rules(quarantine),
        why=model.get("why", ""),
        base_why=base.get("why", ""),
        base_epochs=base.get("epochs", []),
        site_epochs=model.get("epochs", []),
        shown=seen,
        versions=_versions(model),
        registry=model.get("registry", ""),
        judged_at=f"{entries['verdict'].at:%Y-%m-%d %H:%M} UTC",
    )


def _rows(cleaned: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, int]:
    counts = {
        name: int(cleaned[name])
        for name in ("raw", "clean", "quarantine", "superseded", "withdrawn")
        if name in cleaned
    }
    of_features = {"features": features.get("row_count"), "labelled": features.get("labelled")}
    return counts | {name: int(count) for name, count in of_features.items() if count is not None}


def _versions(model: Mapping[str, Any]) -> dict[str, str]:
    known = {"model version": str(model.get("version", "")), "SHA-256 of the model file": str(model.get("digest", ""))}
    origin = {
        name.replace("delta_version.", "lake version of "): str(value)
        for name, value in model.get("provenance", {}).items()
    }
    return known | {name.replace("_", " "): value for name, value in origin.items()}


def site_line(
    site: str, entries: Mapping[str, Entry], serving: Serving | None, page: str | None, reported: Mapping[str, Any]
) -> SiteLine:
    """Return a site as the line's page shows it; `reported` are the figures of its own page, from the journal."""
    cleaned = entries["clean"].figures if "clean" in entries else {}
    features = entries["features"].figures if "features" in entries else {}
    return SiteLine(
        site=site,
        page=page,
        rows=_rows(cleaned, features),
        broken=cleaned.get("broken", {}),
        verdict=Verdict.from_dict(entries["verdict"].figures["verdict"]) if "verdict" in entries else None,
        serving=serving,
        importances=reported.get("importance", {}),
        value_low=reported.get("value_low"),
        value_high=reported.get("value_high"),
    )


def line_facts(line: Line, sites: Sequence[SiteLine], base: Entry) -> LineFacts:
    """Return the line's facts."""
    figures = base.figures
    return LineFacts(
        line=line,
        sites=sites,
        base_why=figures.get("why", ""),
        base_epochs=figures.get("epochs", []),
        versions=_versions(figures),
        as_of=str(figures.get("as_of", "")),
    )

"""The stage `base_model`: pooled features in; base model, baseline scores and a registry entry out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.errors import TrainingError
from factory.features.samples import samples
from factory.line.recipe import Recipe
from factory.line.split import DECIDED_AT, Parts
from factory.model.candidate import Candidate
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, Figures, Work
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE
from factory.training.epoch import Epoch

BASELINE = "baseline"


def base_model(run: LineRun) -> Work:
    """Return what trains one network on the pooled sites, and the baseline that it must beat."""

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        contents = {site: entry.content for site, entry in run.journal.latest("features").items()}
        made_from = fingerprint(contents, run.division().fingerprint)
        return dict.fromkeys(sites, made_from)

    def do(sites: Sequence[str]) -> Mapping[str, Figures]:
        (made_from,) = set(inputs(sites).values())
        checkpoint = _checkpoint(run, made_from)
        if run.redo_from:  # a finished training's checkpoint would be taken for the new one
            checkpoint.unlink(missing_ok=True)
        return dict.fromkeys(sites, _trained(run, checkpoint))

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        return together(sites, do)

    return Work(do=isolated, inputs=inputs, lost=lambda sites: run.lost("base_model", sites))


def _checkpoint(run: LineRun, made_from: str) -> Path:
    """Return the file that a killed training goes on from: of the same rows, by the same recipe and code."""
    code = run.code.of(("task", "recipe", "feature names"), ("training", "tasks"))
    return run.scratch / run.line.name / "base_model" / f"{fingerprint(made_from, code)}.safetensors"


def _trained(run: LineRun, checkpoint: Path) -> Figures:
    from factory.training.candidates import base_candidate

    parts = run.line.parts(run.feature_rows(), run.until)
    if parts.train.is_empty() or parts.validation.is_empty():
        raise TrainingError(
            f"line {run.line.name}: {len(parts.train)} training and {len(parts.validation)} validation rows with "
            f"a known outcome before {run.as_of}; both must have some: load more, or change `split`"
        )

    def report(epoch: Epoch) -> None:
        run.say(
            f"base_model: {_place(epoch, run.line.recipe)}, "
            f"validation {run.line.task.headline.replace('_', ' ')} {epoch.validation_headline:.3f}"
        )

    candidate = base_candidate(
        run.line,
        parts,
        device=run.compute.device,
        checkpoint=checkpoint,
        report=report,
        provenance=run.provenance(),
    )
    registered = run.register("base_model", candidate)
    _keep_baseline(run, parts)
    return {"version": registered.version, "registry": registered.url, **_figures(candidate, parts)}


def _place(epoch: Epoch, recipe: Recipe) -> str:
    """Return how far a training has come, and how far it goes at most."""
    if recipe.max_steps is None:
        return f"epoch {epoch.number} of {recipe.epochs}"
    return f"step {epoch.number * min(recipe.validate_every, recipe.max_steps):,} of at most {recipe.max_steps:,}"


def _figures(candidate: Candidate, parts: Parts) -> Figures:
    return {
        "holdout_rows": len(parts.holdout),
        "digest": candidate.digest,
        CONTENT: candidate.digest,
        "why": candidate.why,
        "ranges": {feature: list(ends) for feature, ends in candidate.ranges.items()},
        "typical": dict(candidate.typical),
        "epochs": [dict(epoch) for epoch in candidate.epochs],
        **candidate.metrics,
    }


def _keep_baseline(run: LineRun, parts: Parts) -> None:
    """Write what the baseline says of every row that the gates look at; the baseline itself is never saved."""
    from factory.training.baseline import fit_baseline

    line, lake = run.line, run.lake
    baseline = fit_baseline(samples(line, parts.train, parts.rows), line.recipe, line.task, run.compute.resolved)
    rows = pl.concat([parts.validation, parts.holdout])
    answer = baseline.answer(samples(line, rows, parts.rows).features)
    scores = rows.select(SITE, *line.features.key, DECIDED_AT).with_columns(
        pl.Series(f"{BASELINE}_{column}", answer[:, column], dtype=pl.Float32) for column in range(answer.shape[1])
    )
    before = lake.scan(BASELINE).select(SITE).unique().collect()[SITE].to_list() if lake.has(BASELINE) else []
    lake.replace(BASELINE, scores, lake.site_versions(BASELINE, {*scores[SITE], *before}))

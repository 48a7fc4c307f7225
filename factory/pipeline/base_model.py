"""The stage `base_model`: pooled features in; base model, the pooled rungs' answers and a registry entry out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.compute.isolation import Isolated, together
from factory.errors import TrainingError
from factory.features.samples import samples
from factory.line.recipe import BASELINE
from factory.line.split import DECIDED_AT, LABEL, Parts
from factory.model.candidate import Candidate
from factory.model.verdict import digest_of
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, Figures, Work
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE

if TYPE_CHECKING:
    from factory.training.checkpoint import Epoch
    from factory.training.pooled import BaseModel


POOLED_ANSWERS = "pooled_answers"
"""The table of what the pooled rungs answered to validation rows, and the baseline to those of the holdout."""
VALIDATION_LABEL = "validation_label"
"""Its column of labels as the task computes with them; null of a row of the holdout."""


def base_model(run: LineRun) -> Work:
    """Return what trains the pooled rungs: the network, and the plain models that it must be worth its cost beside."""

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
    from factory.training import pooled

    parts = run.line.parts(run.learning_rows(), run.until)
    if parts.train.is_empty() or parts.validation.is_empty():
        raise TrainingError(
            f"line {run.line.name}: {len(parts.train)} training and {len(parts.validation)} validation rows with "
            f"a known outcome before {run.as_of}; both must have some: load more, or change `split`"
        )

    recipe = run.line.recipe
    most = f"{recipe.max_steps or recipe.epochs:,}"

    def report(epoch: "Epoch") -> None:
        run.say(
            f"base_model: {recipe.training_length(epoch.number)} of at most {most}, "
            f"validation {run.line.task.headline.replace('_', ' ')} {epoch.validation_headline:.3f}"
        )

    made = pooled.base_model(
        run.line,
        parts,
        device=run.compute.device,
        checkpoint=checkpoint,
        report=report,
        provenance=run.provenance(),
    )
    registered = run.register("base_model", made.candidate)
    _keep_answers(run, parts, made)
    return {"version": registered.version, "registry": registered.url, **_figures(made.candidate, parts)}


def _figures(candidate: Candidate, parts: Parts) -> Figures:
    return {
        "holdout_rows": len(parts.holdout),
        "digest": candidate.digest,
        CONTENT: fingerprint({name: digest_of(file) for name, file in candidate.files.items()}),
        "rung": candidate.rung,
        "plain": {name: digest_of(rung.onnx) for name, rung in candidate.plain.items()},
        "sites": int(parts.train[SITE].n_unique()),
        "why": candidate.why,
        "ranges": {feature: list(ends) for feature, ends in candidate.ranges.items()},
        "typical": dict(candidate.typical),
        "epochs": [dict(epoch) for epoch in candidate.epochs],
        **candidate.metrics,
    }


def _keep_answers(run: LineRun, parts: Parts, made: "BaseModel") -> None:
    """Write what the pooled rungs say of the rows that sites choose by, and the baseline of those that judge, too.

    What they say of validation rows is from before they learnt from them.
    """
    line, lake = run.line, run.lake
    judging = made.baseline.answers(samples(line, parts.holdout, parts.rows).features)
    keys = [SITE, *line.features.key, DECIDED_AT]
    chosen_by = parts.validation.select(keys).with_columns(
        pl.Series(VALIDATION_LABEL, line.task.codes(parts.validation[LABEL]), dtype=pl.Float32),
        *(series for rung, answer in made.on_validation.items() for series in _columns(rung, answer)),
    )
    rows = pl.concat([chosen_by, parts.holdout.select(keys).with_columns(_columns(BASELINE, judging))], how="diagonal")
    had = lake.scan(POOLED_ANSWERS).select(SITE).unique().collect()[SITE].to_list() if lake.has(POOLED_ANSWERS) else []
    lake.replace(POOLED_ANSWERS, rows, lake.site_versions(POOLED_ANSWERS, {*rows[SITE], *had}))


def _columns(rung: str, answer: NDArray[np.float32]) -> list[pl.Series]:
    names = answer_columns(rung, answer.shape[1])
    return [pl.Series(name, answer[:, place], dtype=pl.Float32) for place, name in enumerate(names)]


def answer_columns(rung: str, answers: int) -> list[str]:
    """Return the columns of POOLED_ANSWERS that have a rung's answers."""
    return [f"{rung}_{column}" for column in range(answers)]

"""The stage `site_model`: of the pooled rungs and the site's own network the one that its rows choose, registered."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.compute.isolation import Isolated, together
from factory.features.samples import samples
from factory.line.split import DECIDED_AT, Parts
from factory.model.candidate import REFERENCE_FILE, RUNGS_FILE, WEIGHTS_FILE, Candidate, PlainRung, rung_file
from factory.model.reference_answers import ReferenceAnswers, tensors_of
from factory.names import LINE_SITE
from factory.pipeline.base_model import POOLED_ANSWERS, VALIDATION_LABEL, answer_columns
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, Figures, Work
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE

if TYPE_CHECKING:
    from factory.training.site import PooledRungs, SiteRows

_TRAINING_S = "_training_s"


def site_model(run: LineRun) -> Work:
    """Return what fine-tunes the sites together in one training, and registers each one's candidate."""

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        base, features = run.entry("base_model", LINE_SITE), run.journal.latest("features", sites)
        split = run.division().fingerprint
        contents = {site: features[site].content if site in features else None for site in sites}
        return {site: fingerprint(base.content, content, split) for site, content in contents.items()}

    def do(sites: Sequence[str]) -> Mapping[str, Figures]:
        from factory.training.site import site_candidates

        answered = run.lake.scan(POOLED_ANSWERS).filter(pl.col(VALIDATION_LABEL).is_not_nan()).collect()
        pooled, parts = _pooled(run, answered), run.parts(sites)
        candidates = site_candidates(
            run.line,
            pooled,
            {site: _site_rows(run, parts.of(site), answered, [*pooled.plain]) for site in sites},
            device=run.compute.device,
            provenance=run.provenance(),
        )
        return {site: _registered(run, candidates[site]) for site in sites}

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        return together(sites, do)

    return Work(do=isolated, inputs=inputs, lost=lambda sites: run.lost("site_model", sites))


def _pooled(run: LineRun, answered: pl.DataFrame) -> "PooledRungs":
    """Return the pooled rungs as the registry and the lake keep them."""
    from factory.training.ladder import Judged
    from factory.training.site import PooledRungs

    figures, base = run.entry("base_model", LINE_SITE).figures, run.registered("base_model", LINE_SITE)
    names = sorted(figures["plain"])
    reference = tensors_of(run.registry.file(*base, RUNGS_FILE)) if names else {}
    seconds = {name.removesuffix(_TRAINING_S): took for name, took in figures.items() if name.endswith(_TRAINING_S)}
    return PooledRungs(
        reference=ReferenceAnswers.from_bytes(run.registry.file(*base, REFERENCE_FILE)).rows,
        weights=run.registry.file(*base, WEIGHTS_FILE) if "network" in run.line.recipe.rungs else None,
        plain={
            name: PlainRung(onnx=run.registry.file(*base, rung_file(name)), reference=reference[name]) for name in names
        },
        training_s=seconds,
        sites=figures["sites"],
        judged=Judged(
            label=answered[VALIDATION_LABEL].to_numpy(),
            answers={rung: _answers(run, answered, rung) for rung in seconds},
        ),
    )


def _site_rows(run: LineRun, parts: Parts, answered: pl.DataFrame, plain: Sequence[str]) -> "SiteRows":
    """Return a site's windows; of the validation rows those that the pooled rungs were asked about, with answers."""
    from factory.training.site import SiteRows

    keys = [SITE, *run.line.features.key, DECIDED_AT]
    validation = parts.validation.join(
        answered.select(*keys, VALIDATION_LABEL, pl.selectors.starts_with(*(f"{rung}_" for rung in plain)))
        if plain
        else answered.select(*keys, VALIDATION_LABEL),
        on=keys,
        how="inner",
        nulls_equal=True,
        maintain_order="left",
    )
    return SiteRows(
        train=samples(run.line, parts.train, parts.rows),
        validation=samples(run.line, validation, parts.rows),
        plain={rung: _answers(run, validation, rung) for rung in plain},
        decisions=_decisions(run, parts.rows),
    )


def _answers(run: LineRun, answered: pl.DataFrame, rung: str) -> NDArray[np.float32]:
    return answered.select(answer_columns(rung, len(run.line.task.answers))).to_numpy().astype(np.float32)


def _decisions(run: LineRun, rows: pl.DataFrame) -> float:
    """Return how many decisions a site takes within the horizon of the line's costs, as often as until now.

    Where decisions tell no time, all that there are so far count as one horizon's.
    """
    if not len(rows) or not isinstance(rows.schema[DECIDED_AT], pl.Datetime):
        return float(len(rows))
    days: float = rows.select(pl.col(DECIDED_AT).max() - pl.col(DECIDED_AT).min()).item() / timedelta(days=1)
    return len(rows) / max(days, 1.0) * run.line.costs.horizon_days


def _registered(run: LineRun, candidate: Candidate) -> Figures:
    registered = run.register("site_model", candidate)
    return {
        "version": registered.version,
        "digest": candidate.digest,
        CONTENT: candidate.digest,
        "threshold": candidate.threshold,
        "fine_tuned": candidate.fine_tuned,
        "rung": candidate.rung,
        "rungs": {name: dict(figures) for name, figures in candidate.rungs.items()},
        "why": candidate.why,
        "registry": registered.url,
        "provenance": dict(candidate.provenance),
        "example": [None if np.isnan(value) else float(value) for value in candidate.example[-1].ravel()],
        "epochs": [dict(epoch) for epoch in candidate.epochs],
        **candidate.metrics,
    }

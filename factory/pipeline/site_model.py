"""The stage `site_model`: the base model fine-tuned on each site's own rows, registered as a candidate."""

from collections.abc import Mapping, Sequence

import numpy as np

from factory.compute.isolation import Isolated, together
from factory.model.candidate import WEIGHTS_FILE, Candidate
from factory.names import LINE_SITE
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, Figures, Work
from factory.storage.journal import fingerprint


def site_model(run: LineRun) -> Work:
    """Return what fine-tunes the sites together in one training, and registers each one's candidate."""

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        base, features = run.entry("base_model", LINE_SITE), run.journal.latest("features", sites)
        split = run.division().fingerprint
        contents = {site: features[site].content if site in features else None for site in sites}
        return {site: fingerprint(base.content, content, split) for site, content in contents.items()}

    def do(sites: Sequence[str]) -> Mapping[str, Figures]:
        from factory.training.candidates import site_candidates

        candidates = site_candidates(
            run.line,
            run.registry.file(*run.registered("base_model", LINE_SITE), WEIGHTS_FILE),
            run.parts(sites),
            sites,
            device=run.compute.device,
            provenance=run.provenance(),
        )
        return {site: _registered(run, candidates[site]) for site in sites}

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        return together(sites, do)

    return Work(do=isolated, inputs=inputs, lost=lambda sites: run.lost("site_model", sites))


def _registered(run: LineRun, candidate: Candidate) -> Figures:
    registered = run.register("site_model", candidate)
    return {
        "version": registered.version,
        "digest": candidate.digest,
        CONTENT: candidate.digest,
        "threshold": candidate.threshold,
        "fine_tuned": candidate.fine_tuned,
        "why": candidate.why,
        "registry": registered.url,
        "provenance": dict(candidate.provenance),
        "example": [None if np.isnan(value) else float(value) for value in candidate.example[-1].ravel()],
        "epochs": [dict(epoch) for epoch in candidate.epochs],
        **candidate.metrics,
    }

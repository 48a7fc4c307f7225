"""The stage `outcomes`: the labels known by now joined to the predictions, and what each decision was worth."""

from collections.abc import Sequence

import polars as pl

from factory.compute.isolation import Isolated
from factory.monitoring.outcomes import outcomes as known_outcomes
from factory.monitoring.predictions import DIGEST, key_columns
from factory.pipeline.line_run import LineRun
from factory.pipeline.predictions import PREDICTIONS
from factory.pipeline.work import Figures, Work
from factory.storage.lake import SITE

OUTCOMES = "outcomes"


def outcomes(run: LineRun) -> Work:
    """Return what joins outcomes; a label that was corrected at the source corrects its outcome."""
    served = run.served

    def joined(site: str) -> pl.DataFrame | None:
        predictions = served.table(PREDICTIONS, site)
        if predictions is None:
            return None
        constant = {
            digest: served.reference(site, digest).constant for digest in predictions[DIGEST].unique().to_list()
        }
        return known_outcomes(run.line, predictions, served.rows.filter(pl.col(SITE) == site), constant)

    def do(sites: Sequence[str]) -> Isolated[Figures]:
        return served.keep_outcomes(OUTCOMES, sites, joined, key_columns(run.line))

    return Work(do=do)

"""The stage `outcomes`: the labels known by now joined to the predictions, and what each decision was worth."""

from collections.abc import Sequence

import polars as pl

from factory.compute.isolation import Isolated
from factory.line.announced import aware
from factory.line.split import DECIDED_AT
from factory.monitoring.acting import live_performance
from factory.monitoring.outcomes import VALUE
from factory.monitoring.outcomes import outcomes as known_outcomes
from factory.monitoring.predictions import DIGEST, PREDICTIONS, key_columns
from factory.pipeline.line_run import LineRun
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
        kept = served.keep_outcomes(OUTCOMES, sites, joined, key_columns(run.line))
        return Isolated(
            done={site: {**done, **_live(run, site)} for site, done in kept.done.items()}, failed=kept.failed
        )

    return Work(do=do)


def _live(run: LineRun, site: str) -> Figures:
    """Return how the decisions of each version turned out, and what their worth is an estimate of."""
    made, known = run.served.table(PREDICTIONS, site), run.served.table(OUTCOMES, site)
    if made is None or not run.served.tells_time:
        return {}
    kind = made.schema[DECIDED_AT]
    until = pl.lit(aware(run.until) if isinstance(kind, pl.Datetime) and kind.time_zone else run.until)
    outcomes_known = made.clear() if known is None else known
    return {
        "by_version": live_performance(run.line, made, outcomes_known, until, VALUE),
        "value_counts": run.line.outcomes.tells,
    }

"""The stage `logged_outcomes`: what really happened after the gateway's answers, once that is known."""

from collections.abc import Sequence

import polars as pl

from factory.compute.isolation import Isolated
from factory.monitoring.outcomes import LOGGED_OUTCOMES, delivered_decisions, outcomes
from factory.monitoring.prediction_log.rows import PREDICTION, PREDICTION_LOG, ROW
from factory.monitoring.predictions import DIGEST, key_columns
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import Figures, Work
from factory.storage.lake import SITE


def logged_outcomes(run: LineRun) -> Work:
    """Return what joins outcomes to logged predictions, as they are joined to the factory's own."""
    return Work(do=LoggedOutcomes(run).join)


class LoggedOutcomes:
    """One run's joining of outcomes to logged predictions."""

    def __init__(self, run: LineRun) -> None:
        self.run, self.served, self.line, self.lake = run, run.served, run.line, run.lake

    def join(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Join the labels known by now to the answers that callers got, and say what each decision was worth."""
        key = [*key_columns(self.line), PREDICTION, ROW]
        return self.served.keep_outcomes(LOGGED_OUTCOMES, sites, self._outcomes, key)

    def _outcomes(self, site: str) -> pl.DataFrame | None:
        if not self.lake.has(PREDICTION_LOG) or not self.served.tells_time:
            return None
        served = self.lake.scan(PREDICTION_LOG, [site])
        rows = self.served.rows.filter(pl.col(SITE) == site)
        decisions = delivered_decisions(self.line, served, rows.schema, self._thresholds(site, served))
        constant = {
            digest: self.served.reference(site, digest).constant for digest in decisions[DIGEST].unique().to_list()
        }
        return outcomes(self.line, decisions, rows, constant) if len(decisions) else None

    def _thresholds(self, site: str, served: pl.LazyFrame) -> dict[str, float]:
        """Return by which threshold each model decides that answered about rows with a known subject."""
        return {digest: manifest.threshold for digest, manifest in self.served.asked(site, served).items()}

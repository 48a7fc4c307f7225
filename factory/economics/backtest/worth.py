"""What decisions of a backtest were worth: decisions that models make now, or those of recorded predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from factory.line.line import Line
from factory.line.split import LABEL, decided
from factory.monitoring.predictions import THRESHOLD, Decider, answers_of, key_columns, predicted, values_eur
from factory.storage.columns import SITE


@dataclass(frozen=True, kw_only=True)
class Model:
    """A file that decides, and the threshold it decides by."""

    content: bytes
    threshold: float


class Worth:
    """Computes in EUR what decisions were worth, by the outcomes in the rows.

    `rows` are all feature rows, numbered (PLACE). What decisions are counted above is each site's best constant
    decision over the whole of the backtest, which nobody could know before: one for all periods and policies.
    """

    def __init__(self, line: Line, rows: pl.DataFrame, first: datetime) -> None:
        self.line = line
        self.rows = rows
        judged = rows.filter(decided() >= first)
        self.constant = {
            str(site): line.task.without_model(line.task.codes(judged.filter(pl.col(SITE) == site)[LABEL]), line.value)
            for site in rows[SITE].unique().to_list()
        }

    def known(self, begin: datetime, end: datetime) -> pl.DataFrame:
        """Return the rows decided in `[begin, end)` whose outcome is known."""
        moment = decided()
        return self.rows.filter((moment >= begin) & (moment < end) & pl.col(LABEL).is_not_null())

    def of_models(self, known: pl.DataFrame, models: Mapping[str, Decider]) -> float:
        """Return what decisions of these models, by site, would have been worth on these rows."""
        total = 0.0
        for site, model in models.items():
            site_rows = known.filter(pl.col(SITE) == site)
            predictions = predicted(self.line, site_rows, self.rows.filter(pl.col(SITE) == site), model)
            total += self._eur(site_rows, predictions, self.constant[site])
        return total

    def of_predictions(self, known: pl.DataFrame, predictions: pl.DataFrame) -> float:
        """Return what the recorded predictions about these rows were worth."""
        if predictions.is_empty():
            return 0.0
        key = key_columns(self.line)
        both = known.select(*key, LABEL).join(predictions, on=key, how="inner", nulls_equal=True)
        return sum(self._eur(part, part, self.constant[str(site)]) for (site,), part in both.group_by(SITE))

    def _eur(self, rows: pl.DataFrame, predictions: pl.DataFrame, constant: float) -> float:
        label, answers = self.line.task.codes(rows[LABEL]), answers_of(self.line.task, predictions)
        return float(values_eur(self.line, label, answers, predictions[THRESHOLD].to_numpy(), constant).sum())

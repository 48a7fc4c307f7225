"""What was told at the door and what it is about: served rows in, decisions whose outcome can be joined out.

They have a prediction's columns, so that `factory.monitoring.outcomes` says of them, too, what really happened and
what it was worth; beside these the prediction's name, for one decision may be asked about twice, and the role: what a
canary earned stands beside what its champion did.
"""

from collections.abc import Mapping

import polars as pl

from factory.line.line import Line
from factory.monitoring.prediction_log.rows import ANSWERED_AT, PREDICTION, ROW, SUBJECT
from factory.monitoring.predictions import DIGEST, THRESHOLD, VERSION, answer_columns, key_columns
from factory.storage.columns import SITE

SERVED_OUTCOMES = "served_outcomes"
ROLE = "role"


def told_decisions(
    line: Line, served: pl.LazyFrame, rows: Mapping[str, pl.DataType], thresholds: Mapping[str, float]
) -> pl.DataFrame:
    """Return what was answered and told about rows that the door knew, each with the threshold it was decided by.

    `rows` is the schema of the line's feature rows, whose key a subject has; `thresholds` are by a model's digest, and
    what a model without one answered is left out.
    """
    about = pl.Struct({name: rows[name] for name in key_columns(line) if name != SITE})
    answers = [pl.col(name) for name in answer_columns(line.task)]
    answered = pl.all_horizontal(answer.is_not_null() for answer in answers)
    kept = served.filter("told", pl.col(SUBJECT).is_not_null(), answered, pl.col(DIGEST).is_in(list(thresholds)))
    asked = kept.select(SITE, SUBJECT, PREDICTION, ROW, ANSWERED_AT, ROLE, VERSION, DIGEST, *answers).collect()
    threshold = pl.col(DIGEST).replace_strict(dict(thresholds), default=None, return_dtype=pl.Float64)
    told = asked.with_columns(pl.col(SUBJECT).str.json_decode(about), threshold.alias(THRESHOLD))
    return told.unnest(SUBJECT).sort(ANSWERED_AT, PREDICTION, ROW)

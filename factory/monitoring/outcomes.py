"""What really happened: predictions and the features' labels in, known outcomes and their worth in EUR out.

Predictions come from the lake, or out of the gateway's prediction log. Labels come late, and a correction changes
them: outcomes are joined anew each time, from all that is known by then.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from factory.line.line import Line
from factory.line.split import LABEL
from factory.monitoring.acting import is_asked, weights
from factory.monitoring.prediction_log.rows import ANSWERED_AT, PREDICTION, ROW, SUBJECT
from factory.monitoring.predictions import (
    DIGEST,
    THRESHOLD,
    VERSION,
    answer_columns,
    answers_of,
    key_columns,
    values_eur,
)
from factory.storage.columns import SITE

VALUE = "value_eur"
LOGGED_OUTCOMES = "logged_outcomes"
ROLE = "role"


def outcomes(line: Line, predictions: pl.DataFrame, rows: pl.DataFrame, constant: Mapping[str, float]) -> pl.DataFrame:
    """Return the predictions whose outcome is known, each with its `label` (Float32) and `value_eur`.

    `rows` are feature rows; `constant` says for each model's digest which constant decision it is counted above. Where
    the line's file says what becomes of decisions that were acted on, there is a `weight` too, by which the worth is
    multiplied: a sum of worths estimates what all decisions were worth.
    """
    key = key_columns(line)
    known = rows.select(*key, LABEL).filter(pl.col(LABEL).is_not_null())
    joined = predictions.join(known, on=key, how="inner", nulls_equal=True, maintain_order="left")
    label = line.task.codes(joined[LABEL])
    worth = np.zeros(len(joined), np.float64)
    for digest in joined[DIGEST].unique().to_list():
        mine = (joined[DIGEST] == digest).to_numpy()
        some = joined.filter(pl.Series(mine))
        worth[mine] = values_eur(
            line, label[mine], answers_of(line.task, some), some[THRESHOLD].to_numpy(), constant[digest]
        )
    known = joined.with_columns(pl.Series(LABEL, label, dtype=pl.Float32), pl.Series(VALUE, worth, dtype=pl.Float64))
    return known.with_columns(weight := weights(line, known), pl.col(VALUE) * weight) if is_asked(line) else known


def delivered_decisions(
    line: Line, served: pl.LazyFrame, rows: Mapping[str, pl.DataType], thresholds: Mapping[str, float]
) -> pl.DataFrame:
    """Return the decisions that callers were given about rows with a known subject, each with its threshold.

    `rows` is the schema of the line's feature rows, whose key a subject has; `thresholds` are by a model's digest;
    answers of a model without one are left out. The decisions have a prediction's columns, for `outcomes`, and beside
    these the prediction's name, since one decision may be asked about twice, and the role, since what a canary earned
    stands beside what its champion earned.
    """
    about = pl.Struct({name: rows[name] for name in key_columns(line) if name != SITE})
    answers = [pl.col(name) for name in answer_columns(line.task)]
    answered = pl.all_horizontal(answer.is_not_null() for answer in answers)
    delivered = served.filter("told", pl.col(SUBJECT).is_not_null(), answered, pl.col(DIGEST).is_in(list(thresholds)))
    columns = (SITE, SUBJECT, PREDICTION, ROW, ANSWERED_AT, ROLE, VERSION, DIGEST)
    threshold = pl.col(DIGEST).replace_strict(dict(thresholds), default=None, return_dtype=pl.Float64)
    decisions = delivered.select(*columns, *answers).collect()
    decisions = decisions.with_columns(pl.col(SUBJECT).str.json_decode(about), threshold.alias(THRESHOLD))
    return decisions.unnest(SUBJECT).sort(ANSWERED_AT, PREDICTION, ROW)

"""What really happened: predictions and the features' labels in, known outcomes and their worth in EUR out.

Labels come late, and a correction changes them: outcomes are joined anew each time, from all that is known by then.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from factory.line.line import Line
from factory.line.split import LABEL
from factory.monitoring.predictions import DIGEST, THRESHOLD, answers_of, key_columns, values_eur

VALUE = "value_eur"


def outcomes(line: Line, predictions: pl.DataFrame, rows: pl.DataFrame, idle: Mapping[str, float]) -> pl.DataFrame:
    """Return the predictions whose outcome is known, each with its `label` (Float32) and `value_eur`.

    `rows` are feature rows; `idle` says for each model's digest what would be decided without it (Task.without_model).
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
            line, label[mine], answers_of(line.task, some), some[THRESHOLD].to_numpy(), idle[digest]
        )
    return joined.with_columns(pl.Series(LABEL, label, dtype=pl.Float32), pl.Series(VALUE, worth, dtype=pl.Float64))

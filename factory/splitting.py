"""Feature rows in, training, validation and holdout out: always by time, and only rows whose outcome is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from factory.lake import SITE
from factory.line import Windows
from factory.training.samples import Samples

DECIDED_AT = "decided_at"
LABEL = "label"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Rows with a known outcome, divided by the moment of their decision."""

    train: pl.DataFrame
    validation: pl.DataFrame
    holdout: pl.DataFrame

    def of(self, site: str) -> "Parts":
        """Return one site's rows."""
        mine = pl.col(SITE) == site
        return Parts(
            train=self.train.filter(mine), validation=self.validation.filter(mine), holdout=self.holdout.filter(mine)
        )


def divided(rows: pl.DataFrame, windows: Windows) -> Parts:
    """Return the rows of each window; rows outside all windows and rows without a label are in none."""
    known = rows.filter(pl.col(LABEL).is_not_null())
    moment = pl.col(DECIDED_AT).dt.replace_time_zone(None)
    between = [
        known.filter((moment >= start) & (moment < end))
        for start, end in [
            (windows.train_from, windows.validation_from),
            (windows.validation_from, windows.holdout_from),
            (windows.holdout_from, windows.until),
        ]
    ]
    return Parts(train=between[0], validation=between[1], holdout=between[2])


def samples(rows: pl.DataFrame, columns: Sequence[str] | Mapping[str, str]) -> Samples:
    """Return rows as the network eats them, features in the order of `columns`, NaN where unknown."""
    features = rows.select(pl.col(list(columns)).cast(pl.Float32).fill_null(float("nan"))).to_numpy()
    return Samples(
        features=np.ascontiguousarray(features, dtype=np.float32),
        label=rows[LABEL].to_numpy().astype(np.float32),
        site=rows[SITE].to_numpy().astype(np.str_),
    )

"""Which decisions are acted on, which are held out, and what a known outcome counts for because of that.

A decision whose outcome was known before anybody could be told of it is not acted on, whatever was answered. Which of
the others are held out depends on the decision alone: whoever computes it gets the same, and no run changes it.
"""

import hashlib
import json

import numpy as np
import polars as pl

from factory.line.line import Line
from factory.line.split import DECIDED_AT, LABEL
from factory.monitoring.messages import ACTS, decided
from factory.monitoring.predictions import ACTED_ON, HELD_OUT, SHARE, VERSION, key_columns
from factory.storage.raw_values import text_of

_KINDS = {ACTED_ON: pl.Boolean(), HELD_OUT: pl.Boolean(), SHARE: pl.Float64()}
WEIGHT = "weight"
"""Of an outcome: for how many decisions it counts."""
_DRAWS = 1 << 64


def is_asked(line: Line) -> bool:
    """Whether the line's file says something of decisions that were acted on."""
    return line.outcomes.acted_on != "as_labelled"


def with_acting(line: Line, predictions: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return new predictions with ACTED_ON, HELD_OUT and SHARE; `rows` are their feature rows, in their order.

    As they are where the line's file says nothing of it.
    """
    if not is_asked(line):
        return predictions
    open_ = (decided(line, predictions)[ACTS] & rows[LABEL].is_null()).to_numpy()
    share = line.outcomes.hold_out_share if line.outcomes.acted_on == "hold_out" else 0.0
    held = open_ & (_draws(line, predictions) < share)
    return predictions.with_columns(
        pl.Series(ACTED_ON, open_ & ~held),
        pl.Series(HELD_OUT, held),
        pl.Series(SHARE, [share if one and share else None for one in open_], pl.Float64),
    )


def _draws(line: Line, predictions: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a number in [0, 1) for each decision, which its line, site, key and moment decide."""
    keys = [text_of(predictions[name]).cast(pl.String) for name in key_columns(line)]
    texts = (json.dumps(["hold out", line.name, *row]) for row in zip(*keys, strict=True))
    numbers = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / _DRAWS for text in texts]
    return np.array(numbers, np.float64)


def weights(line: Line, decisions: pl.DataFrame) -> pl.Series:
    """Return for how many decisions each outcome counts.

    1 where nobody acted, 0 where somebody did, and one over its chance where it was held out: in the mean over all
    draws a sum of weighted worths is the sum of what all decisions were worth (Horvitz and Thompson). A decision of
    which nothing is on record, as the gateway's, is taken for acted on where it calls for that.
    """
    if not is_asked(line):
        return pl.Series(WEIGHT, [1.0] * len(decisions), pl.Float64)
    nothing = [pl.lit(None, kind).alias(name) for name, kind in _KINDS.items() if name not in decisions.columns]
    rows = decisions.with_columns(nothing).with_columns(decided(line, decisions)[ACTS].alias("_act"))
    acted, held = pl.col(ACTED_ON).fill_null(pl.col("_act")), pl.col(HELD_OUT).fill_null(value=False)
    return rows.select(pl.when(acted).then(0.0).when(held).then(1 / pl.col(SHARE)).otherwise(1.0).alias(WEIGHT))[WEIGHT]


def without_acted_on(line: Line, rows: pl.DataFrame, predictions: pl.DataFrame | None) -> pl.DataFrame:
    """Return feature rows in which the label of each decision that was acted on is unknown."""
    if predictions is None or not is_asked(line) or ACTED_ON not in predictions.columns:
        return rows
    key = key_columns(line)
    acted = predictions.filter(pl.col(ACTED_ON)).select(key).unique().with_columns(pl.lit(True).alias("_acted"))
    joined = rows.join(acted, on=key, how="left", nulls_equal=True, maintain_order="left")
    known = pl.when(pl.col("_acted").is_null()).then(pl.col(LABEL)).alias(LABEL)
    return joined.with_columns(known).drop("_acted")


def live_performance(
    line: Line, predictions: pl.DataFrame, outcomes: pl.DataFrame, until: pl.Expr, value: str
) -> dict[str, str]:
    """Return, for each version of a site's model, how its decisions turned out, in words.

    `until` is the moment before which outcomes should be known.
    """
    due = predictions.with_columns((pl.col(DECIDED_AT) + line.label.after <= until).alias("_due"))
    words = {}
    for (version,), made in due.group_by(VERSION, maintain_order=True):
        known = outcomes.filter(pl.col(VERSION) == version)
        counted = float(known[WEIGHT].sum()) if WEIGHT in known.columns else float(len(known))
        overdue = int(made["_due"].sum()) - len(known)
        each = f", {float(known[value].sum()) / counted:.2f} EUR each" if counted else ""
        late = f", {overdue:,} overdue" if overdue > 0 else ""
        words[f"version {version}"] = f"{len(made):,} decisions, {len(known):,} outcomes known{late}{each}"
    return words

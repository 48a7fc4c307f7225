"""Decisions as messages to business systems: predictions of the lake, or the gateway's answers, in; messages out."""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import polars as pl

from factory.connectors.sinks.message import Message, message_key, plain
from factory.line.line import Line
from factory.line.sinks import SinkSection
from factory.line.split import DECIDED_AT
from factory.monitoring.predictions import (
    DIGEST,
    HELD_OUT,
    RELEASE,
    THRESHOLD,
    VERSION,
    answer_columns,
    answers_of,
    key_columns,
)
from factory.storage.columns import SITE

ACTS, DECISION = "acts", "decision"


def decided(line: Line, predictions: pl.DataFrame) -> pl.DataFrame:
    """Return predictions with `decision`, what the line does by its threshold, and `acts`, whether it does anything.

    The decision is 1 or 0 of a binary line, a class's place from 1 or 0 for none, or the number that is acted on. Of
    one that is held out nothing is done (factory/monitoring/acting.py).
    """
    answers, thresholds = answers_of(line.task, predictions), predictions[THRESHOLD].to_numpy()
    decision = np.zeros(len(predictions), np.float64)
    for threshold in np.unique(thresholds):
        mine = thresholds == threshold
        decision[mine] = line.task.decisions(answers[mine], float(threshold))
    acts = pl.Series(ACTS, (decision != 0) | (not line.task.classifies))
    if HELD_OUT in predictions.columns:
        acts &= ~predictions[HELD_OUT].fill_null(value=False)
    return predictions.with_columns(pl.Series(DECISION, decision), acts)


def with_keys(line: Line, sink: str, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return decisions with the key that each one's message has, each key once."""
    told_apart = [*line.features.key, DECIDED_AT, VERSION]
    keys = [message_key(line.name, sink, site, rest) for site, *rest in decisions.select(SITE, *told_apart).iter_rows()]
    return decisions.with_columns(pl.Series("message_key", keys, dtype=pl.String)).unique(
        "message_key", keep="first", maintain_order=True
    )


def messages(line: Line, sink: str, decisions: pl.DataFrame) -> Iterable[Message]:
    """Yield a message for each decision, which has its key; a column that is in the decisions alone is its content."""
    identity = identity_columns(line)
    for row in decisions.iter_rows(named=True):
        values = {"line": line.name, **{name: plain(value) for name, value in row.items()}}
        key = str(values.pop("message_key"))
        yield Message(
            key=key,
            sink=sink,
            site=row[SITE],
            identity={name: values.get(name) for name in identity},
            content={name: value for name, value in values.items() if name not in identity},
        )


def identity_columns(line: Line) -> tuple[str, ...]:
    """Return the columns that say which decision a message is about."""
    return tuple(dict.fromkeys(["line", *key_columns(line), RELEASE, VERSION, DIGEST]))


def with_features(line: Line, section: SinkSection, decisions: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return decisions with those features from which the sink's fields are filled."""
    wanted = features_of(line, section)
    if not wanted:
        return decisions
    key = key_columns(line)
    return decisions.join(rows.select(*key, *wanted), on=key, how="left", nulls_equal=True, maintain_order="left")


def features_of(line: Line, section: SinkSection) -> list[str]:
    """Return the features that a sink's fields are filled from, which the prediction itself does not have."""
    own: Collection[str] = {*identity_columns(line), *answer_columns(line.task), THRESHOLD, ACTS, DECISION}
    return [
        name for name in dict.fromkeys(section.fields.values()) if name in line.features.columns and name not in own
    ]


def logged_decisions(decisions: pl.DataFrame, releases: Mapping[str, int]) -> pl.DataFrame:
    """Return the gateway's decisions with the release of each model's digest, as predictions have it."""
    release = pl.col(DIGEST).replace_strict(dict(releases), default=None, return_dtype=pl.Int64)
    return decisions.with_columns(release.alias(RELEASE)).drop("prediction", "row", "answered_at", "role")

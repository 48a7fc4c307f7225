"""What a release is compared with: its model's training rows, and its answers and their worth on the holdout.

One line of JSON for each site and release, kept in the lake; the rows themselves are not needed again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from factory.line.line import Line
from factory.line.split import LABEL, Parts
from factory.monitoring.drift.counting import Columns
from factory.monitoring.drift.measure import Shift, measured
from factory.monitoring.drift.profile import Profile, reference_profiles
from factory.monitoring.outcomes import VALUE
from factory.monitoring.predictions import Decider, answer_columns, answers_of, predicted, values_eur


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One site's reference for one model file.

    `features` is the profile of the site's training rows, `decisions` that of the model's answers and their worth on
    the holdout, where the verdict's promise comes from; each is None where there are too few days to know noise by.
    `constant` is the constant decision that the worth is counted above: the best of the rows of training and
    validation, so that what comes later is counted above the same.
    """

    site: str
    digest: str
    features: Profile | None
    decisions: Profile | None
    constant: float

    def to_json(self) -> str:
        """Return one line; `from_json` is the inverse."""
        profiles = {"features": self.features, "decisions": self.decisions}
        data = {name: profile.to_dict() if profile else None for name, profile in profiles.items()}
        return json.dumps({"site": self.site, "digest": self.digest, "idle": self.constant, **data})

    @classmethod
    def from_json(cls, text: str) -> "Reference":
        """Rebuild a reference."""
        data = json.loads(text)
        profiles: dict[str, Any] = {
            name: Profile.from_dict(data[name]) if data[name] else None for name in ("features", "decisions")
        }
        return cls(site=data["site"], digest=data["digest"], constant=data["idle"], **profiles)


def feature_columns(line: Line) -> Columns:
    """Return what is watched of rows whose outcome is not known yet: the features."""
    return Columns(features=tuple(line.features.columns))


def decision_columns(line: Line) -> Columns:
    """Return what is watched of decisions: the answers, and what each decision was worth."""
    return Columns(features=tuple(answer_columns(line.task)), value_eur=VALUE)


def reference(line: Line, site: str, digest: str, parts: Parts, decider: Decider) -> Reference:
    """Return the reference of a site's model; `parts` are the site's rows, divided as when it was made."""
    constant = line.task.without_model(
        line.task.codes(pl.concat([parts.train[LABEL], parts.validation[LABEL]])), line.value
    )
    judged = predicted(line, parts.holdout, parts.rows, decider)
    label = line.task.codes(parts.holdout[LABEL])
    worth = values_eur(line, label, answers_of(line.task, judged), [decider.threshold] * len(judged), constant)
    decisions = judged.with_columns(pl.Series(VALUE, worth, dtype=pl.Float64))
    return Reference(
        site=site,
        digest=digest,
        features=_profile(parts.train, site, feature_columns(line)),
        decisions=_profile(decisions, site, decision_columns(line)),
        constant=constant,
    )


def shifts(line: Line, rows: pl.LazyFrame, decisions: pl.LazyFrame, references: Sequence[Reference]) -> list[Shift]:
    """Return how far each site's window moved: its feature rows, and its decisions with `value_eur` where known."""
    features = {reference.site: reference.features for reference in references if reference.features}
    decided = {reference.site: reference.decisions for reference in references if reference.decisions}
    return [
        *measured(rows, feature_columns(line), features),
        *measured(decisions, decision_columns(line), decided),
    ]


def _profile(rows: pl.DataFrame, site: str, columns: Columns) -> Profile | None:
    return reference_profiles(rows.lazy(), columns).get(site)

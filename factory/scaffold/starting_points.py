"""What a new line of each kind of task begins with: its section, example money, first limits, the code of its label.

A profile comes in; what goes out is for a person to change in the line's files. One row of the table a kind of task.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from factory.scaffold.profiling.profile import Profile
from factory.scaffold.texts import escaped, said

Money = Mapping[str, tuple[float, str]]
"""Each amount's name → an example in EUR, and what it stands for."""


@dataclass(frozen=True, kw_only=True)
class StartingPoint(ABC):
    """What a new line of one kind of task begins with."""

    kind: str
    money: Money
    has_mean: bool
    """Whether the mean of its labels says something."""
    has_classes: bool
    """Whether the target's values are classes, of which one may be too rare to learn from."""

    @abstractmethod
    def section(self, profile: Profile) -> dict[str, Any]:
        """Return the line file's `task`."""

    @abstractmethod
    def first_limits(self, profile: Profile, held_out: float) -> dict[str, Any]:
        """Return limits that a model of `held_out` rows a site reaches if it has learnt anything."""

    @abstractmethod
    def label(self, profile: Profile, target: str) -> tuple[str, str]:
        """Return what the label is, in words, and the Polars expression of it; `target` is that of the column."""

    def codes(self, profile: Profile) -> Mapping[Any, Any]:  # noqa: ARG002  a number is no code
        """Return the label of each value that the target had; empty where the label is made of any value."""
        return {}

    def to_decide(self, profile: Profile) -> list[str]:  # noqa: ARG002  most kinds leave nothing open
        """Return what a person must decide about the target."""
        return []


class _Binary(StartingPoint):
    def section(self, profile: Profile) -> dict[str, Any]:  # noqa: ARG002
        return {"kind": self.kind}

    def first_limits(self, profile: Profile, held_out: float) -> dict[str, Any]:
        values, target = _values(profile), profile.columns[profile.target]
        share = values[profile.task.values[1]] / target.known
        positives = max(1, min(10, int(share * held_out * 0.4)))
        return {"at_least": {"average_precision": _rounded(share), "positives": positives}}

    def label(self, profile: Profile, target: str) -> tuple[str, str]:
        if not self.codes(profile):
            return "1 where the target is true, 0 where it is not", f"{target}.cast(pl.Float32)"
        return "1 for the positive class, 0 for the other", _coded(target, "pl.Float32")

    def codes(self, profile: Profile) -> Mapping[Any, Any]:
        return {} if profile.task.values[1] is True else dict(zip(profile.task.values, (0, 1), strict=True))

    def to_decide(self, profile: Profile) -> list[str]:
        why = escaped(said(profile.task.why, 200))
        positive = f"The positive class: {why}. If it is the other, make the line again with `--positive`."
        return [] if profile.task.unsure else [positive]


class _Multiclass(StartingPoint):
    def section(self, profile: Profile) -> dict[str, Any]:
        return {"kind": self.kind, "classes": list(profile.task.classes)}

    def first_limits(self, profile: Profile, held_out: float) -> dict[str, Any]:  # noqa: ARG002
        commonest = max(_values(profile).values())
        return {"at_least": {"accuracy": _rounded(commonest / profile.columns[profile.target].known)}}

    def label(self, profile: Profile, target: str) -> tuple[str, str]:  # noqa: ARG002
        return "the name of the class", _coded(target, "pl.String")

    def codes(self, profile: Profile) -> Mapping[Any, Any]:
        return dict(zip(profile.task.values, profile.task.classes, strict=True))


class _Regression(StartingPoint):
    def section(self, profile: Profile) -> dict[str, Any]:
        never_negative = {"minimum": 0} if profile.columns[profile.target].counts.low >= 0 else {}
        return {"kind": self.kind, "coverage": 0.9, **never_negative}

    def first_limits(self, profile: Profile, held_out: float) -> dict[str, Any]:  # noqa: ARG002
        spread = _spread(profile)
        return {"at_most": {"rmse": _rounded(spread)}, "max_parity_error": max(1e-4, _rounded(spread * 1e-3))}

    def label(self, profile: Profile, target: str) -> tuple[str, str]:  # noqa: ARG002
        return "the number to be estimated", f"{target}.cast(pl.Float32)"


STARTING_POINTS: Mapping[str, StartingPoint] = {
    start.kind: start
    for start in (
        _Binary(
            kind="binary",
            money={
                "caught_eur": (100, "a case foreseen: what is saved, less what acting costs"),
                "missed_eur": (-50, "a case not foreseen: what it costs"),
                "false_alarm_eur": (-20, "acted upon in vain"),
            },
            has_mean=True,
            has_classes=True,
        ),
        _Multiclass(
            kind="multiclass",
            money={
                "right_eur": (10, "decided rightly, without a person"),
                "wrong_eur": (-20, "decided wrongly; what is not sure enough goes to a person and is worth 0"),
            },
            has_mean=False,
            has_classes=True,
        ),
        _Regression(
            kind="regression",
            money={
                "over_unit_eur": (-1, "for each unit the answer is too high"),
                "under_unit_eur": (-1, "for each unit it is too low"),
                "over_eur": (0, "once, for being too high at all"),
            },
            has_mean=True,
            has_classes=False,
        ),
    )
}
"""By the kind of task that was inferred from the target."""


def _coded(target: str, kind: str) -> str:
    """Return the code that gives each value that the target had its label, and no label to any other."""
    return f"{target}.replace_strict(LABELS, default=None, return_dtype={kind})"


def _rounded(figure: float) -> float:
    """Return three significant digits."""
    return round(figure, 2 - math.floor(math.log10(abs(figure)))) if figure else 0.0


def _values(profile: Profile) -> Mapping[Any, int]:
    return profile.columns[profile.target].counts.values or {}


def _spread(profile: Profile) -> float:
    """Return the standard deviation of the target: what always answering the mean would be wrong by."""
    known = profile.sample[profile.target].drop_nulls()
    return float(known.cast(float).std() or 0.0) or 1.0  # type: ignore[arg-type]  # a number's is one


EVENT_TASK = "binary"
"""The task of a line that asks whether an event will come."""

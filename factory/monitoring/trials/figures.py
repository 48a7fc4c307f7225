"""The answers of both sides of a trial in, figures that compare them out; `asdict` gives plain JSON types."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.monitoring.trials.gathering import Answer, Gathered, Numbers, Side
from factory.release import Manifest


@dataclass(frozen=True, kw_only=True)
class SideFigures:
    """What one release did. Rows that it abstained from, or that hold no number, are in no figure but `abstained`."""

    requests: int
    rows: int
    abstained: int
    errors: int
    error: str | None
    """The newest error."""
    decisions: Mapping[str, float]
    """Share of each decision among the rows answered; none where the decision is a number (regression)."""
    mean_answers: Mapping[str, float]
    latency_mean_ms: float | None
    """Of the model's calls, on both sides: nobody waits for a shadow, so what clients wait for compares nothing."""
    latency_p95_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Both releases on the same rows, those that both answered."""

    requests: int
    rows: int
    agreement: float | None
    """Share of rows with the same decision; None where the decision is a number, or there are no rows."""
    mean_absolute_difference: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A trial's figures. A shadow answers the champion's requests, so both can be compared; a canary answers others."""

    champion: SideFigures
    challenger: SideFigures
    compared: Compared | None


def figures(gathered: Gathered, champion: Manifest, challenger: Manifest) -> Figures:
    """Return the figures of both sides and, where they were asked the same, of both together."""
    pairs = _pairs(gathered)
    return Figures(
        champion=_side(gathered.champion, champion),
        challenger=_side(gathered.challenger, challenger),
        compared=_compared(pairs, champion, challenger) if pairs else None,
    )


def _pairs(gathered: Gathered) -> list[tuple[Answer, Answer]]:
    mine, theirs = gathered.challenger.answers.values(), gathered.champion.answers
    return [(theirs[answer.copy_of], answer) for answer in mine if answer.copy_of in theirs]


def _side(side: Side, manifest: Manifest) -> SideFigures:
    numbers = _stacked(list(side.answers.values()), manifest)
    known = numbers[_answered(numbers)]
    took_ms = np.array([answer.call_s * 1000 for answer in side.answers.values()])
    return SideFigures(
        requests=len(side.answers) + len(side.errors),
        rows=len(numbers),
        abstained=len(numbers) - len(known),
        errors=len(side.errors),
        error=side.errors[-1] if side.errors else None,
        decisions=_shares(_decisions(manifest, known)),
        mean_answers=_by_answer(manifest, known),
        latency_mean_ms=float(took_ms.mean()) if len(took_ms) else None,
        latency_p95_ms=float(np.quantile(took_ms, 0.95)) if len(took_ms) else None,
    )


def _compared(pairs: Sequence[tuple[Answer, Answer]], champion: Manifest, challenger: Manifest) -> Compared:
    theirs, mine = (_stacked([pair[side] for pair in pairs], champion) for side in (0, 1))
    both = _answered(theirs) & _answered(mine)
    theirs, mine = theirs[both], mine[both]
    decisions = zip(_decisions(champion, theirs), _decisions(challenger, mine), strict=True)
    same = [champion_decision == challenger_decision for champion_decision, challenger_decision in decisions]
    return Compared(
        requests=len(pairs),
        rows=len(mine),
        agreement=float(np.mean(same)) if same else None,
        mean_absolute_difference=_by_answer(champion, np.abs(mine.astype(np.float64) - theirs)),
    )


def _stacked(answers: Sequence[Answer], manifest: Manifest) -> Numbers:
    width = len(manifest.model_signature.answers)
    return np.concatenate([answer.numbers for answer in answers] or [np.empty((0, width), np.float32)])


def _answered(numbers: Numbers) -> NDArray[np.bool_]:
    """Return which rows were answered."""
    return np.atleast_1d(~np.isnan(numbers).any(axis=1))


def _decisions(manifest: Manifest, numbers: Numbers) -> list[str]:
    """Return each row's decision; none where it is a number: hardly two are equal."""
    if not manifest.model_signature.answer_kind.decides_among_few:
        return []
    return [str(manifest.decision(row)) for row in numbers.astype(np.float64)]


def _shares(decisions: Sequence[str]) -> dict[str, float]:
    return {name: count / len(decisions) for name, count in sorted(Counter(decisions).items())}


def _by_answer(manifest: Manifest, numbers: NDArray[np.floating]) -> dict[str, float]:
    """Return the mean of each of the model's answers, by its name; nothing of no rows."""
    if not len(numbers):
        return {}
    means = numbers.mean(axis=0, dtype=np.float64)
    return {name: float(mean) for name, mean in zip(manifest.model_signature.answers, means, strict=True)}

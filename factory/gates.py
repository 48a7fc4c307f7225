"""The gates a candidate must pass before a site may serve it; the answer is a verdict, never an action.

A gate is a function that yields a sentence for each reason against the candidate. To add one, write it and put it
into GATES; a limit of its own is a field of Gates. What cannot be measured does not pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from factory.evidence import Evidence, Figures, measured
from factory.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How sure we must be that the candidate is better than another model on the same rows.

    Of all paired bootstrap resamples of the holdout, the share in which the candidate's average precision exceeds the
    other's by more than `min_absolute_change` must reach `min_probability`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    min_absolute_change: float = 0.0
    min_probability: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Gates:
    """The bar of one line."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    min_rows: int
    min_positives: int
    min_contract_share: float
    min_average_precision: float
    min_value_eur: float
    against_baseline: Comparison
    against_champion: Comparison
    max_probability_of_loss: float = 0.95
    """Refused when the champion earns more in a larger share of resamples than this: beyond noise, not merely today."""
    max_parity_error: float = 1e-4
    max_latency_ms: float = 5.0
    max_size_mb: float = 20.0


def judge(evidence: Evidence, gates: Gates) -> Verdict:
    """Return the verdict on the candidate's digest: every figure, and every reason against it, not only the first.

    Poor evidence gives reasons and raises nothing: no rows, one class, answers that are not probabilities.
    """
    figures = measured(
        evidence,
        baseline_margin=gates.against_baseline.min_absolute_change,
        champion_margin=gates.against_champion.min_absolute_change,
    )
    reasons = tuple(reason for gate in GATES for reason in gate(figures, gates))
    return Verdict(
        line=evidence.line,
        site=evidence.site,
        digest=evidence.digest,
        passed=not reasons,
        reasons=reasons,
        figures=figures.to_dict(),
    )


def enough_rows(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse on a holdout too small to say anything."""
    if figures.rows < gates.min_rows:
        yield f"scored on {figures.rows} rows, needs {gates.min_rows}"


def enough_positives(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse on a holdout with too few of what is to be found."""
    if figures.positives < gates.min_positives:
        yield f"scored on {figures.positives} positives, needs {gates.min_positives}"


def both_classes(figures: Figures, _: Gates) -> Iterator[str]:
    """Refuse on a holdout of one class: it has nothing to rank."""
    if figures.rows and figures.positives in (0, figures.rows):
        yield f"holdout has one class only, {figures.positives} positives in {figures.rows} rows, needs both"


def real_probabilities(figures: Figures, _: Gates) -> Iterator[str]:
    """Refuse unless every answer is a number between 0 and 1."""
    if figures.not_probabilities:
        yield f"{figures.not_probabilities} of {figures.rows} answers are not between 0 and 1, needs 0 such"


def contract_kept(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a model of data that did not keep the contract."""
    yield from _below("contract share", figures.contract_share, gates.min_contract_share)
    if figures.contract_failures:
        yield f"contract broken by whole tables: {figures.contract_failures}; needs none broken"


def precise_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse an average precision below the line's absolute bar."""
    yield from _below("average precision", figures.average_precision, gates.min_average_precision)


def better_than_baseline(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a network not worth its cost: it must beat the plain model with the line's certainty."""
    share, change = figures.probability_better_than_baseline, figures.change_vs_baseline
    yield from _not_better("baseline", share, change, gates.against_baseline)


def better_than_champion(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse what does not beat the site's champion with the line's certainty; nothing is compared with itself."""
    if figures.compared_with_champion:
        share, change = figures.probability_better_than_champion, figures.change_vs_champion
        yield from _not_better("champion", share, change, gates.against_champion)


def earns_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse decisions that earn less on the holdout than the line asks for."""
    if figures.value_eur < gates.min_value_eur:
        yield f"earns {figures.value_eur:.2f} EUR on the holdout, needs {gates.min_value_eur:.2f} EUR"


def earns_no_less_than_champion(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a loss of money against the champion that chance does not explain.

    Rows of the holdout are resampled as for average precision, and each model decides by its own threshold.
    """
    loss = figures.probability_earns_less_than_champion
    if loss is not None and loss > gates.max_probability_of_loss:
        yield (
            f"earns {figures.value_eur:.2f} EUR, champion {figures.champion_value_eur or 0:.2f} EUR: "
            f"less in {loss:.1%} of resamples, limit {gates.max_probability_of_loss:.1%}"
        )


def served_as_trained(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a served file that answers otherwise than the trained network."""
    yield from _above("parity error", figures.parity_error, gates.max_parity_error)


def quick_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a model that answers one row too late."""
    yield from _above("latency in ms", figures.latency_ms, gates.max_latency_ms)


def small_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a file too large where it is served."""
    yield from _above("size in MB", figures.size_mb, gates.max_size_mb)


Gate = Callable[[Figures, Gates], Iterator[str]]

GATES: tuple[Gate, ...] = (
    enough_rows,
    enough_positives,
    both_classes,
    real_probabilities,
    contract_kept,
    precise_enough,
    better_than_baseline,
    better_than_champion,
    earns_enough,
    earns_no_less_than_champion,
    served_as_trained,
    quick_enough,
    small_enough,
)


def _below(what: str, found: float | None, limit: float) -> Iterator[str]:
    if found is None:
        yield f"{what} could not be measured, needs {limit:.4g}"
    elif found < limit:
        yield f"{what} is {_distinct(found, limit)}, needs {limit:.4g}"


def _above(what: str, found: float | None, limit: float) -> Iterator[str]:
    if found is None:
        yield f"{what} could not be measured, limit {limit:.4g}"
    elif found > limit:
        yield f"{what} is {_distinct(found, limit)}, limit {limit:.4g}"


def _distinct(found: float, limit: float) -> str:
    """Return the value found in four digits, or in as many as tell it from the limit."""
    return f"{found:.4g}" if f"{found:.4g}" != f"{limit:.4g}" else repr(found)


def _not_better(other: str, share: float | None, change: float | None, bar: Comparison) -> Iterator[str]:
    if share is None or change is None:
        yield f"could not be compared with the {other}, needs to be better with probability {bar.min_probability:.1%}"
    elif share < bar.min_probability:
        yield (
            f"better than the {other} by more than {bar.min_absolute_change:g} with probability {share:.1%}, "
            f"needs {bar.min_probability:.1%}; average precision changes by {change:+.4f}"
        )

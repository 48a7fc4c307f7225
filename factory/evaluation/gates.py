"""The gates a candidate must pass before a site may serve it; the answer is a verdict, never an action.

A gate is a function that yields a sentence for each reason against the candidate. To add one, write it and put it
into GATES; a limit of its own is a field of Gates. A limit to a figure needs no gate of its own: `at_least` and
`at_most` take any figure of the line's task, and the line's own. What cannot be measured does not pass.
"""

from collections.abc import Callable, Iterator, Mapping

from factory.evaluation.evidence import Evidence, Figures, measured
from factory.line.gates import Comparison, Gates, Mode
from factory.model.verdict import Figure, Verdict


def judge(evidence: Evidence, gates: Gates) -> Verdict:
    """Return the verdict on the candidate's digest: every figure, and every reason against it, not only the first.

    Poor evidence gives reasons and raises nothing: no rows, one class, answers that are not probabilities.
    """
    figures = measured(
        evidence, baseline_margin=gates.against_baseline.margin, champion_margin=gates.against_champion.margin
    )
    reasons = (*_reasons(figures, gates, "enabled"), *evidence.task.objections(figures))
    would_refuse = "; ".join(_reasons(figures, gates, "dry_run")) or None
    return Verdict(
        line=evidence.line,
        site=evidence.site,
        digest=evidence.digest,
        passed=not reasons,
        reasons=reasons,
        figures={**figures, "would_refuse": would_refuse},
    )


def enough_rows(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse on a holdout too small to say anything."""
    if int(figures["rows"] or 0) < gates.min_rows:
        yield f"scored on {figures['rows']} rows, needs {gates.min_rows}"


def contract_kept(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a model of data that did not keep the contract."""
    yield from _below("contract share", figures["contract_share"], gates.min_contract_share)
    if figures["contract_failures"]:
        yield f"contract broken by whole tables: {figures['contract_failures']}; needs none broken"


def good_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a figure beyond the line's absolute bar."""
    for name, limit in gates.at_least.items():
        yield from _below(_readable(name), figures[name], limit)
    for name, limit in gates.at_most.items():
        yield from _above(_readable(name), figures[name], limit)


def better_than_baseline(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a network not worth its cost: it must beat the plain model with the line's certainty."""
    yield from _not_better("baseline", figures, gates.against_baseline)


def better_than_champion(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse what does not beat the site's champion with the line's certainty; nothing is compared with itself."""
    if figures["compared_with_champion"]:
        yield from _not_better("champion", figures, gates.against_champion)


def earns_no_less_than_champion(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a loss of money against the champion that chance does not explain.

    Rows of the holdout are resampled as for the headline figure, and each model decides by its own threshold.
    """
    loss = _number(figures["probability_earns_less_than_champion"])
    if loss is not None and loss > gates.max_probability_of_loss:
        ours, theirs = (_number(figures[name]) or 0.0 for name in ("value_eur", "champion_value_eur"))
        yield (
            f"earns {ours:.2f} EUR, champion {theirs:.2f} EUR: "
            f"less in {loss:.1%} of resamples, limit {gates.max_probability_of_loss:.1%}"
        )


def served_as_trained(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a served file that answers otherwise than the trained network."""
    yield from _above("parity error", figures["parity_error"], gates.max_parity_error)


def quick_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a model that answers one row too late."""
    yield from _above("latency in ms", figures["latency_ms"], gates.max_latency_ms)


def small_enough(figures: Figures, gates: Gates) -> Iterator[str]:
    """Refuse a file too large where it is served."""
    yield from _above("size in MB", figures["size_mb"], gates.max_size_mb)


Gate = Callable[[Figures, Gates], Iterator[str]]

GATES: tuple[Gate, ...] = (
    enough_rows,
    contract_kept,
    good_enough,
    better_than_baseline,
    better_than_champion,
    earns_no_less_than_champion,
    served_as_trained,
    quick_enough,
    small_enough,
)

COMPARISONS: Mapping[Gate, Callable[[Gates], Comparison]] = {
    better_than_baseline: lambda gates: gates.against_baseline,
    better_than_champion: lambda gates: gates.against_champion,
    earns_no_less_than_champion: lambda gates: gates.against_champion,
}
"""The gates that obey a comparison's mode; all others are always enabled."""


def _reasons(figures: Figures, gates: Gates, mode: Mode) -> Iterator[str]:
    """Yield what the gates in this mode have against the candidate."""
    for gate in GATES:
        if (COMPARISONS[gate](gates).mode if gate in COMPARISONS else "enabled") == mode:
            yield from gate(figures, gates)


def _readable(name: str) -> str:
    return f"{name.removesuffix('_eur').replace('_', ' ')} in EUR" if name.endswith("_eur") else name.replace("_", " ")


def _number(figure: Figure) -> float | None:
    return float(figure) if isinstance(figure, int | float) else None


def _below(what: str, figure: Figure, limit: float) -> Iterator[str]:
    found = _number(figure)
    if found is None:
        yield f"{what} could not be measured, needs {limit:.4g}"
    elif found < limit:
        yield f"{what} is {_distinct(found, limit)}, needs {limit:.4g}"


def _above(what: str, figure: Figure, limit: float) -> Iterator[str]:
    found = _number(figure)
    if found is None:
        yield f"{what} could not be measured, limit {limit:.4g}"
    elif found > limit:
        yield f"{what} is {_distinct(found, limit)}, limit {limit:.4g}"


def _distinct(found: float, limit: float) -> str:
    """Return the value found in four digits, or in as many as tell it from the limit."""
    return f"{found:.4g}" if f"{found:.4g}" != f"{limit:.4g}" else repr(found)


def _not_better(other: str, figures: Figures, bar: Comparison) -> Iterator[str]:
    share, change = (_number(figures[name]) for name in (f"probability_better_than_{other}", f"change_vs_{other}"))
    if share is None or change is None:
        yield f"could not be compared with the {other}, needs to be better with probability {bar.min_probability:.1%}"
    elif share < bar.min_probability:
        yield (
            f"better than the {other} by more than {bar.min_absolute_change:g} with probability {share:.1%}, "
            f"needs {bar.min_probability:.1%}; {_readable(str(figures['headline']))} changes by {change:+.4f}"
        )

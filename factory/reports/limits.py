"""The gates as a table: what was asked, what was found. The verdict decides; this only lays it side by side."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from factory.charts.numbers import FORMS, figure, words
from factory.evaluation.evidence import Figures
from factory.line.gates import Comparison, Gates
from factory.model.verdict import Figure


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One thing asked of a candidate."""

    what: str
    found: str
    asked: str
    kept: bool
    enforced: bool = True
    """Whether not keeping it refuses the candidate; a comparison in a dry run only tells."""


def limits(figures: Figures, gates: Gates) -> list[Limit]:
    """Return everything the gates ask, in their order; what could not be measured is not kept."""
    return [*_data(figures, gates), *_merit(figures, gates), *_rivals(figures, gates), *_running(figures, gates)]


def _data(figures: Figures, gates: Gates) -> Iterator[Limit]:
    yield _least("rows judged", figures.get("rows"), gates.min_rows, "whole")
    yield _least(
        "share of rows that keep the contract", figures.get("contract_share"), gates.min_contract_share, "percent"
    )
    yield Limit(
        what="rules about whole tables broken",
        found=str(figures.get("contract_failures") or "none"),
        asked="none",
        kept=not figures.get("contract_failures"),
    )


def _merit(figures: Figures, gates: Gates) -> Iterator[Limit]:
    for name, limit in gates.at_least.items():
        yield _least(words(name), figures.get(name), limit, _form(name))
    for name, limit in gates.at_most.items():
        yield _most(words(name), figures.get(name), limit, _form(name))


def _rivals(figures: Figures, gates: Gates) -> Iterator[Limit]:
    if gates.against_baseline.margin is not None:
        yield _in_its_mode(_better("baseline", figures, gates.against_baseline), gates.against_baseline)
    if figures.get("compared_with_champion"):
        yield _in_its_mode(_better("champion", figures, gates.against_champion), gates.against_champion)
        yield _in_its_mode(_no_less_money(figures, gates), gates.against_champion)


def _in_its_mode(limit: Limit, bar: Comparison) -> Limit:
    return replace(limit, enforced=bar.mode == "enabled")


def _no_less_money(figures: Figures, gates: Gates) -> Limit:
    found = figures.get("probability_earns_less_than_champion")
    return _most("chance of earning less than the champion", found, gates.max_probability_of_loss, "percent")


def _better(other: str, figures: Figures, bar: Comparison) -> Limit:
    margin = f" by more than {figure(bar.min_absolute_change)}" if bar.min_absolute_change else ""
    found = figures.get(f"probability_better_than_{other}")
    return _least(f"chance of being better than the {other}{margin}", found, bar.min_probability, "percent")


def _running(figures: Figures, gates: Gates) -> Iterator[Limit]:
    yield _most("difference between served and trained answers", figures.get("parity_error"), gates.max_parity_error)
    yield _most("time for one answer, ms", figures.get("latency_ms"), gates.max_latency_ms)
    yield _most("size of the file, MB", figures.get("size_mb"), gates.max_size_mb)


def _form(name: str) -> str:
    if name.endswith("_eur"):
        return "eur"
    return "whole" if name in ("positives", "alarms", "rarest_class_rows", "decided") else "figure"


def _least(what: str, found: Figure, limit: float, form: str = "figure") -> Limit:
    number = _number(found)
    write = FORMS[form]
    return Limit(
        what=what,
        found=write(number),
        asked=f"at least {_limit(limit, form)}",
        kept=number is not None and number >= limit,
    )


def _most(what: str, found: Figure, limit: float, form: str = "figure") -> Limit:
    number = _number(found)
    write = FORMS[form]
    return Limit(
        what=what,
        found=write(number),
        asked=f"at most {_limit(limit, form)}",
        kept=number is not None and number <= limit,
    )


def _number(found: Figure) -> float | None:
    return float(found) if isinstance(found, int | float) else None


def _limit(limit: float, form: str) -> str:
    """Return a limit as the line's file has it: 5 and not 5.000."""
    return FORMS[form if form in ("percent", "eur") else "brief"](limit)

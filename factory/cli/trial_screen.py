"""A trial beside its champion as a person reads it in a terminal."""

from collections.abc import Callable, Mapping, Sequence

from factory.cli.screen import Column, say, show_table
from factory.monitoring.trials.decisions import Shown
from factory.monitoring.trials.figures import SideFigures

_ROWS: dict[str, Callable[[SideFigures], str]] = {
    "requests": lambda side: f"{side.requests:,}",
    "rows": lambda side: f"{side.rows:,}",
    "not answered": lambda side: f"{side.abstained:,}",
    "errors": lambda side: f"{side.errors:,}",
    "calls, mean / p95 ms": lambda side: f"{_number(side.latency_mean_ms)} / {_number(side.latency_p95_ms)}",
}


def show_trial(model: str, shown: Shown | None) -> None:
    """Print a trial's figures beside the champion's, how they agree, and what speaks against promoting it."""
    if shown is None:
        say(f"{model} has no trial; its champion has all requests.")
        return
    trial, both = shown.trial, (shown.figures.champion, shown.figures.challenger)
    say(f"{model}: {trial.description}, since {trial.since[:16]} by {trial.by}: {trial.reason}")
    columns = [Column(heading=""), Column(heading="champion", right=True), Column(heading=trial.mode, right=True)]
    rows = [[name, *map(text_of, both)] for name, text_of in _ROWS.items()]
    rows += _means("decides", [side.decisions for side in both], "{:.1%}")
    rows += _means("mean", [side.mean_answers for side in both], "{:.4g}")
    show_table(columns, rows)
    _print_compared(shown)
    for reason in shown.objections:
        say(f"Against promoting it: {reason}")


def _means(what: str, sides: Sequence[Mapping[str, float]], form: str) -> list[list[str]]:
    return [
        [f"{what} {name}", *(form.format(side[name]) if name in side else "—" for side in sides)]
        for name in sorted({name for side in sides for name in side})
    ]


def _print_compared(shown: Shown) -> None:
    if (compared := shown.figures.compared) is None:
        return
    agree = "" if compared.agreement is None else f"the same decision in {compared.agreement:.1%}; "
    apart = ", ".join(f"{name} {value:.4g}" for name, value in compared.mean_absolute_difference.items()) or "—"
    say(f"On the same {compared.rows:,} rows: {agree}apart on average by {apart}")


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"

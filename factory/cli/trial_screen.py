"""A trial beside its champion as a person reads it in a terminal."""

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from factory.cli.screen import console, say
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
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("", "champion", trial.mode):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name, text_of in _ROWS.items():
        table.add_row(name, *map(text_of, both))
    _add_means(table, "decides", [side.decisions for side in both], "{:.1%}")
    _add_means(table, "mean", [side.mean_answers for side in both], "{:.4g}")
    console.print(table)
    _print_compared(shown)
    for reason in shown.objections:
        say(f"Against promoting it: {reason}")


def _add_means(table: Table, what: str, sides: Sequence[Mapping[str, float]], form: str) -> None:
    for name in sorted({name for side in sides for name in side}):
        cells = [form.format(side[name]) if name in side else "—" for side in sides]
        table.add_row(Text(f"{what} {name}"), *cells)


def _print_compared(shown: Shown) -> None:
    if (compared := shown.figures.compared) is None:
        return
    agree = "" if compared.agreement is None else f"the same decision in {compared.agreement:.1%}; "
    apart = ", ".join(f"{name} {value:.4g}" for name, value in compared.mean_absolute_difference.items()) or "—"
    say(f"On the same {compared.rows:,} rows: {agree}apart on average by {apart}")


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"

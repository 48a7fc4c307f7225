"""A backtest for people: how far it is, then a row a period, what each policy earned net, and what the factory did."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column as ProgressColumn
from rich.text import Text

from factory.cli.screen import Column, say, show_table
from factory.economics.backtest.tally import POLICIES
from factory.pipeline.events import Event, StepBegun


class Watched:
    """Shows on standard error how far a backtest is: a bar in a terminal, a line a period elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("backtest"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim", table_column=ProgressColumn(no_wrap=True)),
            console=self.console,
            disable=not self.console.is_interactive,
        )
        self.bar = self.progress.add_task("", total=None)

    def __enter__(self) -> "Watched":
        """Begin to draw."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the screen."""
        self.progress.stop()

    def say(self, text: str) -> None:
        """Print what came of a period."""
        say(text, to=self.console)

    def moved(self, done: int, total: int) -> None:
        """Move the bar to so many steps of all."""
        self.progress.update(self.bar, completed=done, total=total, description="")

    def show(self, event: Event) -> None:
        """Write the step of the run under way behind the bar."""
        if isinstance(event, StepBegun) and event.todo:
            self.progress.update(self.bar, description=f"{event.step}, {len(event.todo)} sites")


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the report (factory.economics.backtest.tally.report)."""
    columns = [
        Column(heading="from"),
        *(Column(heading=name, right=True) for name in ("decisions", *POLICIES, "retrained", "released", "refused")),
    ]
    rows: list[list[str | Text]] = [
        [month["from"], f"{month['decisions']:,}", *_nets(month), *_events(month)] for month in report["months"]
    ]
    decisions = f"{sum(month['decisions'] for month in report['months']):,}"
    rows.append([Text(text, "bold") for text in ("in all", decisions, *_nets(report["total"]), "", "", "")])
    show_table(columns, rows, title=f"{report['line']}: net EUR above the best constant decision", to=console)
    for policy in POLICIES:
        figures = report["total"][policy]
        say(
            f"{policy}: {figures['retrainings']} retrainings, {figures['site_models']} site models, "
            f"{figures['seconds'] / 60:.1f} minutes, {figures['cost_eur']:,.0f} EUR",
            to=console,
        )


def _nets(figures: Mapping[str, Any]) -> Sequence[str]:
    return [f"{figures[policy]['net_eur']:,.0f}" for policy in POLICIES]


def _events(month: Mapping[str, Any]) -> Sequence[str]:
    counts = [str(len(month.get(name, ()))) for name in ("released", "refused")]
    return [str(month["factory"]["site_models"]), *counts]

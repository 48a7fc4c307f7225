"""A backtest for people: a row a period, what each policy earned net, and what the factory did."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from factory.economics.backtest.tally import POLICIES

HEADERS = {"never": "never", "blind": "blind", "factory": "factory"}


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the report (factory.economics.backtest.tally.report)."""
    table = Table(box=None, title=f"{report['line']}: net EUR above deciding without a model", title_justify="left")
    table.add_column("from")
    for name in ("decisions", *POLICIES, "retrained", "released", "refused"):
        table.add_column(name, justify="right")
    for month in report["months"]:
        table.add_row(month["from"], f"{month['decisions']:,}", *_nets(month), *_events(month))
    decisions = f"{sum(month['decisions'] for month in report['months']):,}"
    table.add_row("in all", decisions, *_nets(report["total"]), "", "", "", style="bold")
    console.print(table)
    for policy in POLICIES:
        figures = report["total"][policy]
        console.print(
            f"{policy}: {figures['retrainings']} retrainings, {figures['site_models']} site models, "
            f"{figures['seconds'] / 60:.1f} minutes, {figures['cost_eur']:,.0f} EUR",
            highlight=False,
        )


def _nets(figures: Mapping[str, Any]) -> Sequence[str]:
    return [f"{figures[policy]['net_eur']:,.0f}" for policy in POLICIES]


def _events(month: Mapping[str, Any]) -> Sequence[str]:
    counts = [str(len(month.get(name, ()))) for name in ("released", "refused")]
    return [str(month["factory"]["site_models"]), *counts]

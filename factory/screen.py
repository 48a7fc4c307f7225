"""What a person sees in a terminal: progress of a run, the table of sites, what to do next."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from factory.doctor import Finding

console = Console()


class Screen:
    """Shows the events of a run as they come: one bar a stage, and what the run says."""

    def __init__(self) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
        )
        self.bars: dict[str, TaskID] = {}
        self.sites = self.total = 1
        self.unchanged: Counter[str] = Counter()

    def __enter__(self) -> "Screen":
        """Begin to draw."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the screen."""
        self.progress.stop()

    def show(self, event: Mapping[str, Any]) -> None:
        """Draw one event of `definitions.py`."""
        kind = event.get("event")
        if kind == "start":
            self.sites = int(event["sites"])
        elif kind == "run":
            self.total = self.sites if event["sites"] else 1  # a run without sites is about the whole line
        elif kind == "site":
            self._site(str(event["stage"]), changed=bool(event["changed"]))
        elif kind == "say" and event.get("level", 0) >= 20:
            self._say(str(event["text"]), warning=event["level"] >= 30)
        elif kind == "failed":
            console.print(str(event["text"]), style="red", markup=False, highlight=False, soft_wrap=True)
        elif kind == "end" and not event["changed"] and not event["failed"]:
            console.print("Nothing changed: every stage is up to date for every site.")

    def _bar(self, stage: str) -> TaskID:
        if stage not in self.bars:
            self.bars[stage] = self.progress.add_task(stage, total=self.total, note="")
        return self.bars[stage]

    def _site(self, stage: str, *, changed: bool) -> None:
        self.unchanged[stage] += not changed
        note = f"{self.unchanged[stage]} unchanged" if self.unchanged[stage] else ""
        self.progress.update(self._bar(stage), advance=1, note=note)

    def _say(self, text: str, *, warning: bool) -> None:
        """Show a stage's own words behind its bar, a warning on a line of its own."""
        if warning:
            console.print(text, style="yellow", markup=False, highlight=False)
            return
        stage, _, rest = text.partition(": ")
        if rest:
            self.progress.update(self._bar(stage), note=rest)


def show_status(found: Mapping[str, Any], line: str | None = None) -> None:
    """Print a table of sites for each line."""
    lines = {name: what for name, what in found["lines"].items() if line in (None, name)}
    if not lines:
        console.print("Nothing has run yet here: try `factory demo`.")
    for name, what in lines.items():
        console.print(_site_table(name, what["sites"]))
        _print_refusals(what["sites"])


SHORT = {"average_precision": "AP", "rmse": "RMSE", "log_loss": "loss"}
"""Headline figures as a narrow table has them."""

COLUMNS = (
    ("site", "left"),
    ("rows\nin", "right"),
    ("\nclean", "right"),
    ("quar-\nantine", "right"),
    ("\nmodel", "left"),
    ("{headline}\nsite", "right"),
    ("{headline}\nbase", "right"),
    ("{headline} base-\nline", "right"),
    ("value\nEUR", "right"),
    ("\nverdict", "left"),
    ("\nserves", "left"),
)


def _site_table(line: str, sites: Mapping[str, Any]) -> Table:
    """Return the table of a line, narrow enough for a terminal of 80 columns."""
    table = Table(title=line, title_justify="left", box=None, padding=(0, 1, 0, 0))
    headline = _headline(sites)
    short = SHORT.get(headline, headline.replace("_", " "))
    for heading, side in COLUMNS:
        table.add_column(heading.format(headline=short), justify="left" if side == "left" else "right", no_wrap=True)
    for site, state in sites.items():
        table.add_row(site, *_cells(state))
    return table


def _cells(state: Mapping[str, Any]) -> list[str]:
    rows, verdict, serving = state["rows"] or {}, state["verdict"] or {}, state["serving"]
    figures = verdict.get("figures", {})
    kind = _word(figures.get("fine_tuned"), "tuned", "base")
    passed = _word(verdict.get("passed"), "[green]passed", "[red]refused")
    return [
        *(_number(rows.get(name), ",d") for name in ("raw", "clean", "quarantine")),
        kind,
        *(_measure(figures.get(f"{who}{figures.get('headline')}")) for who in ("", "base_", "baseline_")),
        _number(figures.get("value_eur"), ",.0f"),
        passed,
        f"v{serving['version']}" if serving else "nothing",
    ]


def _headline(sites: Mapping[str, Any]) -> str:
    """Return the figure by which the line's models are compared, as its verdicts say."""
    told = (state["verdict"]["figures"].get("headline") for state in sites.values() if state["verdict"])
    return next(filter(None, told), "headline")


def _measure(value: float | None) -> str:
    """Return a figure in as many digits as tell models apart."""
    return _number(value, ".3f" if value is None or abs(value) < 10 else ",.2f")


def _word(answer: bool | None, yes: str, no: str) -> str:
    return "—" if answer is None else yes if answer else no


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)


def _print_refusals(sites: Mapping[str, Any]) -> None:
    told = {site: (state["verdict"] or {}).get("reasons", []) for site, state in sites.items()}
    refused = {site: reasons for site, reasons in told.items() if reasons}
    if refused:
        console.print("Why sites were refused (all figures: `factory status --json`)")
    for site, reasons in refused.items():
        for reason in reasons:
            console.print(f"  {site}  {reason}", markup=False, highlight=False, soft_wrap=True)


def show_next_steps(home: Path, model: str | None) -> None:
    """Say where to look after a run."""
    where = "" if home == Path(".factory") else f" --home {home}"
    steps = {
        "graph, runs and sites, in Dagster": (f"factory ui{where}", "http://127.0.0.1:3000"),
        "models and figures, in MLflow": (f"factory registry{where}", "http://127.0.0.1:5000"),
        "predictions, from the gateway": (f"factory serve{where}", "http://127.0.0.1:8080"),
        "what the contract found": ("a page for a browser", str(home / "docs" / "site" / "index.html")),
    }
    console.print("Where to look next (`.venv/bin/factory …`)")
    for what, (how, place) in steps.items():
        console.print(f"  {what:<34} {how}  →  {place}", markup=False, highlight=False, soft_wrap=True)
    if model:
        ask = f"curl -s http://127.0.0.1:8080/v2/models/{model}/infer -d @{home / 'example.json'}"
        console.print(f"  {'a first prediction':<34} {ask}", markup=False, highlight=False, soft_wrap=True)


def show_findings(found: Iterable[Finding]) -> None:
    """Print what the doctor found."""
    for finding in found:
        console.print(
            f"{'[green]ok  ' if finding.fine else '[red]lack'}[/] {finding.thing}: {finding.found}", highlight=False
        )

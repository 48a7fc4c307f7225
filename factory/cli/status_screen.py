"""What a person sees in a terminal: the table of sites, what to do next, the doctor's findings."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from rich.text import Text

from factory.cli.doctor import Finding
from factory.cli.screen import Column, console, say, show_table
from factory.storage.home import Home

NOTHING = "Nothing has run yet here: try `make demo`, or `factory run LINE`."


def show_status(lines: Mapping[str, Any], line: str = "") -> None:
    """Print a table of sites for each line; `line` is the one that was asked for, if it was one."""
    if not lines:
        say(f"Nothing has run yet of {line}: factory run {line}" if line else NOTHING)
    for name, what in lines.items():
        show_sites(name, what["sites"])
        _print_refusals(what["sites"])
        findings = {site: state["findings"] for site, state in what["sites"].items()}
        _print_by_site("What is to be known of the data", {**findings, "line": what["findings"]})
        if what["page"]:
            say(f"To look at: {what['page']}")


Cell = TypeVar("Cell")
SHORT = {"average_precision": "AP", "rmse": "RMSE", "log_loss": "loss"}
"""Headline figures as a narrow table has them."""

ROWS = ("raw", "clean", "quarantine", "withdrawn")
"""What is shown of a site's rows; those withdrawn where there are any."""
_WITHDRAWN = 1 + ROWS.index("withdrawn")
COLUMNS = (
    Column(heading="site"),
    Column(heading="rows\nin", right=True),
    Column(heading="\nclean", right=True),
    Column(heading="quar-\nantine", right=True),
    Column(heading="with-\ndrawn", right=True),
    Column(heading="\nmodel"),
    Column(heading="{headline}\nsite", right=True),
    Column(heading="{headline}\nbase", right=True),
    Column(heading="{headline} base-\nline", right=True),
    Column(heading="value\nEUR", right=True),
    Column(heading="\nverdict"),
    Column(heading="\nserves"),
)


def show_sites(line: str, sites: Mapping[str, Any]) -> None:
    """Print the table of a line's sites; rows that were withdrawn have a column where there are any."""
    headline = _headline(sites)
    short = SHORT.get(headline, headline.replace("_", " "))
    columns = [replace(column, heading=column.heading.format(headline=short)) for column in COLUMNS]
    rows: list[list[str | Text]] = []
    for site, state in sites.items():
        rows.append([site, *_cells(state)])
        if _another_serves(state):
            rows.append(["", *_served_cells(state["serving"])])
    if not any((state["rows"] or {}).get("withdrawn") for state in sites.values()):
        columns, rows = _without(columns, _WITHDRAWN), [_without(row, _WITHDRAWN) for row in rows]
    show_table(columns, rows, title=line)


def _without(cells: list[Cell], place: int) -> list[Cell]:
    return cells[:place] + cells[place + 1 :]


def _another_serves(state: Mapping[str, Any]) -> bool:
    """Whether a site serves another model than the candidate that was judged last."""
    serving, verdict = state["serving"], state["verdict"]
    return bool(serving and verdict and serving["digest"] != verdict["digest"])


def _served_cells(serving: Mapping[str, Any]) -> list[str]:
    """Return a row of its own for what serves, with the figures of the verdict that released it."""
    return [*[""] * len(ROWS), *_figure_cells(serving["figures"]), "", f"v{serving['version']}"]


def _cells(state: Mapping[str, Any]) -> list[str | Text]:
    rows, verdict = state["rows"] or {}, state["verdict"] or {}
    passed = _word(verdict.get("passed"), "passed", "refused")
    return [
        *(_number(rows.get(name), ",d") for name in ROWS),
        *_figure_cells(verdict.get("figures", {})),
        Text(passed, {"passed": "green", "refused": "red"}.get(passed, "")),
        "" if _another_serves(state) else _serves(state),
    ]


def _figure_cells(figures: Mapping[str, Any]) -> list[str]:
    """Return what a verdict's figures say of its model: its kind, how good it is beside others, and its money."""
    return [
        str(figures.get("rung") or _word(figures.get("fine_tuned"), "tuned", "base")),
        *(_measure(figures.get(f"{who}{figures.get('headline')}")) for who in ("", "base_", "baseline_")),
        _money(figures.get("value_eur")),
    ]


def _serves(state: Mapping[str, Any]) -> str:
    serving = state["serving"]
    return f"v{serving['version']}" if serving else "removed" if "removed" in state else "nothing"


def _headline(sites: Mapping[str, Any]) -> str:
    """Return the figure by which the line's models are compared, as its verdicts say."""
    names = (state["verdict"]["figures"].get("headline") for state in sites.values() if state["verdict"])
    return next(filter(None, names), "headline")


def _measure(value: float | None) -> str:
    """Return a figure in as many digits as tell models apart."""
    return _number(value, ".3f" if value is None or abs(value) < 10 else ",.2f")


def _money(value: float | None) -> str:
    """Return an amount that fits a narrow column: 38,400 or 2.27 M."""
    return _number(value, ",.0f") if value is None or abs(value) < 1e6 else f"{value / 1e6:,.2f} M"


def _word(answer: bool | None, yes: str, no: str) -> str:
    return "—" if answer is None else yes if answer else no


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)


def _print_refusals(sites: Mapping[str, Any]) -> None:
    reasons = {site: (state["verdict"] or {}).get("reasons", []) for site, state in sites.items()}
    dry = {site: (state["verdict"] or {}).get("figures", {}).get("would_refuse") for site, state in sites.items()}
    _print_by_site("Why sites were refused (all figures: `factory status --json`)", reasons)
    there = {site: state for site, state in sites.items() if "removed" not in state}
    _print_by_site("Why what passed is not released", _by_site(there, "held_back"))
    _print_by_site("What is removed", {site: [sites[site]["removed"]] for site in sites.keys() - there.keys()})
    _print_by_site("Where a rollback holds the site", _holds(sites))
    shut = {site: [state["door_shut"]] for site, state in sites.items() if state.get("door_shut")}
    _print_by_site("Where the gateway answers features by name, and no business rows", shut)
    _print_by_site("What a dry run would have refused", {site: [text] for site, text in dry.items() if text})


def _by_site(sites: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    return {site: [state[name]] for site, state in sites.items() if state[name]}


def _holds(sites: Mapping[str, Any]) -> dict[str, list[str]]:
    holds = {site: state["hold"] for site, state in sites.items() if state["hold"]}
    return {
        site: [
            f"release {hold['release']} since {hold['since'][:16]} by {hold['by']} ({hold['reason']}); "
            f"factory allow {site} --by NAME --reason … lets the next one through"
        ]
        for site, hold in holds.items()
    }


def _print_by_site(title: str, texts: Mapping[str, Iterable[str]]) -> None:
    """Print the texts of each site, a line each, under a title; nothing where there are none."""
    lines = [f"  {site}  {what}" for site, of_site in texts.items() for what in of_site]
    for line in [title, *lines] if lines else ():
        say(line)


def show_next_steps(home: Home, model: str | None) -> None:
    """Say where to look after a run."""
    steps = {
        "graph, runs and sites, in Dagster": ("factory ui", "http://127.0.0.1:3000"),
        "models and figures, in MLflow": ("factory registry", "http://127.0.0.1:5000"),
        "predictions, from the gateway": ("factory serve", "http://127.0.0.1:8080"),
        "what the contract found": ("a page for a browser", str(home.data_docs / "site" / "index.html")),
    }
    say("Where to look next (`.venv/bin/factory …`)")
    for what, (how, place) in steps.items():
        say(f"  {what:<34} {how}  →  {place}")
    if model:
        ask = f"curl -s http://127.0.0.1:8080/v2/models/{model}/infer -d @{home.example}"
        say(f"  {'a first prediction':<34} {ask}")


def show_findings(findings: Iterable[Finding]) -> None:
    """Print the doctor's findings: `ok`, `note` for what nothing depends on, `lack` for what is needed."""
    for finding in findings:
        word, style = ("ok", "green") if finding.fine else ("lack", "red") if finding.needed else ("note", "yellow")
        console.print(Text(f"{word:<4} ", style), Text(f"{finding.thing}: {finding.found}"), sep="", soft_wrap=True)

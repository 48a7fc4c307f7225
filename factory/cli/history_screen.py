"""A site's history as a person reads it in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from factory.cli.screen import console

COLUMNS = ("", "when (UTC)", "what", "who", "version", "release", "model", "why")


def show_history(told: Mapping[str, Any]) -> None:
    """Print a site's records, oldest first, whether a rollback holds it, and what is wrong with them."""
    table = Table(title=told["model"], title_justify="left", box=None, padding=(0, 1, 0, 0))
    for heading in COLUMNS:
        table.add_column(heading, no_wrap=heading != "why")
    for record in told["records"]:
        table.add_row(*_cells(record))
    console.print(table)
    if hold := told["hold"]:
        _say(f"Held on release {hold['release']} by {hold['actor']}, since {hold['at'][:16]}: {hold['reason']}")
    if wait := told["wait"]:
        _say(f"Waits for its turn in the rollout by {wait['actor']}, since {wait['at'][:16]}: {wait['reason']}")
    _print_findings({told["model"]: told["findings"]})


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _cells(record: Mapping[str, Any]) -> list[str]:
    known = [record["sequence"], record["at"][:19].replace("T", " "), record["kind"], record["actor"]]
    numbers = [record["version"], record["release"], (record["digest"] or "")[:12], record["reason"]]
    return [_plain(value) for value in (*known, *numbers)]


def _plain(value: object) -> str:
    """Return the text with nothing in it that the terminal would take for a command or a style."""
    text = "" if value is None else str(value)
    return "".join(letter for letter in text if letter.isprintable()).replace("[", r"\[")


def show_verified(found: Mapping[str, Any]) -> None:
    """Print whether the histories are as they were written, and what is not."""
    findings = {model: told["findings"] for model, told in found["sites"].items()}
    sound = sum(not what for what in findings.values())
    console.print(f"{sound} of {len(findings)} histories are as they were written.", highlight=False)
    _print_findings(findings)


def _print_findings(findings: Mapping[str, list[str]]) -> None:
    for model, what in findings.items():
        for finding in what:
            console.print(f"  {model}: {finding}", style="red", markup=False, highlight=False, soft_wrap=True)

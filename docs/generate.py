"""Writes the pages that are made from the code: `python docs/generate.py`. A test tells when one is out of date."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent


def cli_page() -> str:
    """Return the reference of every command, from the command line itself."""
    import typer

    from factory.cli.app import app

    root = typer.main.get_command(app)
    sections = [_command(command, path) for path, command in commands(root, ("factory",)) if not is_group(command)]
    return "\n\n".join([_CLI_INTRODUCTION, *sections]) + "\n"


_CLI_INTRODUCTION = """\
# Command line

Made from the commands themselves, so that it says what `factory COMMAND -h` says. `factory -h` lists them in the order
of their use, and `factory --version` says which version this is. `factory --install-completion` lets your shell (Bash,
Zsh, Fish or PowerShell) complete commands, options, lines and sites from its next start on. What a command returns to
a script is in [Exit codes](exit-codes.md)."""


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the command and all below it, each with the words that call it; hidden ones are left out."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from commands(below, (*path, name))


def is_group(command: Any) -> bool:
    """Whether it only holds other commands."""
    return bool(getattr(command, "commands", None))


def _command(command: Any, path: tuple[str, ...]) -> str:
    words = " ".join(path)
    context = command.make_context(words, [], resilient_parsing=True)
    shown = [param.get_help_record(context) for param in command.params]
    rows = [f"| `{_cell(names)}` | {_cell(what)} |" for names, what in filter(None, shown)]
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    named = [one.name.upper() if one.required else f"[{one.name.upper()}]" for one in arguments]
    usage = " ".join([words, *named, "[OPTIONS]"])
    table = "\n".join(["| | what |", "|---|---|", *rows])
    return f"## {words}\n\n```text\n{usage}\n```\n\n{_paragraphs(command.help or '')}\n\n{table}"


def _paragraphs(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.replace("\b", "").strip()).replace("<", "\\<")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


_METRICS_INTRODUCTION = """\
# Metrics

What the gateway tells at `/metrics`, made from its own exposition: Prometheus' text, or OpenMetrics where the scraper
asks for that. Names that begin with `nv_` are Triton's, so that its dashboards work. With API keys, give Prometheus a
key that opens everything. [`grafana-gateway.json`](../grafana-gateway.json) is a dashboard; what calls for a person is
in [Operating](../operating.md#what-the-metrics-call-for). Where the labels are (model), they are `model`, `version`,
`line`, `site` and `role` (`champion`, `canary`, `shadow`)."""


def metrics_page() -> str:
    """Return the reference of every metric, from what a gateway that has something of each would tell."""
    from factory.gateway.metrics.exposition import metrics_text

    text = metrics_text(_something_of_each(), cpu_hour_eur=1.0)[0].decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE))
    rows = [
        f"| `{name}` | {kinds[name]} | {_labels(text, name)} | {_cell(meaning)} |"
        for name, meaning in re.findall(r"^# HELP (\S+) (.*)", text, re.MULTILINE)
    ]
    return (
        "\n".join([_METRICS_INTRODUCTION, "", "| metric | kind | labels | what |", "|---|---|---|---|", *rows]) + "\n"
    )


def _labels(text: str, metric: str) -> str:
    samples = re.findall(rf"^{metric}(?:_bucket|_sum|_count)?{{([^}}]*)}}", text, re.MULTILINE)
    labels = {name for sample in samples for name in re.findall(r'(\w+)="', sample)} - {"le"}
    return "(model)" if "model" in labels and len(labels) > 1 else ", ".join(f"`{name}`" for name in sorted(labels))


def _something_of_each() -> Any:
    from factory.gateway.metrics.counts import (
        BATCH_ROWS,
        BUCKETS_S,
        COUNTERS,
        Counted,
        Labels,
        Numbers,
        Recorded,
        Sizes,
    )

    whose = Labels(model="line.site", version="1", line="line", site="site", role="champion")
    sizes = [Sizes((0,) * (len(edges) + 1), 0.0) for edges in (BUCKETS_S, BATCH_ROWS)]
    counts = dict.fromkeys(COUNTERS, 1)
    numbers = Numbers(counts=counts, cpu_s=1.0, waiting_rows=0, durations=sizes[0], batches=sizes[1])
    return Counted(
        workers=1,
        series={whose: numbers},
        errors={400: 1},
        records=Recorded(written=0, dropped=0, failing=False),
        refused_releases={whose.model: 1},
        refused_trials={whose.model: 1},
        released={whose: 0.0},
        shares={whose: 0.1},
        snapshots={whose.line: 0.0},
        refused_snapshots={whose.line: 1},
    )


def line_file_page() -> str:
    """Return the reference of every key of a line's file, from the dataclasses that read it."""
    from factory.line.reference import page

    return page()


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/line-file.md": line_file_page,
    "reference/metrics.md": metrics_page,
}
"""Each generated page's place, and what makes it."""


def main() -> None:
    """Write every page that differs, and name it."""
    for name, made in PAGES.items():
        place, text = DOCS / name, made()
        if not place.exists() or place.read_text(encoding="utf-8") != text:
            place.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{place.relative_to(DOCS.parent)} is written anew\n")


if __name__ == "__main__":
    main()

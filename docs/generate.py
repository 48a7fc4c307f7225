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


def suites_page() -> str:
    """Return what of Great Expectations suites is judged, passed over and refused, from the compiler itself."""
    from factory.data.contract.compiler import NOT_DONE, SUPPORTED
    from factory.data.contract.kwargs import IGNORED
    from factory.data.contract.row_condition import PARSERS
    from factory.line.suite import PASSED_OVER

    return (
        "\n".join(
            [
                _SUITES_INTRODUCTION.format(
                    ignored=", ".join(f"`{name}`" for name in IGNORED),
                    passed_over=", ".join(f"`{name}`" for name in PASSED_OVER),
                    parsers=", ".join(f"`{name}`" for name in PARSERS),
                ),
                *(f"- `{kind}`" for kind in SUPPORTED),
                "\n## What is refused\n",
                "| expectation | why |\n|---|---|",
                *(f"| `{kind}` | {why} |" for kind, why in NOT_DONE.items()),
                "\nCustom expectations run Python of their own, and are refused by name, with the nearest names of the",
                "list above.",
            ]
        )
        + "\n"
    )


_SUITES_INTRODUCTION = """\
# Great Expectations suites

A table's `contract` may be a suite that Great Expectations 0.18 or 1.x wrote, JSON or YAML, in the line's folder. All
that is wrong with it is told at once when the line is loaded, one sentence each, with file, line and expectation.

## What an expectation may say

| key | what becomes of it |
|---|---|
| `type`, or `expectation_type` of 0.18 | one of [those judged](#what-is-judged) |
| `kwargs` | judged; null is the same as nothing; a kwarg that would be ignored in silence is refused |
| `severity` | `critical`, the default: a row that breaks it goes to quarantine. `warning` and `info`: it is told in \
the run's figures, on the site's page, in Data Docs and by the check `contract_kept` as a warning; no row goes to \
quarantine, and neither the share of rows that keep the contract nor a gate counts it |
| `meta`, `notes` | kept, and shown in Data Docs; `meta: {{name: …}}` is what the quarantine calls the rule |
| {passed_over} | passed over |

These kwargs say how Great Expectations is to run or to report, and are passed over: {ignored}.

`mostly` is the share of rows that must keep the rule for the suite to succeed. A row that breaks the rule goes to
quarantine all the same, and counts in the share of rows that keep the contract: a rule that some rows may break has
`severity: warning`.

Types are those of Polars, pandas, Spark or SQL: `Int64` means just that, `int64`, `LongType` and `BIGINT` mean whole
numbers of any width. A regex is one of Rust's flavour, without look-around. LIKE patterns tell upper from lower case.
`parse_strings_as_datetimes` needs a column that the line's file declares as a moment.

## Row conditions

`row_condition` says which rows an expectation is about; all others it neither judges nor counts. It is read by a parser
of its own and never run. `condition_parser` is one of {parsers}. Of pandas, a missing value differs from every other;
of all others it is unknown, so that the row is left out.

| what | for example |
|---|---|
| comparisons with a constant or a column | `shift == "day"`, `0 < pieces <= 10`, `started >= date("2024-01-01")` |
| and, or, not, parentheses | `a > 1 and (b < 2 or not c == 3)`, `(a > 1) & ~(b < 2)` |
| lists, ranges, patterns | `a in [1, 2]`, `a.isin([1, 2])`, `a not in (1, 2)`, `a BETWEEN 1 AND 2`, `b LIKE 'x%'` |
| missing values | `a.isnull()`, `a.notnull()`, `isnull(a)`, `a IS NOT NULL`, `col("a").notNull()` |
| columns | `pieces`, `` `pieces made` ``, `col("pieces made")`, a truth value alone |

Arithmetic, `@variables` and other functions are refused by name. The mappings that Great Expectations 1.x writes
(`comparison`, `nullity`, `and`, `or`) are read, too.

## Parameters

A value `{{"$PARAMETER": "low"}}` is given in the line's file at the table that has the contract:

```yaml
tables:
  orders:
    contract: contracts/orders.json
    contract_parameters: {{low: 0, high: 200}}
```

Without that it is what the suite brings in `suite_parameters`, `evaluation_parameters` or `$PARAMETER.low`. One without
a value, one that is an expression such as `now() - timedelta(weeks=2)` or `low * 2`, the result of another validation,
and a parameter given that nothing asks for are refused.

## What is judged

Rules on columns and rows quarantine rows; those on tables and on a column's figures (`mean`, `distinct values`, …) fail
the site's contract, which the gates refuse. Great Expectations' own pandas engine is the oracle of the tests.
"""


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/line-file.md": line_file_page,
    "reference/metrics.md": metrics_page,
    "reference/suites.md": suites_page,
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

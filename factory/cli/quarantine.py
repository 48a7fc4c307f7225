"""`factory quarantine LINE`: what waits and why; export it; take corrected rows back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.options import AsJson, HomeFolder, LineName, Sites, home_at, listed
from factory.cli.screen import Column, print_json, say, show_table

if TYPE_CHECKING:
    import polars as pl

    from factory.line.line import Line, Table

Rule = Annotated[str, typer.Option("--rule", help="Only rows that broke a rule with these words in its name.")]
TableName = Annotated[str, typer.Option("--table", help="Name of a table; the decision table when left out.")]
Export = Annotated[
    Path | None,
    typer.Option("--export", metavar="FILE", help="Write the rows as they came, to a .csv, .parquet or .jsonl file."),
]
Mend = Annotated[
    Path | None,
    typer.Option(
        "--mend",
        metavar="FILE",
        help="Take corrected rows back: a CSV file with site, the key (or _load and _row), column, value, by, why.",
    ),
]
Mended = Annotated[bool, typer.Option("--mended", help="Show the corrections that were made.")]


def quarantine(  # noqa: PLR0913, PLR0917  a command's options
    line: LineName,
    rule: Rule = "",
    sites: Sites = "",
    table: TableName = "",
    export: Export = None,
    mend: Mend = None,
    mended: Mended = False,
    as_json: AsJson = False,
    home: HomeFolder = None,
) -> None:
    """Show the rows that broke the contract by rule, export them, or take them back corrected."""
    from factory.data import quarantine as rows_of
    from factory.storage.lake_store import LakeStore

    declared = _line(line)
    of = _table(declared, table)
    lake = LakeStore.at(home_at(home)).of(line)
    if mend is not None:
        new = rows_of.mend(lake, declared, of, _corrections(mend), datetime.now(UTC))
        say(f"{sum(new.values())} rows corrected ({', '.join(f'{site} {rows}' for site, rows in new.items())})")
        say(f"They are judged with the next run: factory run {line}")
        return
    if mended:
        made = rows_of.corrections_made(lake, of, listed(sites))
        print_json(made) if as_json else _show_made(made)
        return
    waiting = rows_of.waiting(lake, declared, of, listed(sites), rule)
    if export is not None:
        _write(waiting, export)
        say(f"{len(waiting)} rows written to {export}")
        return
    counted = rows_of.by_rule(waiting, of)
    if as_json:
        print_json([vars(one) for one in counted])
    elif counted:
        columns = [Column(heading="site"), Column(heading="rule"), Column(heading="rows"), Column(heading="such as")]
        show_table(columns, [[one.site, one.rule, f"{one.rows:,}", "; ".join(one.examples)] for one in counted])
        say(f"{len(waiting)} rows of {of.name} wait in quarantine. To have them as they came:")
        say(f"  factory quarantine {line} --export FILE")
    else:
        say(f"No row of {of.name} waits in quarantine{f' by a rule with {rule!r} in its name' if rule else ''}.")


def _line(name: str) -> "Line":
    """Return the line as its file describes it; raises LineError."""
    from factory.cli.names import described_line

    return described_line(name)


def _table(line: "Line", name: str) -> "Table":
    from factory.errors import LineError

    if name and name not in line.tables:
        raise LineError(f"line {line.name} has no table {name!r}; it has {', '.join(line.tables)}")
    return line.tables[name or line.decision_table]


def _corrections(file: Path) -> "pl.DataFrame":
    """Return a file of corrections, all texts; raises CorrectionRefused."""
    import polars as pl

    from factory.errors import CorrectionRefused

    try:
        return pl.read_csv(file, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CorrectionRefused(f"{file} cannot be read as a CSV file: {str(error).splitlines()[0]}") from error


def _write(rows: "pl.DataFrame", file: Path) -> None:
    from factory.errors import CorrectionRefused

    if file.suffix == ".csv":
        rows.write_csv(file)
    elif file.suffix == ".parquet":
        rows.write_parquet(file)
    elif file.suffix in (".json", ".ndjson", ".jsonl"):
        rows.write_ndjson(file)
    else:
        raise CorrectionRefused(f"{file}: name a .csv, .parquet or .jsonl file")


def _show_made(made: list[dict[str, Any]]) -> None:
    if not made:
        say("Nobody has corrected a row.")
        return
    headings = ("at", "site", "row", "column", "was", "is", "by", "why")
    lines = [
        [
            one["at"],
            one["site"],
            ", ".join(f"{name} {value}" for name, value in one["key"].items()),
            *(str(one[name]) for name in ("column", "was", "value", "by", "why")),
        ]
        for one in made
    ]
    show_table([Column(heading=heading) for heading in headings], lines)

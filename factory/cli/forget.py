"""`factory forget LINE`: removes what a line keeps of persons, everywhere in the home, and leaves a receipt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.options import By, HomeFolder, LineName, Reason, home_at, listed, outboxes_of
from factory.cli.screen import Column, say, show_table

if TYPE_CHECKING:
    from factory.pipeline.forget import Plan
    from factory.pipeline.forget.condition import Condition

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Who is meant, as in \"person = 'P-17' and clinic = north\"; may be given several times.",
    ),
]
Keys = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="A CSV file of who is meant: columns in its heading.")
]
Tables = Annotated[str, typer.Option("--table", help="Comma-separated tables to remove whole, and load anew.")]
Shown = Annotated[bool, typer.Option("--plan", help="Only show what would go.")]
MayReturn = Annotated[bool, typer.Option("--may-return", help="Let rows of them in again that the source still has.")]


def forget(  # noqa: PLR0913, PLR0917  a command's options
    line: LineName,
    by: By,
    reason: Reason,
    where: Where = None,
    keys: Keys = None,
    table: Tables = "",
    plan: Shown = False,
    may_return: MayReturn = False,
    home: HomeFolder = None,
) -> None:
    """Remove what a line keeps of persons, from all tables and their past, records and pages, and keep a receipt."""
    from factory.cli.names import described_line
    from factory.errors import PersonalDataRefused
    from factory.pipeline.forget import Forgetting, conditions
    from factory.storage.lake_store import LakeStore

    if not (where or keys or table):
        raise PersonalDataRefused("say who is meant, with --where or --keys, or which table is to be removed: --table")
    declared, place = described_line(line), home_at(home)
    some = [one for text in where or () for one in conditions(text)] + (_of_file(keys) if keys else [])
    lake = LakeStore.at(place).of(line)
    forgetting = Forgetting(place, lake, outboxes_of(place).every(line), declared, some, whole_tables=listed(table))
    planned = forgetting.plan()
    _show(planned)
    if plan:
        return
    receipt = forgetting.forget(by=by, reason=reason, may_return=may_return, say=lambda text: say(f"  {text}"))
    say(f"Forgotten. The receipt is in {place.forgotten / line}, begun {receipt.began}.")
    if sum(receipt.rows.values()):
        say(f"Features, pages and the gateway's snapshot are made anew by: factory operate {line}")
    if receipt.models:
        say(f"Models that learnt from them go on serving until newer ones pass: factory run {line}")


def _of_file(file: Path) -> "list[Condition]":
    import polars as pl

    from factory.errors import PersonalDataRefused
    from factory.pipeline.forget import conditions_of_keys

    try:
        keys = pl.read_csv(file, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        raise PersonalDataRefused(f"{file} cannot be read as a CSV file with a heading") from None
    return conditions_of_keys(keys, str(file))


def _show(plan: "Plan") -> None:
    if plan.is_empty:
        say("No table of the lake has a row of them now; what else is kept of them is looked for all the same.")
    else:
        rows = [[name, f"{count:,}"] for name, count in sorted(plan.rows.items())]
        show_table([Column(heading="table"), Column(heading="rows that go")], rows)
        say(f"{plan.decisions:,} decisions are about them.")
    if plan.not_in:
        say(f"Without these columns, and left as they are: {', '.join(plan.not_in)}.")
    for model, versions in plan.models.items():
        learnt = ", ".join(f"version {version} from {rows:,}" for version, rows in versions.items())
        say(f"{model} learnt from them, or was chosen by them: {learnt} decisions.")

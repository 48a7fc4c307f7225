"""`factory new project` and `factory new line`: a repository of one's own, and a line from a table in it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.screen import say

if TYPE_CHECKING:
    from factory.scaffold.new_line import Written

app = typer.Typer(name="new", no_args_is_help=True, help="A new project, and new lines in it.")

_FROM = (
    "A file of CSV, JSON, Excel, Parquet or Arrow, packed or not, here or at https://, s3://, gs:// or az://; a folder "
    "of them, or of Delta; a SQL table as URL::table; or what a service gives, as rest+https://… or odata+https://…::set."
)


@app.callback()
def new() -> None:
    """Make a new project, or a new line in this one."""


@app.command("project")
def project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Folder to write, and the project's name.")],
) -> None:
    """Write a project of your own into the folder NAME, with this library as a dependency."""
    from factory.scaffold.new_project import new_project

    made = new_project(name, Path.cwd())
    say(f"{name}/: {', '.join(made.files)}")
    say(f"Read {name}/README.md. Then:")
    say(f"  cd {name}")
    say("  factory new line NAME --from TABLE --target COLUMN")
    say("  factory run NAME")


@app.command("line")
def line(  # noqa: PLR0913, PLR0917  a person's options
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the line, and of its folder in lines/.")],
    table: Annotated[str, typer.Option("--from", help=_FROM)],
    target: Annotated[str, typer.Option(help="The column to be told before it is known.")],
    site: Annotated[
        str, typer.Option(help="The column that names the site: a plant, a shop; one site if left out.")
    ] = "",
    time: Annotated[
        str, typer.Option(help="The column with the moment of the decision; split by a hash if left out.")
    ] = "",
    entity: Annotated[str, typer.Option(help="The column that says what a row is about: a customer, a machine.")] = "",
    task: Annotated[
        str, typer.Option(help="binary, multiclass or regression; as the target's values propose if left out.")
    ] = "",
    positive: Annotated[
        str, typer.Option(metavar="VALUE", help="Of a target of two values the one that is the yes.")
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            metavar="YAML",
            help="What else the source must know: '{access: {kind: bearer, token: env:TOKEN}, paging: {by: page}}'.",
        ),
    ] = "",
) -> None:
    """Read a table and write a line from it: source, contract, features, gates, and a README of what to decide."""
    from factory.scaffold.new_line import new_line
    from factory.scaffold.profiling.profiler import Asked
    from factory.storage.project import project_root

    asked = Asked(
        at=table,
        target=target,
        site=site,
        time=time,
        entity=entity,
        task=task,
        positive=positive,
        source=_mapping_of(source),
    )
    _tell(new_line(name, asked, project_root(), datetime.now(tz=UTC).date()))


def _mapping_of(text: str) -> dict[str, Any]:
    """Return the mapping that an option says in YAML."""
    import yaml

    try:
        said = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"--source is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise typer.BadParameter("--source is a mapping, such as '{records: data}'")
    return said


def _tell(written: "Written") -> None:
    plan, profile = written.plan, written.plan.profile
    place, personal = f"lines/{plan.name}", [profile.columns[one.column].source_name for one in profile.personal]
    leaks = [profile.columns[one.column].source_name for one in profile.suspects if one.left_out]
    say(f"{place}: {profile.rows:,} rows, {len(plan.features)} features, task {profile.task.kind}")
    say(f"  the target has {profile.task.why}")
    if profile.task.unsure:
        say(f"  NOT SURE: {profile.task.unsure}")
    if plan.unsure_split:
        say(f"  NOT SURE: {plan.unsure_split}")
    for what, names in (("left out as personal data", personal), ("left out as leaks of the target", leaks)):
        if names:
            say(f"  {what}: {', '.join(map(repr, names))}")
    say(f"Read {place}/README.md: what was found, and what you must decide. Then:")
    say(f"  factory run {plan.name}")
    say("  factory status")
    say("  factory serve")

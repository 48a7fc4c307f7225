"""`factory new project` and `factory new line`: a repository of one's own, and a line from a table in it."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.screen import say

if TYPE_CHECKING:
    from factory.scaffold.new_line import Written
    from factory.scaffold.several.asked import AskedOfTables, Question

app = typer.Typer(name="new", no_args_is_help=True, help="A new project, and new lines in it.")

_FROM = (
    "A file of CSV, JSON, Excel, Parquet or Arrow, packed or not, here or at https://, s3://, gs:// or az://; a folder "
    "of them, or of Delta; a SQL table as URL::table; or what a service gives, as rest+https://host/path or odata+https://host::set."
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
    tables: Annotated[
        list[str], typer.Option("--from", metavar="TABLE", help=f"{_FROM} Once a table, NAME=TABLE too.")
    ],
    target: Annotated[str, typer.Option(help="Of one table: the column to be told before it is known.")] = "",
    site: Annotated[
        str, typer.Option(help="The column that names the site: a plant, a shop; of one table one site if left out.")
    ] = "",
    time: Annotated[
        list[str] | None,
        typer.Option(
            help="The column with the moment of the decision, split by a hash if left out; of several tables the one "
            "with the moment of a row, as TABLE.COLUMN."
        ),
    ] = None,
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
            help="What else the source must know: '{access: {kind: bearer, token: env:TOKEN}, paging: {by: page}}'; of "
            "several tables each behind its name.",
        ),
    ] = "",
    of: Annotated[
        str, typer.Option(metavar="TABLE", help="Of several tables: that of the things, such as machines.")
    ] = "",
    event: Annotated[
        str,
        typer.Option(metavar="TABLE", help="Of several tables: that of the events to be foreseen, such as failures."),
    ] = "",
    horizon: Annotated[
        str, typer.Option(metavar="LENGTH", help="Of several tables: how long before it an event is foreseen: 7d.")
    ] = "",
    every: Annotated[
        str, typer.Option(metavar="LENGTH", help="Of several tables: how often each thing is decided about.")
    ] = "1d",
    at: Annotated[str, typer.Option(metavar="HH:MM", help="Of several tables: the time of day of it, UTC.")] = "00:00",
) -> None:
    """Read tables and write a line from them: source, contracts, features, gates, and a README of what to decide.

    Of several tables, with --from once for each, one lists the things and another the events to be foreseen. Keys and
    joins are found; what the tables do not say is asked on a terminal.
    """
    from factory.scaffold.new_line import new_line
    from factory.scaffold.profiling.profiler import Asked
    from factory.scaffold.several.asked import AskedOfTables
    from factory.storage.project import project_root

    of_several = {"--of": of, "--event": event, "--horizon": horizon}
    of_one = {"--target": target, "--entity": entity, "--task": task, "--positive": positive}
    if len(tables) > 1:
        _refuse(of_one, "of several tables; their label is an --event within a --horizon")
        said = AskedOfTables(tables={}, of=of, event=event, horizon=horizon, every=every, at=at, site=site)
        _line_of_tables(name, tables, said, time or [], _mapping_of(source))
        return
    _refuse(of_several, "of one table; give --from once for each of several")
    if not target:
        raise typer.BadParameter("--target is needed: the column of the table that is to be told before it is known")
    if len(time or []) > 1:
        raise typer.BadParameter("--time is said once of one table: the column with the moment of the decision")
    asked = Asked(
        at=tables[0],
        target=target,
        site=site,
        time="".join(time or []),
        entity=entity,
        task=task,
        positive=positive,
        source=_mapping_of(source),
    )
    _tell(new_line(name, asked, project_root(), datetime.now(tz=UTC).date()))


def _refuse(flags: dict[str, str], why: str) -> None:
    """Raise BadParameter for the first flag that was said."""
    if said := next((flag for flag, value in flags.items() if value), ""):
        raise typer.BadParameter(f"{said} is not said {why}")


def _line_of_tables(
    name: str, tables: list[str], said: "AskedOfTables", times: list[str], source: dict[str, Any]
) -> None:
    """Write a line of several tables."""
    from factory.scaffold.several.asked import nobody
    from factory.scaffold.several.line_file import joins_in
    from factory.scaffold.several.new_line import new_line_of_tables
    from factory.storage.project import project_root

    root = project_root()
    places = _places_of(tables, root)
    if wrong := [time for time in times if "." not in time]:
        raise typer.BadParameter(f"--time {wrong[0]}: of several tables it is written as TABLE.COLUMN")
    of_table = {time.partition(".")[0]: time.partition(".")[2] for time in times}
    if unknown := [table for table in (*of_table, *source) if table not in places]:
        raise typer.BadParameter(f"there is no table {unknown[0]!r}; the tables are {', '.join(places)}")
    asked = replace(said, tables=places, times=of_table, source=source)
    ask = _answer_of if sys.stdin.isatty() else nobody
    plan = new_line_of_tables(name, asked, root, datetime.now(tz=UTC).date(), ask).plan
    say(f"lines/{name}: {len(plan.tables)} tables, {len(plan.windows)} features")
    say(f"  a row of {plan.event} within {plan.horizon}, asked of each of {plan.of} every {plan.calendar['every']}")
    for sentence in joins_in(plan):
        say(f"  {sentence}")
    for table, why in plan.left_out.items():
        say(f"  left out: {table}, for {why}")
    for guess in plan.guesses:
        say(f"  NOT SURE: {guess}")
    say(f"Read lines/{name}/README.md: what was found, and what you must decide. Then:")
    say(f"  factory run {name}")
    say("  factory status")
    say("  factory serve")


def _places_of(tables: list[str], root: Path) -> dict[str, str]:
    """Return each table's name in the line and its place, as `NAME=TABLE` says, or as the place is called."""
    from factory.connectors.tables.place import place_of
    from factory.scaffold.line_folder import seen_from
    from factory.scaffold.plan import table_name

    places: dict[str, str] = {}
    for said in tables:
        name, _, at = said.partition("=")
        if not at or not name.isidentifier():
            name, at = place_of(seen_from(root, said), root).name, said
        if (table := table_name(name)) in places:
            raise typer.BadParameter(f"two tables are called {table}; call one otherwise: --from NAME={at}")
        places[table] = at
    return places


def _answer_of(question: "Question") -> str:
    """Return a person's answer at a terminal."""
    say(f"{question.text[0].upper()}{question.text[1:]}.")
    which = f" ({', '.join(question.candidates)})" if question.candidates else ""
    return str(typer.prompt(f"--{question.flag}{which}"))


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

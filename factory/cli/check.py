"""`factory check` and `factory schema`: every mistake in every line's file, and what editors know of such a file."""

from typing import Annotated

import typer

from factory.cli.screen import say, say_error
from factory.storage.project import project_root


def check(
    line: Annotated[str, typer.Argument(metavar="LINE", help="The line to check; all when left out.")] = "",
) -> None:
    """Check every line's file, contracts and Python, and report each mistake with file and line number.

    Exit code: 0 where there is none, 1 where there are some, 2 where the project itself cannot be loaded.
    """
    from factory.orchestration.lines import checked

    mistaken = checked(project_root(), line)
    for error in mistaken.mistakes:
        say(str(error))
    write = say_error if mistaken.mistakes else say
    write(f"{', '.join(mistaken.sound) or 'no line'}: no mistakes")
    raise typer.Exit(1 if mistaken.mistakes else 0)


def schema() -> None:
    """Write lines/line.schema.json, by which editors complete and check a line's file; again after an upgrade."""
    from factory.line.reference import write_schema

    say(f"{write_schema(project_root())} written")

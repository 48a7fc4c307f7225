"""Arguments and options that many commands share, and the home that they name.

The one place where commands read the environment.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.screen import hints
from factory.errors import EnvironmentRefused
from factory.storage.home import HOME_VARIABLE, Home

if TYPE_CHECKING:
    from factory.connectors.outbox.store import OutboxStore


def _said(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("say something: it goes on record")
    return text.strip()


def _taken(context: typer.Context, folder: Path | None) -> Path | None:
    hints.take(context, folder)
    return folder


def lines_to_complete() -> list[str]:
    """Return what may complete a line's name in a shell."""
    from factory.cli.names import known_lines

    return known_lines(home_at(None))


def sites_to_complete(context: typer.Context) -> list[str]:
    """Return what may complete a site's name in a shell: those of the line typed before it, else of all lines."""
    from factory.cli.names import known_sites

    return known_sites(home_at(context.params.get("home")), context.params.get("line") or "")


LineName = Annotated[
    str, typer.Argument(metavar="LINE", help="Name of a line, as in lines/.", autocompletion=lines_to_complete)
]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="Name of a site.", autocompletion=sites_to_complete)]
Sites = Annotated[str, typer.Option("--sites", help="Comma-separated; all that the source has when left out.")]
Until = Annotated[str, typer.Option("--until", help="As-of date YYYY-MM-DD, exclusive; the line's own when left out.")]
New = Annotated[bool, typer.Option("--new", help="Also take sites that the source has no rows of yet.")]
HomeFolder = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar=HOME_VARIABLE,
        show_default=".factory beside definitions.py",
        help="Folder of everything the factory keeps.",
        is_eager=True,
        callback=_taken,
    ),
]
Line = Annotated[
    str,
    typer.Option(
        "--line", help="The site's line; needed where several lines have such a site.", autocompletion=lines_to_complete
    ),
]
By = Annotated[str, typer.Option("--by", help="Who decides; goes on record.", callback=_said)]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes on record.", callback=_said)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def home_at(folder: Path | None) -> Home:
    """Return the home that `--home` names, or the environment, or the project around the working folder.

    Raises EnvironmentRefused where that is no folder.
    """
    home = Home.found(os.environ, folder)
    there = next((place for place in (home.root, *home.root.parents) if place.exists()), home.root)
    if there.exists() and not there.is_dir():
        raise EnvironmentRefused(
            f"home {home.root} cannot be a folder, for {there} is a file: name another with --home"
        )
    return home


def outboxes_of(home: Home) -> "OutboxStore":
    """Return the outboxes of a home, where the environment says that they are; raises EnvironmentRefused."""
    from factory.connectors.outbox.store import OutboxStore

    return OutboxStore.at(home, os.environ)


def listed(names: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(name.strip() for name in names.split(",") if name.strip())

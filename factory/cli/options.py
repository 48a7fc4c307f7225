"""Options that many commands share, and the home that they name; the one place where commands read the environment."""

import os
from pathlib import Path
from typing import Annotated

import typer

from factory.storage.home import HOME_VARIABLE, Home


def _said(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("say something: it goes on record")
    return text.strip()


HomeFolder = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar=HOME_VARIABLE,
        show_default=".factory beside definitions.py",
        help="Folder of everything the factory keeps.",
    ),
]
Line = Annotated[str, typer.Option("--line", help="The site's line; needed where several lines have such a site.")]
By = Annotated[str, typer.Option("--by", help="Who decides; goes on record.", callback=_said)]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes on record.", callback=_said)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def home_at(folder: Path | None) -> Home:
    """Return the home that `--home` names, or the environment, or the project around the working folder."""
    return Home.found(os.environ, folder)

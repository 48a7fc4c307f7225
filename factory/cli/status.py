"""`factory status`, `why`, `doctor`: what is the case, read from the home and from this machine."""

from dataclasses import asdict
from typing import Annotated

import typer

from factory.cli.options import AsJson, HomeFolder, home_at, lines_to_complete
from factory.cli.screen import print_json, say_error


def status(
    line: Annotated[
        str,
        typer.Argument(metavar="[LINE]", help="Name of a line; all when left out.", autocompletion=lines_to_complete),
    ] = "",
    as_json: AsJson = False,
    home: HomeFolder = None,
) -> None:
    """Show what each site serves, and why."""
    from factory.cli.names import mistaken_files, require_known_line
    from factory.cli.status_screen import show_status
    from factory.reports.status import status as current

    place = home_at(home)
    if line:
        require_known_line(place, line)
    statuses = current(place)
    lines = {name: what for name, what in statuses["lines"].items() if line in ("", name)}
    if as_json:
        print_json({**statuses, "lines": lines})
    else:
        show_status(lines, line)
    for name, error in mistaken_files(line).items():
        say_error(f"line {name} cannot be loaded, and serves on what it served: {error}")


def why(
    prediction: Annotated[str, typer.Argument(metavar="PREDICTION", help="Id of a prediction, as its answer had it.")],
    home: HomeFolder = None,
) -> None:
    """Show a prediction as recorded, and what the release that gave it answers now; exit code 1 if they differ.

    It is looked for in the gateway's records, and in the lake, where `factory operate` takes them.
    """
    from factory.cli.records import taken_in
    from factory.gateway.models.explanation import why as answer
    from factory.release import ModelRepository
    from factory.release.signing import public_key
    from factory.storage.lake_store import LakeStore

    place = home_at(home)
    key, repository = public_key(place.public_key), ModelRepository.at(place)
    taken = taken_in(LakeStore.at(place), repository)
    explained = answer(place.prediction_log, repository, key, prediction, taken)
    print_json(explained)
    raise typer.Exit(0 if explained["rebuilt"] else 1)


def doctor(
    mend: Annotated[
        bool, typer.Option("--mend", help="Put right what names an old place of a home that was moved, and say so.")
    ] = False,
    as_json: AsJson = False,
    home: HomeFolder = None,
) -> None:
    """Show what this machine has and lacks; exit code 1 if something needed is lacking."""
    from factory.cli.doctor import findings, lacks
    from factory.cli.status_screen import show_findings

    checked = findings(home_at(home), mend=mend)
    if as_json:
        print_json({"fine": not lacks(checked), "findings": [asdict(finding) for finding in checked]})
    else:
        show_findings(checked)
    raise typer.Exit(int(lacks(checked)))

"""`factory run`, `operate`, `demo`, `fetch`: a line taken through its stages, and shown while that goes on."""

from pathlib import Path
from typing import Annotated

import typer

from factory.cli.options import HomeFolder, LineName, New, Sites, Until, home_at, listed
from factory.cli.screen import say
from factory.pipeline.stages import NAMES, OPERATING

RedoFrom = Annotated[
    str,
    typer.Option(
        "--from", help=f"Redo from this stage, changed or not, and leave those before it: {', '.join(NAMES)}."
    ),
]


def run(
    line: LineName,
    sites: Sites = "",
    until: Until = "",
    redo_from: RedoFrom = "",
    new: New = False,
    home: HomeFolder = None,
) -> None:
    """Run every stage of a line: data, base model, site models, verdicts, releases; what did not change is not redone.

    Exit code: 0 all through (a candidate that its gates refused is an answer, no failure), 1 a site failed and the
    others went through, 2 nothing could start, 130 stopped by Ctrl-C, 143 by SIGTERM. Run again to go on.
    """
    raise typer.Exit(_run(line, home, sites=sites, until=until, redo_from=redo_from, new=new))


def operate(line: LineName, sites: Sites = "", until: Until = "", new: New = False, home: HomeFolder = None) -> None:
    """Bring new rows in, let releases decide about them, join outcomes, judge drift; train and release nothing.

    Exit codes as of `factory run`.
    """
    from factory.cli.lines import run_shown
    from factory.pipeline.events import LineRequest

    request = LineRequest(line=line, sites=listed(sites), until=until, stages=OPERATING)
    raise typer.Exit(run_shown(home_at(home), request, "operate", new=new)[0])


def demo(
    line: LineName,
    site: Annotated[
        str, typer.Option(help="The site that a first request is written for; the first when left out.")
    ] = "",
    home: HomeFolder = None,
) -> None:
    """Run a line on all its sites and say where to look next."""
    from factory.cli.status_screen import show_next_steps
    from factory.names import model_name
    from factory.release import ModelRepository
    from factory.release.example import write_example

    code = _run(line, home, also=(site,) if site else ())
    if code == 0:
        place = home_at(home)
        served = ModelRepository.at(place).models()
        wanted = model_name(line, site) if site else next((name for name in served if name.startswith(f"{line}.")), "")
        show_next_steps(place, wanted if wanted and write_example(place, wanted) else None)
    raise typer.Exit(code)


def fetch(line: LineName, home: HomeFolder = None) -> None:
    """Download a line's data from its public address into its data folder, each file verified by its SHA-256."""
    from factory.cli.lines import fetch as bring

    bring(home_at(home), line, say)


def _run(
    line: str,
    home: Path | None,
    *,
    sites: str = "",
    until: str = "",
    redo_from: str = "",
    new: bool = False,
    also: tuple[str, ...] = (),
) -> int:
    from factory.cli.lines import run_shown
    from factory.cli.status_screen import show_status
    from factory.pipeline.events import LineRequest
    from factory.reports.status import status as current

    place = home_at(home)
    request = LineRequest(line=line, sites=listed(sites), until=until, redo_from=redo_from)
    code, outcome = run_shown(place, request, "run", new=new, also=also)
    if outcome is not None and outcome.sites:
        show_status({name: what for name, what in current(place)["lines"].items() if name == line}, line)
    return code

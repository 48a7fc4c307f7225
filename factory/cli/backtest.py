"""`factory backtest`: a line's past in a home of its own, so that nothing real is touched."""

import json
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from factory.cli.options import AsJson, HomeFolder, LineName, home_at
from factory.cli.screen import console, print_json, say, say_error
from factory.economics.backtest.moments import moments
from factory.errors import LineError
from factory.storage.home import Home

REAL = ("MLFLOW_TRACKING_URI", "FACTORY_LAKE", "FACTORY_ALERT_WEBHOOK", "FACTORY_ALERT_URLS")
"""Places outside the home that a backtest must neither write to nor alert."""
MARKER_FILE = "backtest.txt"


def backtest(
    line: LineName,
    begin: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD: the first models are made as of it.")],
    end: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")],
    every: Annotated[str, typer.Option(help="How far one step goes: month or week.")] = "month",
    as_json: AsJson = False,
    home: HomeFolder = None,
) -> None:
    """Run a line's past again with its real sensors and gates; tell what it earned beside never and blind retraining.

    It takes a full run of the line for each step. Everything is kept in <home>/backtest/<line>, a home of its own.
    """
    from factory.cli.backtest_screen import Watched, show
    from factory.cli.interrupts import Interrupts
    from factory.cli.lines import opened_lines, require_loaded
    from factory.connectors.sinks.kinds import DELIVERIES, DRY_RUN
    from factory.economics.backtest.picture import picture
    from factory.orchestration.backtest import Backtest
    from factory.pipeline.events import Stopped

    moments(begin, end, every)  # a mistake is refused before anything is done
    for name in REAL:
        os.environ.pop(name, None)
    there = Home.at(home_at(home).backtest(line))
    # What was decided years ago is nobody's order today.
    os.environ.update({**there.environment(), DELIVERIES: DRY_RUN})
    require_loaded(line)
    place = emptied(there.root)
    with Interrupts() as interrupts, Watched() as watched:
        try:
            with opened_lines(Home.at(place), interrupts, line) as lines:
                past = Backtest(line, lines, watched.say, show=watched.show, moved=watched.moved)
                report = past.run(begin, end, every)
        except (Stopped, KeyboardInterrupt):
            say_error("stopped; a backtest begins anew when it is asked for again")
            raise typer.Exit(128 + interrupts.signal()) from None
    (place / "backtest.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    (place / "backtest.svg").write_text(picture(report), encoding="utf-8")
    if as_json:
        print_json(report)
    else:
        show(report, console)
        say(f"drawn in {place / 'backtest.svg'}")


def emptied(place: Path) -> Path:
    """Return the folder, made empty if a backtest made it; raises LineError if anything else did."""
    if place.exists():
        if not (place / MARKER_FILE).is_file():
            raise LineError(f"{place} is there and no backtest made it; move it away")
        shutil.rmtree(place)
    place.mkdir(parents=True)
    (place / MARKER_FILE).write_text(
        "Made by `factory backtest`, which empties it when it begins again.\n", encoding="utf-8"
    )
    return place

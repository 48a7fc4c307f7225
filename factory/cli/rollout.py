"""`factory rollout LINE`, `factory rollout status LINE`, `factory rollout end LINE`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from factory.cli.names import require_known_line
from factory.cli.options import AsJson, By, HomeFolder, LineName, Reason, Until, home_at
from factory.cli.screen import print_json, say
from factory.pipeline.rollout.plan import DEFAULT_SIZES, sizes_of
from factory.storage.home import Home

if TYPE_CHECKING:
    from factory.pipeline.rollout.state import Rollout

START = "start"


class LineFirst(TyperGroup):
    """Takes a line's name where a command is expected for `start` with that line."""

    default = START
    """What hints with no command of the group mean (factory/cli/screen.py)."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # what it gets
        """Put the word `start` before words that begin with no command."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [START, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="rollout",
    cls=LineFirst,
    no_args_is_help=True,
    help="A change of a line goes to a pilot, then to more sites, then to the rest: `factory rollout LINE`.",
)


@app.command(START)
def start(  # noqa: PLR0913, PLR0917  a command's options, each by its name
    line: LineName,
    by: By,
    reason: Reason,
    pilot: Annotated[str, typer.Option(help="The first site; the one judged on most rows when left out.")] = "",
    waves: Annotated[str, typer.Option(help="Sizes of the waves, and the rest.")] = DEFAULT_SIZES,
    until: Until = "",
    max_refused: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Largest share of a wave's sites that may be refused or fail.")
    ] = 0.25,
    min_value_change: Annotated[
        float, typer.Option(help="What a wave must earn, in EUR on the holdout, above the models it replaces.")
    ] = 0.0,
    soak: Annotated[float, typer.Option(min=0.0, max=43_200.0, help="Minutes to wait after a wave.")] = 0.0,
    again: Annotated[bool, typer.Option("--again", help="Begin anew after a halt.")] = False,
    home: HomeFolder = None,
) -> None:
    """Roll a change of a line out in waves, or go on with the rollout under way; the word `start` may be left out.

    Exit code: 0 all waves are through, 1 a wave halted and was reverted or a person must approve first, 2 it could not
    begin or go on, 130 stopped by Ctrl-C, 143 by SIGTERM. Type the same again to go on.
    """
    from factory.cli.interrupts import Interrupts
    from factory.cli.lines import ShownLines
    from factory.cli.rollout_screen import step_lines
    from factory.pipeline.rollout.driver import Driver
    from factory.pipeline.rollout.judging import Limits
    from factory.pipeline.rollout.runs import Runs
    from factory.pipeline.rollout.sites import LinePlace
    from factory.pipeline.rollout.state import RolloutStore, Terms

    place = home_at(home)
    limits = Limits(max_refused=max_refused, min_value_change_eur=min_value_change)
    terms = Terms(pilot=pilot, waves=waves, until=until, limits=limits, soak_min=soak)
    sizes_of(waves)  # a mistake is refused before anything is loaded
    with Interrupts() as interrupts:
        lines = ShownLines(place, interrupts)
        lines.require(line)
        driver = Driver(
            place=LinePlace.at(place, line),
            store=RolloutStore(place.rollouts),
            runs=Runs(line=line, lines=lines),
            show=lambda rollout, number: _print(step_lines(rollout, number)),
            say=say,
        )
        try:
            code = driver.drive(by=by, reason=reason, terms=terms, again=again)
        except KeyboardInterrupt:
            say("Stopped; nothing is half done, and the same command goes on.")
            code = 128 + interrupts.signal()
    raise typer.Exit(code)


@app.command()
def status(line: LineName, as_json: AsJson = False, home: HomeFolder = None) -> None:
    """Show how far a line's newest rollout is, by which figures, and what was reverted."""
    from factory.cli.rollout_screen import rollout_lines

    place = home_at(home)
    require_known_line(place, line)
    rollout = _read(place, line)
    if as_json:
        print_json(asdict(rollout) if rollout else None)
    else:
        _print(rollout_lines(rollout) if rollout else [f"{line} was never rolled out in waves here."])


@app.command()
def end(line: LineName, by: By, reason: Reason, home: HomeFolder = None) -> None:
    """Give a rollout up: what it released stays, and the sites that wait for their turn are let go."""
    from factory.pipeline.rollout.driver import end as end_rollout
    from factory.pipeline.rollout.sites import LinePlace
    from factory.pipeline.rollout.state import RolloutStore

    place = home_at(home)
    require_known_line(place, line)
    freed = end_rollout(LinePlace.at(place, line), RolloutStore(place.rollouts), by=by, reason=reason)
    say(f"{line}: the rollout is ended. The next run releases what passes at: {', '.join(freed) or 'no site more'}")


def _read(home: Home, line: str) -> "Rollout | None":
    from factory.pipeline.rollout.state import RolloutStore

    return RolloutStore(home.rollouts).read(line)


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)

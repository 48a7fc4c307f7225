"""`factory run`, `operate`, `fetch`, `site add`: lines loaded from the project, their runs submitted and shown.

Dagster is loaded here and not before, so that all other commands answer at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from factory.cli.interrupts import Interrupts
from factory.errors import FactoryError, LineError
from factory.pipeline.events import Event, LineOutcome, LineRequest, Show, Stopped
from factory.storage.faults import storage_faults
from factory.storage.home import Home

if TYPE_CHECKING:
    from factory.orchestration.launch import LineLauncher

STOPPED = "stopped; what was finished is kept and nothing is half done: go on with `{again}`"


def run_shown(home: Home, request: LineRequest, command: str) -> tuple[int, LineOutcome | None]:
    """Run what is requested and show it; return the exit code and the outcome, None where it was stopped.

    `command` is what a person types to do it again. Raises FactoryError where nothing could start.
    """
    from factory.cli.progress import screen
    from factory.cli.screen import own_console

    request.require_names()
    with Interrupts() as interrupts, own_console() as console, screen(console) as shown:
        try:
            with opened_lines(home, interrupts) as lines:
                outcome = lines.run(request, shown.show)
            return outcome.exit_code, outcome
        except (Stopped, KeyboardInterrupt):
            shown.say(STOPPED.format(again=_again(command, request)), "yellow")
            return 128 + interrupts.signal(), None


@contextmanager
def opened_lines(home: Home, interrupts: Interrupts | None = None) -> "Iterator[LineLauncher]":
    """Load the project's lines and open the home's instance; raises FactoryError where either cannot be."""
    from factory.orchestration.instance import opened_instance
    from factory.orchestration.launch import Interruptions, LineLauncher
    from factory.orchestration.project import Project, load_definitions

    project = Project.around(home)
    interruptions = Interruptions(obey=interrupts.obey, signal=interrupts.signal) if interrupts else Interruptions()
    with storage_faults(home.root):
        project.export_home()
        definitions = load_definitions(project.root)
        with opened_instance(project.home.dagster) as instance:
            yield LineLauncher(
                definitions=definitions, instance=instance, root=project.root, interruptions=interruptions
            )


def add_site(home: Home, line: str, site: str) -> None:
    """Add a site to a line; raises FactoryError."""
    from factory.orchestration.sites import add_sites

    with opened_lines(home) as lines:
        lines.parts(line)
        add_sites(lines.instance, line, [site])


def fetch(home: Home, line: str, say: Callable[[str], None]) -> None:
    """Bring a line's published data; raises FactoryError."""
    from factory.orchestration.line_source import line_sources
    from factory.orchestration.project import Project, load_definitions

    project = Project.around(home)
    project.export_home()
    sources = line_sources(load_definitions(project.root))
    if line not in sources:
        raise LineError(f"there is no line {line!r}; lines/ has {', '.join(sources) or 'none'}")
    fetched = sources[line].fetch(say)
    say(f"{len(fetched)} files fetched" if fetched else "nothing to fetch: every file is there, as published")


def lacking(home: Home) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each line that loads, and a sentence on each thing its source lacks; raises FactoryError."""
    from factory.orchestration.line_source import line_sources
    from factory.orchestration.project import Project, load_definitions

    project = Project.around(home)
    for line, source in line_sources(load_definitions(project.root)).items():
        try:
            yield line, source.lacking()
        except FactoryError as error:
            yield line, [f"{type(error).__name__}: {error}"]


class ShownLines:
    """Runs lines and shows what they do; keeps factory.pipeline.events.Lines for a rollout."""

    def __init__(self, home: Home, interrupts: Interrupts) -> None:
        self.home = home
        self.interrupts = interrupts

    def run(self, request: LineRequest, show: Show) -> LineOutcome:
        """Run what is asked."""
        from factory.cli.progress import screen
        from factory.cli.screen import own_console

        with own_console() as console, screen(console) as shown, opened_lines(self.home, self.interrupts) as lines:

            def both(event: Event) -> None:
                shown.show(event)
                show(event)

            return lines.run(request, both)

    def sites(self, line: str, until: str) -> Sequence[str]:
        """Return the sites that a run without sites would take."""
        with opened_lines(self.home, self.interrupts) as lines:
            return lines.sites(line, until)


def _again(command: str, request: LineRequest) -> str:
    """Return the words of this very command."""
    options = {"--sites": ",".join(request.sites), "--until": request.until, "--from": request.redo_from}
    given = (f"{name} {text}" for name, text in options.items() if text)
    return " ".join(["factory", command, request.line, *given])

"""What commands do with a project's lines: load them, submit runs and show them, and keep the lines' sites.

Dagster is loaded here and not before, so that all other commands answer at once.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from factory.cli.interrupts import Interrupts
from factory.cli.screen import own_console, say, say_error
from factory.errors import FactoryError, LineError
from factory.pipeline.events import Event, LineOutcome, LineRequest, Show, Stopped
from factory.storage.faults import storage_faults
from factory.storage.home import Home

if TYPE_CHECKING:
    from factory.orchestration.launch import LineLauncher
    from factory.release import Manifest

STOPPED = "stopped; what was finished is kept and nothing is half done: go on with `{again}`"


def run_shown(
    home: Home, request: LineRequest, command: str, *, new: bool = False, also: Sequence[str] = ()
) -> tuple[int, LineOutcome | None]:
    """Run what is requested and show it; return the exit code and the outcome, None where it was stopped.

    `command` is what a person types to do it again; with `new`, sites that the source has no rows of are added first;
    `also` are sites that must be known, though the request does not name them. Raises FactoryError where nothing could
    start.
    """
    from factory.cli.progress import screen

    request.require_names()
    with Interrupts() as interrupts, own_console() as console:
        try:
            with screen(console) as shown, opened_lines(home, interrupts, request.line) as lines:
                lines.parts(request.line)
                lines.require_sites(request.line, also, request.until)
                if new:
                    _add(lines, request.line, request.sites)
                outcome = lines.run(request, shown.show)
            return outcome.exit_code, outcome
        except (Stopped, KeyboardInterrupt):
            say(STOPPED.format(again=_again(command, request)), "yellow", to=console)
            return 128 + interrupts.signal(), None


@contextmanager
def opened_lines(home: Home, interrupts: Interrupts | None = None, line: str = "") -> "Iterator[LineLauncher]":
    """Load the project's lines and open the home's instance; raises FactoryError where it or the line cannot be."""
    from factory.orchestration.instance import opened_instance
    from factory.orchestration.launch import Interruptions, LineLauncher
    from factory.orchestration.project import Project, load_for

    project = Project.around(home)
    interruptions = Interruptions(obey=interrupts.obey, signal=interrupts.signal) if interrupts else Interruptions()
    with storage_faults(home.root):
        project.export_home()
        definitions = load_for(line, project.root, say_error)
        with opened_instance(project.home.dagster) as instance:
            yield LineLauncher(
                definitions=definitions, instance=instance, root=project.root, interruptions=interruptions
            )


def sites_listed(home: Home, line: str) -> list[dict[str, Any]]:
    """Return `{"site", "state", "serves", "removed"}` for each site; raises FactoryError.

    `state` is one of factory.cli.sites.STATES, `serves` a version or None, `removed` a sentence or None.
    """
    from factory.names import model_name
    from factory.orchestration.sites import known_sites

    with opened_lines(home, line=line) as lines:
        at_source, in_line = set(lines.sites(line, "")), set(known_sites(lines.instance, line))
        removed, repository = lines.store.removed_sites(line), lines.store.repository()

    def state(site: str) -> str:
        if site in removed:
            return "removed"
        return ("in line" if site in at_source else "announced") if site in in_line else "at source"

    def serves(site: str) -> int | None:
        served = repository.current(model_name(line, site))
        return served.version if served else None

    return [
        {"site": site, "state": state(site), "serves": serves(site), "removed": removed.get(site)}
        for site in sorted({*at_source, *in_line, *removed})
    ]


def add_site(home: Home, line: str, site: str, *, new: bool, by: str, reason: str) -> bool:
    """Add a site to a line, and return whether it had been removed; raises FactoryError.

    Without `new` the source must have rows of it, unless the line had it before.
    """
    from factory.names import model_name

    with opened_lines(home, line=line) as lines:
        lines.parts(line)
        store = lines.store
        was_removed = site in store.removed_sites(line)
        if not new and not was_removed:
            lines.require_sites(line, [site])
        if was_removed:
            store.repository().reinstate(model_name(line, site), by=by, reason=reason, key=store.key())
        _add(lines, line, [site])
    return was_removed


def remove_site(home: Home, line: str, site: str, *, by: str, reason: str) -> "Manifest | None":
    """Take a site out of a line and out of service, on record; return what it served. Raises FactoryError.

    Done twice it is done once; where it was interrupted, it goes on.
    """
    from factory.names import model_name
    from factory.orchestration.sites import drop_site, known_sites

    with opened_lines(home, line=line) as lines:
        lines.parts(line)
        store, model = lines.store, model_name(line, site)
        removed, in_line = store.removed_sites(line), set(known_sites(lines.instance, line))
        if site in removed and site not in in_line:
            raise LineError(f"site {site}: {removed[site]}")
        if site not in in_line and store.repository().marker(model) is None:
            lines.require_sites(line, [site])
        # On record first: a run that is under way then releases nothing more of it.
        served = store.repository().retire(model, by=by, reason=reason, key=store.key())
        drop_site(lines.instance, line, site)
    return served


def _add(lines: "LineLauncher", line: str, sites: Sequence[str]) -> None:
    from factory.orchestration.sites import add_sites

    add_sites(lines.instance, line, sites)


def fetch(home: Home, line: str, say: Callable[[str], None]) -> None:
    """Bring a line's published data; raises FactoryError."""
    from factory.names import require_line
    from factory.orchestration.line_source import line_sources
    from factory.orchestration.project import Project, load_for

    project = Project.around(home)
    project.export_home()
    sources = line_sources(load_for(line, project.root, say_error))
    require_line(line, sources)
    fetched = sources[line].fetch(say)
    say(f"{len(fetched)} files fetched" if fetched else "nothing to fetch: every file is there, as published")


def lacking(home: Home) -> Iterator[tuple[str, FactoryError | Sequence[str]]]:
    """Yield each line, and why it cannot be loaded or what its source lacks, a sentence each; raises FactoryError."""
    from factory.orchestration.broken_line import broken_lines
    from factory.orchestration.line_source import line_sources
    from factory.orchestration.project import Project, load_definitions

    definitions = load_definitions(Project.around(home).root)
    yield from broken_lines(definitions).items()
    for line, source in line_sources(definitions).items():
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

        opened = opened_lines(self.home, self.interrupts, request.line)
        with own_console() as console, screen(console) as shown, opened as lines:

            def both(event: Event) -> None:
                shown.show(event)
                show(event)

            return lines.run(request, both)

    def require(self, line: str) -> None:
        """Raise LineError unless the project has the line."""
        with opened_lines(self.home, self.interrupts, line) as lines:
            lines.parts(line)

    def sites(self, line: str, until: str) -> Sequence[str]:
        """Return the sites that a run without sites would take."""
        with opened_lines(self.home, self.interrupts, line) as lines:
            return lines.sites(line, until)


def _again(command: str, request: LineRequest) -> str:
    """Return the words of this very command."""
    options = {"--sites": ",".join(request.sites), "--until": request.until, "--from": request.redo_from}
    given = (f"{name} {shlex.quote(text)}" for name, text in options.items() if text)
    return " ".join(["factory", command, request.line, *given])


def require_loaded(line: str) -> None:
    """Raise FactoryError where the project around the working folder has no such line, or it cannot be loaded."""
    from factory.names import require_line
    from factory.orchestration.launch import line_parts
    from factory.orchestration.project import load_for
    from factory.storage.project import project_root

    require_line(line, line_parts(load_for(line, project_root(), say_error)))

"""What `definitions.py` does for the command line: words in, events on standard output and an exit code out.

0    all through; a candidate that its gates refused is an answer, and no failure
1    a site failed, or what all sites need; the others went through
2    nothing could start
130  stopped by Ctrl-C; 143: by SIGTERM
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError  # what it makes of a signal while a step runs

from factory.errors import FactoryError, LineError
from factory.orchestration.events import emit
from factory.orchestration.launch import Launch, opened_instance
from factory.orchestration.line_mistakes import line_mistake
from factory.orchestration.line_source import line_sources
from factory.orchestration.stopping import StopRequests
from factory.pipeline.stages import checked_stage

NOTHING_STARTED = 2


def main(words: Sequence[str], definitions: Callable[[], dg.Definitions], home: Path) -> int:
    """Do what the words ask for and return the exit code."""
    asked = _parsed(words)
    with StopRequests() as stop:
        try:
            return _DOES[asked.what](asked, definitions, home, stop)
        except (FactoryError, dg.DagsterError) as error:
            emit("failed", text=f"{type(error).__name__}: {error}")
            return NOTHING_STARTED
        except (KeyboardInterrupt, DagsterExecutionInterruptedError):
            stop.asked()
    emit("stopped", text=f"stopped; what was finished is kept and nothing is half done: go on with `{_again(asked)}`")
    return 128 + stop.signal


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="definitions.py")
    parser.add_argument("what", choices=sorted(_DOES))
    parser.add_argument("line", nargs="?", default="")
    parser.add_argument("--sites", default="", help="comma-separated; all that the source knows when left out")
    parser.add_argument("--until", default="", help="as-of date YYYY-MM-DD, exclusive")
    parser.add_argument("--from", dest="redo_from", default="", help="stage to begin with though nothing changed")
    parser.add_argument("--begin", default="", help="first day of a replay, YYYY-MM-DD")
    parser.add_argument("--end", default="", help="last day of a replay, YYYY-MM-DD")
    parser.add_argument("--every", default="month", help="how far a replay goes in one step")
    return parser.parse_args(words)


def _again(asked: argparse.Namespace) -> str:
    """Return the words of this very command."""
    told = {"--sites": asked.sites, "--until": asked.until, "--from": asked.redo_from}
    return " ".join(["factory", asked.what, asked.line, *(f"{name} {text}" for name, text in told.items() if text)])


def _run(asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], home: Path, stop: StopRequests) -> int:
    checked_stage(asked.redo_from)
    with opened_instance(home / "dagster") as instance:
        launch = Launch(asked.line, _loaded(definitions), instance, stop.obey)
        return launch.run(_named(asked.sites), asked.until, asked.redo_from)


def _operate(
    asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], home: Path, stop: StopRequests
) -> int:
    with opened_instance(home / "dagster") as instance:
        return Launch(asked.line, _loaded(definitions), instance, stop.obey).operate(_named(asked.sites), asked.until)


def _sites(asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], home: Path, stop: StopRequests) -> int:
    """Tell which sites a run without `--sites` would take."""
    with opened_instance(home / "dagster") as instance:
        emit("sites", sites=Launch(asked.line, _loaded(definitions), instance, stop.obey).sites(asked.until))
    return 0


def _add_sites(
    asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], home: Path, stop: StopRequests
) -> int:
    with opened_instance(home / "dagster") as instance:
        return Launch(asked.line, _loaded(definitions), instance, stop.obey).add(_named(asked.sites))


def _fetch(
    asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], _home: Path, _stop: StopRequests
) -> int:
    sources = line_sources(_loaded(definitions))
    if asked.line not in sources:
        raise LineError(f"there is no line {asked.line!r}; lines/ has {', '.join(sources) or 'none'}")
    source = sources[asked.line]
    brought = source.fetch(lambda text: emit("told", text=text))
    emit(
        "told",
        text=f"{len(brought)} files fetched" if brought else "nothing to fetch: every file is there, as published",
    )
    return 0


def _inspect(
    _asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], _home: Path, _stop: StopRequests
) -> int:
    """Tell of each line whether it loads and what its source lacks, for `factory doctor`."""
    for line, source in line_sources(_loaded(definitions)).items():
        try:
            emit("line", line=line, lacks=source.lacking())
        except FactoryError as error:
            emit("line", line=line, lacks=[f"{type(error).__name__}: {error}"])
    return 0


def _replay(
    asked: argparse.Namespace, definitions: Callable[[], dg.Definitions], home: Path, stop: StopRequests
) -> int:
    from factory.orchestration.backtest import Replay

    with opened_instance(home / "dagster") as instance:
        replay = Replay(asked.line, _loaded(definitions), instance, stop.obey)
        emit("replay", report=replay.walk(asked.begin, asked.end, asked.every))
    return 0


_DOES = {
    "run": _run,
    "operate": _operate,
    "sites": _sites,
    "add-sites": _add_sites,
    "fetch": _fetch,
    "inspect": _inspect,
    "replay": _replay,
}


def _named(sites: str) -> list[str]:
    return [name for name in sites.split(",") if name]


def _loaded(definitions: Callable[[], dg.Definitions]) -> dg.Definitions:
    try:
        return definitions()
    except Exception as error:  # whatever a line's file made the loader stumble over, a person gets one message
        raise line_mistake(error) from error

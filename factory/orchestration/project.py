"""The project a command works on: the folder with `definitions.py`, and the home where everything is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.storage.atomic_files import temporary_name
from factory.storage.project import project_root

# Nothing calls home and nobody is asked for an address, unless the file is changed to say so.
ORCHESTRATOR_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    granularity: run
  runs:
    tag_concurrency_limits:  # one run over a whole line at a time
      - key: factory/line
        value: {applyLimitPerUniqueValue: true}
        limit: 1
run_retries:
  enabled: true  # for runs whose tags say how often
"""


EXIT_CODES = (0, 1, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM)
PATIENCE_S = 1.0
"""A second Ctrl-C later than this is meant."""
STOPPING = b"\nstopping where it is; press Ctrl-C again to kill it\n"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project's root folder and home."""

    root: Path
    home: Path

    @classmethod
    def found(cls, home: Path) -> "Project":
        """Return the project around the working folder, or around this library's checkout; raises LineError."""
        return cls(root=project_root(), home=home.resolve())

    def launch(self, words: Sequence[str], show: Callable[[Mapping[str, Any]], None]) -> int:
        """Run `definitions.py` with the words, hand each event it reports to `show`, and return its exit code.

        The child is a process group of its own, so that Ctrl-C reaches this process alone, which passes it on once. The
        child then stops where it is; running again goes on from there. A second Ctrl-C kills it.
        """
        command = [sys.executable, str(self.root / "definitions.py"), *words]
        self._tell_children_home()
        log = self.home / "launch.log"
        with log.open("a", encoding="utf-8") as errors:
            child = subprocess.Popen(
                command, cwd=self.root, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=0
            )
            with passing_on(child) as received:
                for line in child.stdout or ():
                    show(_event(line))
                code = child.wait()
        if received and code not in (0, 1, 2):
            if code < 0:
                show(
                    {"event": "stopped", "text": "killed at once; the same command records that and goes on from here"}
                )
            return 128 + received[0]
        if code not in EXIT_CODES:
            show({"event": "failed", "text": f"the run stopped with exit code {code}; its log is {log}"})
        return code if code in EXIT_CODES else 1

    def inspecting(self) -> Callable[[], list[Mapping[str, Any]]]:
        """Begin to load the lines in a process of its own; return what waits for its events. Makes nothing in home."""
        command = [sys.executable, str(self.root / "definitions.py"), "inspect"]
        child = subprocess.Popen(
            command,
            cwd=self.root,
            env={**os.environ, "FACTORY_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def events() -> list[Mapping[str, Any]]:
            told, log = child.communicate()
            failed = {"event": "failed", "text": f"definitions.py cannot be loaded: {log.strip()[-2000:]}"}
            found = [_event(line) for line in told.splitlines()]
            return found if child.returncode in (0, 2) else [*found, failed]

        return events

    def ui(self, port: int) -> int:
        """Run the orchestrator's UI on this project and home until it is stopped; Ctrl-C ends it in its own way."""
        self._tell_children_home()
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
        return _until_stopped(command, self.root)

    def registry(self, port: int) -> int:
        """Run the registry's UI on this home until it is stopped, in its smallest form: no job workers."""
        database = f"sqlite:///{self.home / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port)]
        os.environ.update(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true")
        return _until_stopped([*command, "--workers", "1"], self.home)

    def _tell_children_home(self) -> None:
        dagster = self.home / "dagster"
        prepare_orchestrator(dagster)
        os.environ.update(FACTORY_HOME=str(self.home), DAGSTER_HOME=str(dagster))


@contextmanager
def passing_on(child: "subprocess.Popen[str]") -> Iterator[list[int]]:
    """For the block, pass on to the child what asks this process to stop; gives the signals so far.

    The first one asks the child to stop, so that it records that. Another Ctrl-C kills it, unless it comes at once:
    `timeout` sends its signal twice, and a person's finger does too.
    """
    received: list[int] = []
    first_at = 0.0

    def pass_on(number: int, _: object) -> None:
        nonlocal first_at
        received.append(number)
        if len(received) > 1:
            if number == signal.SIGINT and time.monotonic() - first_at > PATIENCE_S:
                child.kill()
            return
        first_at = time.monotonic()
        os.write(2, STOPPING)  # printing is not safe in a signal's handler
        child.send_signal(signal.SIGTERM if number == signal.SIGTERM else signal.SIGINT)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare_orchestrator(folder: Path) -> None:
    """Make the orchestrator's folder with its settings; those that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        fresh = folder / temporary_name(settings.name)
        fresh.write_text(ORCHESTRATOR_SETTINGS, encoding="utf-8")
        fresh.replace(settings)


def _until_stopped(command: Sequence[str], folder: Path) -> int:
    """Run a server in the foreground. Ctrl-C reaches it as well as us: we wait for it, for as long as its end takes."""
    with subprocess.Popen(command, cwd=folder) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue


def _event(line: str) -> Mapping[str, Any]:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        event = None
    return event if isinstance(event, dict) else {"event": "say", "text": line.rstrip(), "level": 10}

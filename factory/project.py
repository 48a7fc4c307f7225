"""The project a command works on: the folder with `definitions.py`, and the home where everything is kept."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.durable import temporary_name
from factory.errors import LineError

# Nothing calls home and nobody is asked for an address, unless the file is changed to say so.
ORCHESTRATOR_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    granularity: run
"""


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

        Ctrl-C reaches the run, which stops where it is; running again goes on from there.
        """
        command = [sys.executable, str(self.root / "definitions.py"), *words]
        self._tell_children_home()
        log = self.home / "launch.log"
        with log.open("a", encoding="utf-8") as errors:
            child = subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, stderr=errors, text=True)
            try:
                for line in child.stdout or ():
                    show(_event(line))
            except KeyboardInterrupt:
                child.send_signal(signal.SIGINT)
            code = child.wait()
        if code not in (0, 1, 2):
            show({"event": "failed", "text": f"the run stopped with exit code {code}; its log is {log}"})
        return code if code in (0, 1, 2) else 1

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


def project_root() -> Path:
    """Return the project's folder around the working folder, or around this library's checkout; raises LineError."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "definitions.py").is_file() and (folder / "lines").is_dir():
            return folder
    raise LineError(f"no project at {here} or above it: a project has definitions.py and lines/; change into one")


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

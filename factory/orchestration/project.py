"""The project a command works on: its definitions loaded, and the servers of people's UIs run on its home."""

import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from factory.errors import FactoryError, LineError
from factory.line.line import Line
from factory.line.python_error import LOADING, python_mistake
from factory.orchestration.broken_line import broken_lines
from factory.orchestration.instance import prepare_orchestrator
from factory.orchestration.server_process import run_until_stopped
from factory.registry.database import prepare_database
from factory.registry.faults import registry_faults
from factory.registry.relocation import relocate
from factory.storage.faults import make_folder
from factory.storage.home import Home
from factory.storage.locks import FileLocks
from factory.storage.project import project_root

DEFINITIONS = "definitions"
"""The module, and the file, that a project's composition root is."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project's root folder and home."""

    root: Path
    home: Home

    @classmethod
    def around(cls, home: Home) -> "Project":
        """Return the project around the working folder, or around this library's checkout; raises LineError."""
        return cls(root=project_root(), home=home)

    def ui(self, port: int) -> int:
        """Run the orchestrator's UI on this project and home until a signal ends it, with all that it started.

        Raises LineError where `definitions.py` cannot be loaded; a line that cannot be is shown as one in the UI.
        """
        self.export_home()
        load_definitions(self.root)  # its mistakes are told in a sentence here, and in tracebacks by what is started
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
        return run_until_stopped(command, self.root)

    def registry(self, port: int) -> int:
        """Run the registry's UI on this home until a signal ends it, in its smallest form: no job workers."""
        database = self.home.tracking_uri
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port)]
        os.environ.update(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true")
        make_folder(self.home.root)
        with registry_faults(database):  # made by the server, a database that is killed half-way stays half made
            prepare_database(self.home.registry_database, FileLocks(self.home.locks))
            relocate(self.home.registry_database, self.home.artifacts)
        return run_until_stopped([*command, "--workers", "1"], self.home.root)

    def export_home(self) -> None:
        """Make the orchestrator's folder, and have definitions and child processes use this home by the environment."""
        prepare_orchestrator(self.home.dagster)
        os.environ.update(self.home.environment())


def load_definitions(root: Path) -> dg.Definitions:
    """Return what a project's `definitions.py` defines; raises LineError naming its line that raised.

    A line that cannot be loaded is among them as a broken one, and the caller tells of it: what loading would log of it
    is held back.
    """
    try:
        with _told_by_caller():
            return _defined(root / f"{DEFINITIONS}.py")
    except FactoryError:
        raise
    except LOADING as error:  # whatever it raised, a person gets the place and the reason
        raise LineError(f"the project cannot be loaded: {python_mistake(error)}") from error


def load_for(line: str, root: Path, tell: Callable[[str], None]) -> dg.Definitions:
    """Return what a project defines, for one of its lines; raises why it cannot be loaded, and tells of others."""
    definitions = load_definitions(root)
    broken = broken_lines(definitions)
    if line in broken:
        raise broken[line]
    for name, error in broken.items():
        tell(f"line {name} cannot be loaded, the others can: {error}")
    return definitions


@contextmanager
def _told_by_caller() -> Iterator[None]:
    log = logging.getLogger("factory.lines")
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def load_lines(root: Path | None = None) -> dict[str, Line]:
    """Return a project's lines as their files say; raises LineError. `root` is the project around the working folder.

    Source data is not read, and nothing is made on the disk. A line that cannot be loaded is left out with a warning.
    """
    from factory.orchestration.launch import line_parts

    definitions = load_definitions(root or project_root())
    for name, error in broken_lines(definitions).items():
        warnings.warn(f"line {name} cannot be loaded: {error}", stacklevel=2)
    return {name: parts.line for name, parts in line_parts(definitions).items()}


def _defined(file: Path) -> dg.Definitions:
    spec = importlib.util.spec_from_file_location(DEFINITIONS, file)
    if spec is None or spec.loader is None:
        raise LineError(f"{file} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[DEFINITIONS] = module
    sys.path.insert(0, str(file.parent))
    spec.loader.exec_module(module)
    defs = getattr(module, "defs", None)
    definitions = defs() if callable(defs) else defs
    if not isinstance(definitions, dg.Definitions):
        raise LineError(f"{file}: `defs` is no dagster.Definitions, nor a function that returns them")
    return definitions

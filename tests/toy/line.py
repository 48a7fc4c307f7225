"""Runs the toy line in a folder of its own, through Dagster, with real resources."""

import dataclasses
import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from factory.compute.engine import Compute
from factory.connectors.outbox.store import OutboxStore
from factory.data.contract.data_docs import DataDocs
from factory.line.file import LineFile
from factory.line.freshness import Freshness
from factory.line.line import Line
from factory.monitoring.alerts import Alerts
from factory.orchestration.definitions import line_definitions
from factory.orchestration.instance import opened_instance
from factory.orchestration.launch import LineLauncher
from factory.orchestration.project_definitions import IN_THIS_PROCESS
from factory.orchestration.resources import Calendar
from factory.pipeline.events import Event, LineOutcome, LineRequest, Show
from factory.pipeline.stages import OPERATING
from factory.registry.registry import Registry
from factory.release import ModelRepository
from factory.release.history import History
from factory.release.store import ModelStore
from factory.reports.folder import Reports
from factory.reports.status import line_status
from factory.storage.home import Home
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from factory.storage.lake_store import LakeStore
from factory.storage.locks import FileLocks

NAME = "press_faults"
Told = TypeVar("Told")
FILE = Path(__file__).parent / NAME / "defs.yaml"


def toy_line() -> Line:
    """Return the toy line as its file says."""
    file = LineFile(FILE)
    return file.line(file.sections())


def registry_arguments(home: Path) -> dict[str, Any]:
    """Return what the registry of a home is made with."""
    return {
        "tracking_uri": f"sqlite:///{home / 'mlflow.db'}",
        "locks": FileLocks(home / "locks"),
        "artifact_root": str(home / "artifacts"),
        "history": History(home / "history"),
        "key_folder": home / "keys",
    }


def registry_at(home: Path) -> Registry:
    """Return the registry of a home."""
    return Registry(**registry_arguments(home))


@functools.cache
def empty_database() -> bytes:
    """Return a registry's database before its first model, made by the registry itself, which takes it seconds."""
    with tempfile.TemporaryDirectory() as folder:
        registry_at(Path(folder)).champion(f"{NAME}.nobody")
        whole = Path(folder) / "whole.db"  # the write-ahead log's pages are in it too
        with closing(sqlite3.connect(Path(folder) / "mlflow.db")) as made, closing(sqlite3.connect(whole)) as copy:
            made.backup(copy)
        return whole.read_bytes()


class ToyFactory:
    """The toy line with a home; single resources can be swapped, `gates` and `recipe` and whole sections `changed`."""

    name, file = NAME, FILE

    def __init__(
        self,
        home: Path,
        *,
        gates: Mapping[str, Any] | None = None,
        drift: Mapping[str, Any] | None = None,
        recipe: Mapping[str, Any] | None = None,
        schedule: str = "",
        freshness: Freshness | None = None,
        changed: Mapping[str, Any] | None = None,
        **swapped: Any,
    ) -> None:
        self.home = home
        self.gates = dict(gates or {})
        self.drift = dict(drift or {})
        self.recipe = dict(recipe or {})
        self.schedule = schedule
        self.freshness = freshness or Freshness()
        self.changed = dict(changed or {})
        self.swapped = swapped
        self.lake = Lake(home / "lake", self.name)
        self.journal = Journal(self.lake)
        self.repository = ModelRepository(home / "models")
        self.store = ModelStore(root=home / "models", key_folder=home / "keys")
        self.registry = registry_at(home)
        if not (home / "mlflow.db").exists():
            home.mkdir(parents=True, exist_ok=True)
            (home / "mlflow.db").write_bytes(empty_database())

    def copied(self, home: Path, **swapped: Any) -> "ToyFactory":
        """Return the line at a copy of this home, a folder still empty: a copy costs less than another first run."""
        shutil.copytree(self.home, home, symlinks=True, dirs_exist_ok=True)
        return ToyFactory(home, **swapped)

    def definitions(self, source: dict[str, Any] | None = None) -> dg.Definitions:
        """Return the line's definitions bound to this home; `source` gives the source other arguments."""
        file = LineFile(self.file)
        said = file.sections()
        if source is not None:
            said = dataclasses.replace(said, source=dataclasses.replace(said.source, arguments=source))
        line = file.line(said)
        swapped = {"gates": self.gates, "drift": self.drift, "recipe": self.recipe}
        sections = {name: dataclasses.replace(getattr(line, name), **changed) for name, changed in swapped.items()}
        sections |= {"schedule": self.schedule, "freshness": self.freshness, **self.changed}
        line = dataclasses.replace(line, **sections)
        return dg.Definitions.merge(
            line_definitions(line, file, said),
            dg.Definitions(resources=self.bound(), executor=IN_THIS_PROCESS),
        )

    def bound(self) -> dict[str, Any]:
        """Return the resources of this home, by name."""
        return {
            "alerts": Alerts(),
            "calendar": Calendar(),
            "lake": LakeStore(url=str(self.home / "lake")),
            "compute": Compute(engine="cpu"),
            "registry": self.registry,
            "store": self.store,
            "prediction_log": self.home / "predictions",
            "outbox": OutboxStore(root=self.home / "outbox", models=self.home / "models"),
            "docs": DataDocs(root=self.home / "docs"),
            "reports": Reports(root=self.home / "reports"),
            "scratch": self.home / "work",
            **self.swapped,
        }

    def run(self, sites: Sequence[str] = (), until: str = "", redo_from: str = "", **source: Any) -> int:
        """Run the whole line and return its exit code."""
        return self.asked(LineRequest(line=self.name, sites=tuple(sites), until=until, redo_from=redo_from), **source)

    def operate(self, sites: Sequence[str] = (), until: str = "", **source: Any) -> int:
        """Bring new rows in, predict, join outcomes and judge drift; return the exit code."""
        return self.asked(LineRequest(line=self.name, sites=tuple(sites), until=until, stages=OPERATING), **source)

    def asked(self, request: LineRequest, **source: Any) -> int:
        """Run what is asked and return the exit code; what the run told is in `events`."""
        self.events: list[Event] = []
        with opened_instance(self.home / "dagster") as instance:
            launcher = LineLauncher(definitions=self.definitions(source or None), instance=instance)
            self.outcome = launcher.run(request, self.take)
        return self.outcome.exit_code

    def take(self, event: Event) -> None:
        """Keep what a run tells."""
        self.events.append(event)

    def events_of(self, kind: type[Told]) -> list[Told]:
        """Return what the last run told of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def status(self) -> dict[str, Any]:
        """Return what each site has and serves."""
        return line_status(Home.at(self.home), self.name)


class ToyLines:
    """Runs the toy line for a rollout; keeps factory.pipeline.events.Lines."""

    def __init__(self, toy: ToyFactory) -> None:
        self.toy = toy

    def run(self, request: LineRequest, show: Show) -> LineOutcome:
        """Run what is asked."""
        with opened_instance(self.toy.home / "dagster") as instance:
            return LineLauncher(definitions=self.toy.definitions(), instance=instance).run(request, show)

    def sites(self, line: str, until: str) -> Sequence[str]:
        """Return the sites that the source has."""
        with opened_instance(self.toy.home / "dagster") as instance:
            return LineLauncher(definitions=self.toy.definitions(), instance=instance).sites(line, until)

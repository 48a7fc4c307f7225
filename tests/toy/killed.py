"""Runs the toy line in a process that may kill itself: `python -m tests.toy.killed HOME WHAT [POINT] [SOURCE]`.

WHAT is `line`, `data` (its references and data stages alone) or `operate`. POINT names where the process dies, with
SIGKILL: `collected` before a frame is collected, `registered` after a site's candidate was registered, `judged` before
its verdict is kept, `promoted` after it was promoted and before it is released, `taken_in` between what the gateway
recorded and how far that was read; any other POINT is a stage whose work is done and not yet in the
journal. SOURCE is the source's arguments as JSON. Each event of the run is a line of its own on standard output.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.compute.engine import Compute
from factory.monitoring.prediction_log.reading import CURSORS
from factory.pipeline.events import Event
from factory.registry.registry import Registry
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from factory.storage.lake_store import LakeStore
from tests.toy.asset_runs import run_assets
from tests.toy.line import NAME, ToyFactory, registry_arguments


def die() -> None:
    """End this process as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyCompute(Compute):
    """Dies when a frame is to be collected."""

    def collect(self, plan: Any) -> Any:
        die()


@dataclass(frozen=True, kw_only=True)
class DeadlyRegistry(Registry):
    """Dies at one point of a site's way through the registry."""

    point: str

    def register(self, candidate: Any) -> Any:
        done = super().register(candidate)
        if self.point == "registered" and not candidate.name.endswith("._base"):
            die()
        return done

    def record_verdict(self, model: str, version: int, verdict: Any) -> None:
        if self.point == "judged":
            die()
        super().record_verdict(model, version, verdict)

    def promote(self, model: str, version: int, verdict: Any, **how: Any) -> None:
        super().promote(model, version, verdict, **how)
        if self.point == "promoted":
            die()


class DeadlyJournal(Journal):
    """Dies when one stage's work is to be noted."""

    def __init__(self, lake: Lake, stage: str) -> None:
        super().__init__(lake)
        self.stage = stage

    def record(self, stage: str, *args: Any, **how: Any) -> None:
        if stage == self.stage:
            die()
        super().record(stage, *args, **how)


@dataclass(frozen=True, kw_only=True)
class DeadlyLake(LakeStore):
    """Dies between a stage's data and its entry in the journal."""

    stage: str

    def journal(self, line: str) -> Journal:
        return DeadlyJournal(self.of(line), self.stage)


class DeadlyTables(Lake):
    """Dies when it is to be kept how far the gateway's records were read."""

    def replace(self, table: str, *args: Any) -> int:
        if table == CURSORS:
            die()
        return super().replace(table, *args)


class DeadlyLakeStore(LakeStore):
    """Gives tables that die."""

    def of(self, line: str) -> Lake:
        return DeadlyTables(self.url, line)


def swapped(home: Path, point: str) -> dict[str, Any]:
    """Return the resources that die at the point."""
    if point == "collected":
        return {"compute": DeadlyCompute(engine="cpu")}
    if point in ("registered", "judged", "promoted"):
        return {"registry": DeadlyRegistry(point=point, **registry_arguments(home))}
    if point == "taken_in":
        return {"lake": DeadlyLakeStore(url=str(home / "lake"))}
    return {"lake": DeadlyLake(url=str(home / "lake"), stage=point)} if point else {}


class LoudToy(ToyFactory):
    """Prints what a run tells, so that it outlives the process."""

    def take(self, event: Event) -> None:
        sys.stdout.write(f"{event}\n")
        sys.stdout.flush()


def data(toy: ToyFactory, source: dict[str, Any]) -> int:
    """Run the toy line's data alone; 0 if every plant went through, 1 if one failed."""
    runs = [run_assets(toy, f"{NAME}_references_job", (), source=source)]
    runs += [run_assets(toy, f"{NAME}_data_job", source=source)]
    return 0 if all(run.success for run in runs) else 1


def main(home: str, what: str, point: str = "", source: str = "{}") -> int:
    """Run what is asked for, and die on the way if so asked."""
    toy = LoudToy(Path(home), **swapped(Path(home), point))
    arguments = json.loads(source)
    if what == "operate":
        return toy.operate(**arguments)
    return data(toy, arguments) if what == "data" else toy.run(**arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

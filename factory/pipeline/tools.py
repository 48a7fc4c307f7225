"""What the stages of a line work with, gathered once for each run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from logging import Logger

import polars as pl

from factory.features.sampling import in_order
from factory.line.line import Line
from factory.model.provenance import provenance
from factory.orchestration.resources.compute import Compute
from factory.orchestration.resources.lake import LakeStore
from factory.orchestration.resources.workbench import Workbench
from factory.registry.registry import Registry
from factory.storage.journal import Journal
from factory.storage.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Tools:
    """One line's lake and journal, the engine, the registry, a place for checkpoints, and a voice."""

    line: Line
    code: str
    """Stands for the line's files and the library's version: when it changes, everything is made anew."""
    lake: Lake
    journal: Journal
    compute: Compute
    registry: Registry
    workbench: Workbench
    say: Callable[[str], None]
    warn: Callable[[str], None]

    @classmethod
    def of(
        cls,
        line: Line,
        code: str,
        store: LakeStore,
        compute: Compute,
        registry: Registry,
        workbench: Workbench,
        log: Logger,
    ) -> "Tools":
        """Gather what a run's resources have for one line."""
        return cls(
            line=line,
            code=code,
            lake=store.of(line.name),
            journal=store.journal(line.name),
            compute=compute,
            registry=registry,
            workbench=workbench,
            say=log.info,
            warn=log.warning,
        )

    def feature_rows(self, sites: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the feature rows of some sites, or of all, in order."""
        scan = self.compute.reading(self.lake.scan("features", sites))
        return self.compute.collect(in_order(scan, self.line.features.key))

    def provenance(self, until: datetime) -> dict[str, str]:
        """Return what a model made now came from."""
        raw = [self.line.lake_table("raw", table) for table in self.line.tables.values()]
        return {**provenance(self.lake, until, [*raw, "clean", "features"]), "code": self.code}

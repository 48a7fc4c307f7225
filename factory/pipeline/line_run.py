"""One run of a line: what its stages work with, gathered once, and the look-ups that several of them need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from factory.connectors.source import Source
from factory.data.contract.contract import Contract
from factory.data.table_contents import TableContents
from factory.errors import RegistryError, TableMissing
from factory.features.samples import in_order
from factory.line.line import LEARNT_FROM, Line, Table
from factory.line.split import DECIDED_AT, LABEL, Division, Parts
from factory.model.candidate import Candidate
from factory.model.provenance import CONTENT_OF, provenance
from factory.monitoring.acting import is_asked, without_acted_on
from factory.monitoring.predictions import PREDICTIONS
from factory.names import model_name
from factory.pipeline.fingerprints import LineCode
from factory.pipeline.ports import Alerts, Compute, ContractDocs, Registered, Registry, ReleaseStore
from factory.storage.journal import Entry, Journal, fingerprint
from factory.storage.lake import SITE, Lake

if TYPE_CHECKING:
    from factory.connectors.outbox.store import OutboxStore
    from factory.pipeline.serving import ServedSites
    from factory.reports.folder import LineReports


@dataclass(frozen=True, kw_only=True)
class LineRun:
    """One line's data, registry, releases and engine, as of one moment, for one run."""

    line: Line
    code: LineCode
    source: Source
    contracts: Mapping[str, Contract]
    lake: Lake
    journal: Journal
    compute: Compute
    registry: Registry
    store: ReleaseStore
    docs: ContractDocs
    alerts: Alerts
    reports: "LineReports"
    prediction_log: Path
    """The folder that the gateway writes its predictions to."""
    outbox: "OutboxStore"
    """The messages to business systems."""
    scratch: Path
    """A folder on a local disk for checkpoints; losing it costs time and nothing else."""
    project: Path
    """The project's folder, whose commit is kept with every model."""
    run_id: str
    until: datetime
    """The moment before which this run looks at the world; UTC, naive."""
    redo_from: str
    """The stage to begin with though nothing changed; empty: only what changed is done."""
    say: Callable[[str], None]
    warn: Callable[[str], None]

    @property
    def as_of(self) -> str:
        """The day that this run looks as of, as it is kept with what it makes."""
        return f"{self.until:%Y-%m-%d}"

    def clean_tables(self) -> dict[str, pl.LazyFrame]:
        """Return the clean rows that happened, by table; those of a shared table without a site."""
        return {name: self._rows_of("clean", table) for name, table in self.line.tables.items()}

    def announced_tables(self) -> dict[str, pl.LazyFrame]:
        """Return the clean rows that are announced and have not happened, by table."""
        return {table.name: self._rows_of("announced", table) for table in self.line.announced_tables}

    def _rows_of(self, stage: str, table: Table) -> pl.LazyFrame:
        rows = self.compute.reading(self.lake.scan(self.line.lake_table(stage, table)))
        return rows.drop([] if table.site_column else [SITE])

    def feature_rows(self, sites: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the feature rows of some sites, or of all, in order."""
        scan = self.compute.reading(self.lake.scan("features", sites))
        return self.compute.collect(in_order(scan, self.line.features.key))

    def parts(self, sites: Sequence[str]) -> Parts:
        """Return the sites' rows, divided as of this run's moment."""
        return self.division().divided(self.learning_rows(sites), self.line.told_apart_by)

    def learning_rows(self, sites: Sequence[str] | None = None) -> pl.DataFrame:
        """Return feature rows that models learn from and are judged on, in order.

        What a decision itself may have changed has no label there, where the line's file says so.
        """
        rows = self.feature_rows(sites)
        if not is_asked(self.line) or not self.lake.has(PREDICTIONS):
            return rows
        return without_acted_on(self.line, rows, self.lake.scan(PREDICTIONS, sites).collect())

    def division(self) -> Division:
        """Return how rows are divided as of this run's moment, by the rows of all sites."""
        rows = pl.DataFrame()
        if self.line.split.asks_for_rows:
            rows = self.compute.collect(self.lake.scan("features").select(DECIDED_AT, LABEL))
        return self.line.division(rows, self.until)

    def provenance(self) -> dict[str, str]:
        """Return what a model made now came from."""
        raw = [self.line.lake_table("raw", table) for table in self.line.tables.values()]
        origin = provenance(self.lake, self.until, [*raw, "clean", "features"], self.project)
        rows = fingerprint({site: entry.content for site, entry in self.journal.latest("features").items()})
        return {**origin, f"{CONTENT_OF}features": rows, LEARNT_FROM: self.division().record, "code": self.code.whole}

    def entry(self, stage: str, site: str) -> Entry:
        """Return what a stage last did for a site; raises TableMissing where it has done nothing."""
        entries = self.journal.latest(stage, [site])
        if site not in entries:
            raise TableMissing(
                f"line {self.line.name}, site {site}: stage {stage} has not been done; run it first: "
                f"factory run {self.line.name} --sites {site}"
            )
        return entries[site]

    def registered(self, stage: str, site: str) -> tuple[str, int]:
        """Return the registered model and version that a stage made for a site; raises TableMissing."""
        return registered_version(self.line.name, self.entry(stage, site))

    def register(self, stage: str, candidate: Candidate) -> Registered:
        """Keep a stage's candidate in the registry, under a number that neither registry nor journal knows."""
        if made := self.journal.latest(stage, [candidate.site]).get(candidate.site):
            self.registry.remember(*registered_version(self.line.name, made))
        return self.registry.register(candidate)

    def lost(self, stage: str, sites: Sequence[str]) -> dict[str, str]:
        """Return what happened to the sites' registered models that are not there any more as the stage left them.

        While the registry cannot be asked, none is lost: whoever needs it says so.
        """
        lost = {}
        for site, entry in self.journal.latest(stage, sites).items():
            try:
                what = self.registry.lost(*registered_version(self.line.name, entry), entry.figures["digest"])
            except RegistryError:
                return {}
            if what:
                lost[site] = what
        return lost

    @cached_property
    def contents(self) -> TableContents:
        """What the lake's tables hold, told apart from the versions in which they hold it."""
        return TableContents(self.lake, self.journal, self.run_id)

    @cached_property
    def served(self) -> "ServedSites":
        """What the sites serve, and what served models are compared with."""
        from factory.pipeline.serving import ServedSites

        return ServedSites(self)


def registered_version(line: str, entry: Entry) -> tuple[str, int]:
    """Return the registered model and version that a stage's entry speaks of."""
    return model_name(line, entry.site), int(entry.figures["version"])

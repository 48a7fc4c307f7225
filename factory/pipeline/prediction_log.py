"""The stage `prediction_log`: what the gateway was asked and answered comes into the lake, each row once.

Rows are told apart by the prediction's name, so that a run that dies anywhere is simply run again: it skips the rows
that are in the lake. How far the records were read is kept after the rows, and saves reading them all each time.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.errors import ModelRefused
from factory.model.signature import Signature
from factory.monitoring.prediction_log.reading import BySite, LogReader, cursors, keep_cursors
from factory.monitoring.prediction_log.rows import ANSWERED_AT, PREDICTION_LOG, not_served, served_rows
from factory.names import model_name
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work
from factory.storage.lake import SITE


@dataclass(frozen=True, kw_only=True)
class Added:
    """What came into the lake for one site."""

    rows: int = 0
    failures: int = 0
    newest: datetime | None = None

    def with_more(self, other: "Added") -> "Added":
        """Return both together."""
        newest = max((at for at in (self.newest, other.newest) if at), default=None)
        return Added(rows=self.rows + other.rows, failures=self.failures + other.failures, newest=newest)

    @property
    def figures(self) -> Figures:
        """The figures for the journal and the UI."""
        newest = self.newest.isoformat(timespec="milliseconds") if self.newest else None
        return {ROW_COUNT: self.rows, "failed_rows": self.failures, "newest": newest, CHANGED: self.rows > 0}


def prediction_log(run: LineRun) -> Work:
    """Return what takes the gateway's prediction log into the lake."""
    return Work(do=TakingIn(run).take_in)


class TakingIn:
    """One run's reading of the prediction log."""

    def __init__(self, run: LineRun) -> None:
        self.run, self.line, self.lake = run, run.line, run.lake
        self._signatures: dict[tuple[str, str], Signature | None] = {}

    def take_in(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Bring the sites' recorded rows that are not in the lake yet into it."""
        try:
            return self._taken_in(sites)
        except (OSError, ValueError) as error:  # a folder, or a batch, that cannot be read
            return Isolated(failed=dict.fromkeys(sites, error))

    def _taken_in(self, sites: Sequence[str]) -> Isolated[Figures]:
        read = cursors(self.lake, self.lake.site_versions(PREDICTION_LOG, sites))
        reader = LogReader(folder=self.run.prediction_log, line=self.line.name, read=read)
        added, failed = dict.fromkeys(sites, Added()), dict[str, Exception]()
        for portion in reader.portions():
            going = [site for site in portion if site not in failed]
            taken = together(going, functools.partial(self._add, portion))
            failed |= taken.failed
            added |= {site: added[site].with_more(more) for site, more in taken.done.items()}
        failed |= self._keep_cursors(reader, [site for site in sites if site not in failed])
        return Isolated(done={site: added[site].figures for site in sites if site not in failed}, failed=failed)

    def _add(self, portion: BySite, sites: Sequence[str]) -> Mapping[str, Added]:
        """Add the rows of the sites that are not in the lake yet, in one commit."""
        seen = self.lake.site_versions(PREDICTION_LOG, sites)
        batches = [batch for site in sites for batch in portion[site]]
        releases = {(batch.site, batch.digest) for batch in batches}
        known = {release: signature for release in releases if (signature := self._signature(*release))}
        rows = not_served(served_rows(batches, self.line.task.answers, known), self.lake)
        of_site = {site: rows.filter(pl.col(SITE) == site) for site in sites}
        new = {site: some for site, some in of_site.items() if len(some)}
        if new:
            self.lake.append(PREDICTION_LOG, rows, {site: seen[site] for site in new}, widen=True)
        return {site: _added(some) for site, some in of_site.items()}

    def _keep_cursors(self, reader: LogReader, sites: Sequence[str]) -> Mapping[str, Exception]:
        """Keep how far the sites are read; return why that failed, by site. Warn of damaged segments."""

        def keep(some: Sequence[str]) -> Mapping[str, None]:
            keep_cursors(self.lake, dict.fromkeys(some, reader.reached), self.lake.site_versions(PREDICTION_LOG, some))
            return dict.fromkeys(some)

        for segment, lost in reader.damaged.items():
            self.run.warn(
                f"{PREDICTION_LOG}: {segment} is damaged, its last {lost} bytes cannot be read; what is before is in"
            )
        return together([site for site in sites if reader.read[site] != reader.reached], keep).failed

    def _signature(self, site: str, digest: str) -> Signature | None:
        """Return what a release takes and gives; None, and a warning once, where no release has the digest."""
        if (site, digest) not in self._signatures:
            self._signatures[site, digest] = self._looked_up(site, digest)
        return self._signatures[site, digest]

    def _looked_up(self, site: str, digest: str) -> Signature | None:
        try:
            manifest = self.run.store.repository().manifest_of(model_name(self.line.name, site), digest)
        except ModelRefused as error:
            self.run.warn(f"{PREDICTION_LOG}: {site}: its releases cannot be read ({error})")
            manifest = None
        if manifest is None:
            self.run.warn(
                f"{PREDICTION_LOG}: {site}: no release has digest {digest[:12]}; its answers are kept without names"
            )
        return manifest.model_signature if manifest else None


def _added(rows: pl.DataFrame) -> Added:
    newest = rows[ANSWERED_AT][-1] if len(rows) else None  # they are oldest first
    return Added(rows=len(rows), failures=rows["error"].count(), newest=newest)

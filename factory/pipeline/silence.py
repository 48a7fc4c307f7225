"""Silence of a table's sites, looked for at each load: missing from the export, an empty export, longer than ever."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from factory.connectors.source import named_sites
from factory.data.ingest import Ingested
from factory.line.line import Table
from factory.line.site_names import UNKNOWN
from factory.monitoring.findings import FINDINGS, Finding
from factory.monitoring.silence import ENOUGH_LOADS, ENOUGH_ROWS, Arrivals, silence_of
from factory.names import LINE_SITE
from factory.pipeline.line_run import LineRun
from factory.storage.columns import CURSOR, SITE

SILENT, ABSENT = "silent", "missing from export"


class SilenceWatch:
    """What one load of a table says of silence; `before` are the arrivals that the journal has of each site."""

    def __init__(self, run: LineRun, table: Table, loaded: Mapping[str, Ingested]) -> None:
        self.run, self.table, self.loaded = run, table, loaded
        self.name = f"raw/{table.name}"
        entries = run.journal.latest(self.name)
        self.before = {site: Arrivals.from_figures(entry.figures) for site, entry in entries.items()}
        stood = run.journal.latest(FINDINGS)
        self._stood = {site: set(entry.figures.get(silence_of(self.name), {})) for site, entry in stood.items()}

    @cached_property
    def arrivals(self) -> dict[str, Arrivals]:
        """What is known now of each site of the load that has rows."""
        sites = [site for site, rows in self.loaded.items() if rows.rows and site != UNKNOWN]
        anew = [site for site in sites if self.loaded[site].new_rows or self.before.get(site) is None]
        moments = self._moments(anew)
        known = {site: self._arrivals(site, *moments.get(site, (None, None))) for site in anew}
        return {site: known.get(site) or self.before[site] for site in sites}  # type: ignore[misc]  # one of both is there

    def findings(self) -> dict[str, list[Finding]]:
        """Return what stands of silence, by site: of those of the load, and of those that the source has no more.

        Where no site could be loaded nothing is known of it.
        """
        if not self.loaded:
            return {}
        until, absent = self.run.until, self._absent()
        found: dict[str, list[Finding]] = {site: [] for site in (*self.loaded, *absent)}
        for site, text in absent.items():
            found[site].append(Finding(kind=ABSENT, key=ABSENT, text=text))
        for site, arrivals in self.arrivals.items():
            if site not in absent and arrivals.is_silent(until):
                found[site].append(Finding(kind=SILENT, key=SILENT, text=arrivals.sentence(self.table.name)))
        return found

    def _absent(self) -> dict[str, str]:
        """Return a sentence on each site that had rows, and of which the source has none."""
        if self.table.site_column is None:
            gone = [site for site, rows in self.loaded.items() if rows.rows and rows.delivered == 0]
            return dict.fromkeys(gone, self._empty)
        there = named_sites(self.run.source, self.table, self.run.until)
        known = [site for site in self.before if site not in (UNKNOWN, LINE_SITE)]
        gone = [site for site in known if site not in there and self._is_to_tell(site)]
        removed = self.run.store.removed_sites(self.run.line.name) if gone else {}
        text = (
            f"table {self.table.name}: the source has no row of it any more, and has of others; look at the export. A "
            f"site that is closed: factory site remove {self.run.line.name} SITE"
        )
        return dict.fromkeys([site for site in gone if site not in removed], text if there else self._empty)

    @property
    def _empty(self) -> str:
        return (
            f"table {self.table.name}: the source has no row at all before {self.run.until:%Y-%m-%d}; look at the "
            "export. What the lake has stays"
        )

    def _is_to_tell(self, site: str) -> bool:
        before = self.before[site]
        if before is None or (before.newest < self.run.until and not before.was_absent):
            return True
        return before.is_silent(self.run.until)

    def _arrivals(self, site: str, newest: datetime | None, gap: timedelta | None) -> Arrivals:
        """Return what is known of a site whose rows were looked at; `newest` is None where they have no moments."""
        before, until, rows = self.before.get(site), self.run.until, self.loaded[site]
        stood = self._stood.get(site, set())
        loads = (before.loads if before else 0) + 1
        is_later = rows.new_rows > 0 and not (before and newest and newest <= before.newest)  # than a correction is
        usual = [timedelta(), *([before.usual] if before else []), *([gap] if gap else [])]
        if newest and is_later:
            usual.append(until - newest)
        if before and is_later and (newest is None or stood & {SILENT, ABSENT}):
            usual.append(until - before.newest)
        return Arrivals(
            newest=newest or until,
            usual=max(usual),
            is_known=loads >= ENOUGH_LOADS if newest is None else rows.rows >= ENOUGH_ROWS,
            loads=loads,
            was_absent=ABSENT in stood or (before is not None and before.was_absent),
        )

    def _moments(self, sites: Sequence[str]) -> dict[str, tuple[datetime, timedelta | None]]:
        """Return the moment of each site's newest row and the longest gap up to it, since what is known of before."""
        if not sites or not self.run.lake.has(self.name):
            return {}
        rows = self.run.lake.scan(self.name, sites)
        kind = rows.collect_schema().get(CURSOR)
        if not isinstance(kind, pl.Datetime | pl.Date):
            return {}
        moment = pl.col(CURSOR).dt.replace_time_zone(None) if isinstance(kind, pl.Datetime) else pl.col(CURSOR)
        dated = rows.select(SITE, moment.cast(pl.Datetime("us")).alias("moment"))
        known = [before.newest for site in sites if (before := self.before.get(site))]
        if len(known) == len(sites):
            dated = dated.filter(pl.col("moment") >= min(known))
        gaps = (
            dated.filter(pl.col("moment") < self.run.until)
            .unique()
            .sort(SITE, "moment")
            .with_columns(pl.col("moment").diff().over(SITE).alias("gap"))
            .group_by(SITE)
            .agg(pl.col("moment").max(), pl.col("gap").max())
        )
        return {site: (newest, gap) for site, newest, gap in gaps.collect().iter_rows()}

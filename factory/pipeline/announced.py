"""The stage `announced`: rows that are known and have not happened, apart from those that did.

They are the source's rows from the run's as-of moment on, as far as they were announced by then. They stand as the
source has them now: one that it withdraws is gone with the next run.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.data.cleaning import RowCounts
from factory.data.cleaning import clean as cleaned_rows
from factory.data.content import content_digests
from factory.data.ingest import announced_rows
from factory.line.line import Table
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, CONTENT, ROW_COUNT, Figures, Work

_NONE = RowCounts(raw=0, clean=0, quarantine=0, superseded=0)


def announced(run: LineRun, table: Table) -> Work:
    """Return what brings a table's announced rows in; rules on columns that are not known yet are not judged."""
    if table.announced is None:
        raise ValueError(f"line {run.line.name}: table {table.name} has no announced rows")
    announcement, contract = table.announced, run.contracts[table.name].on(table.announced.columns)
    names = [run.line.lake_table(stage, table) for stage in ("announced", "announced_quarantine")]

    def written(rows: Mapping[str, pl.DataFrame]) -> Mapping[str, Figures]:
        seen = [run.lake.site_versions(name, rows) for name in names]
        cleaned = cleaned_rows(pl.concat(rows.values()).lazy(), table, contract, run.compute)
        contents, before = content_digests(cleaned.accepted, list(rows)), run.journal.latest(names[0], list(rows))
        lost = run.contents.changed_by_others(names, rows)
        for site, what in lost.items():
            run.warn(f"{names[0]}: {site} is done again: {what}")
        changed = {
            site for site in rows if site in lost or site not in before or before[site].content != contents[site]
        }
        if changed:
            for name, frame, versions in zip(names, (cleaned.accepted, cleaned.quarantine), seen, strict=True):
                run.lake.replace(name, frame, versions)
            run.contents.digests(names, list(rows))
        counts = {site: cleaned.counts.get(site, _NONE) for site in rows}
        return {
            site: {
                ROW_COUNT: counts[site].clean,
                "quarantine": counts[site].quarantine,
                CONTENT: contents[site],
                CHANGED: site in changed,
            }
            for site in rows
        }

    def do(sites: Sequence[str]) -> Isolated[Figures]:
        read = announced_rows(run.source, table, announcement, sites, run.until)
        kept = together(list(read.done), lambda group: written({site: read.done[site] for site in group}))
        return Isolated(done=kept.done, failed={**read.failed, **kept.failed})

    return Work(do=do)

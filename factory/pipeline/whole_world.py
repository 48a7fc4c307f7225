"""The rows of all sites, where the features of one depend on those of others: which there are, which lag behind."""

import polars as pl

from factory.connectors.source import Dated, named_sites
from factory.data.raw_rows import standing_raw_rows
from factory.errors import NameRefused
from factory.line.line import Table
from factory.names import checked_name
from factory.pipeline.line_run import LineRun
from factory.storage.lake import SITE


def all_sites(run: LineRun) -> list[str]:
    """Return the sites that the source has rows of before the run's moment; a name that cannot be used is none."""
    return [name for name in named_sites(run.source, run.line.decisions, run.until) if _is_fit(name)]


def sites_behind(run: LineRun) -> list[str]:
    """Return the sites of which the source has rows, before the run's moment, that the lake lacks.

    A source that cannot tell how new its rows are is asked for its sites alone.
    """
    table = run.line.decisions
    cleaned = run.journal.latest(run.line.lake_table("clean", table))
    newest = run.source.newest(table, run.until) if isinstance(run.source, Dated) else None
    there = _newest(run, table) if newest else {}
    lagging = {site for site, value in (newest or {}).items() if site not in there or there[site] < value}
    return [site for site in all_sites(run) if site not in cleaned or site in lagging]


def _newest(run: LineRun, table: Table) -> dict[str, object]:
    """Return each site's largest cursor in the lake, or how many rows it has where the table has no cursor."""
    if not run.lake.has(run.line.lake_table("raw", table)):
        return {}
    newest = pl.col(table.cursor).max() if table.cursor else pl.len()
    by_site = standing_raw_rows(run.lake, table).group_by(SITE).agg(newest.alias("newest"))
    return dict(by_site.select(SITE, "newest").collect().iter_rows())


def _is_fit(name: str) -> bool:
    try:
        checked_name(name)
    except NameRefused:
        return False
    return True

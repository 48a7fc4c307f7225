"""Ingestion: source rows in, the lake's raw table out, exactly as they came and each once.

Loading goes on from the largest cursor value the lake has for a site. Rows of that very value are read again, and
those the lake already has are left out by content, so that a run repeated adds nothing and a row corrected at the
source comes in as a new version of its key. All batches of a site are read before its first row is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.connectors.source import Source
from factory.errors import SchemaMismatch, SourceError
from factory.line.line import Table
from factory.names import LINE_SITE, checked_name
from factory.storage.columns import LOAD, ROW, schema_mismatches
from factory.storage.lake import SITE, Lake


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """How many rows a site has in the raw table, and how many of them this load brought."""

    rows: int
    new_rows: int


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the lake already has of one site."""

    cursor: Any = None
    load: int = 0
    rows: int = 0
    version: int = 0


def ingest(
    lake: Lake, source: Source, table: Table, sites: Sequence[str], until: datetime, *, from_start: bool = False
) -> Isolated[Ingested]:
    """Bring the sites' new rows before `until` into `raw/<table>` in one commit.

    `from_start` reads each source from its first row rather than from the cursor, for rows that came behind it.

    A site whose source fails is left as it was. Shared tables have the one site LINE_SITE. Raises nothing for a site's
    fault: it is in the answer.
    """
    name = f"raw/{table.name}"
    known = _known(lake, table, name, sites)
    if from_start:
        known = {site: replace(told, cursor=None) for site, told in known.items()}
    read = one_by_one(sites, lambda site: _new_rows(lake, source, table, name, site, known[site], until))

    def write(some: Sequence[str]) -> Mapping[str, Ingested]:
        rows = [read.done[site] for site in some if len(read.done[site])]
        if rows:
            touched = {site: known[site].version for site in some if len(read.done[site])}
            lake.append(name, pl.concat(rows), touched)
        return {
            site: Ingested(rows=known[site].rows + len(read.done[site]), new_rows=len(read.done[site])) for site in some
        }

    written = together(list(read.done), write)
    return Isolated(done=written.done, failed={**read.failed, **written.failed})


def _known(lake: Lake, table: Table, name: str, sites: Sequence[str]) -> dict[str, _Known]:
    versions = lake.site_versions(name, sites)
    found: dict[str, _Known] = {}
    if lake.has(name):
        cursor = pl.col(table.cursor).max() if table.cursor else pl.lit(None)
        per_site = lake.scan(name, sites).group_by(SITE).agg(cursor=cursor, load=pl.col(LOAD).max(), rows=pl.len())
        for row in per_site.collect().iter_rows(named=True):
            site = row.pop(SITE)
            found[site] = _Known(version=versions[site], **row)
    return {site: found.get(site, _Known(version=versions[site])) for site in sites}


def _new_rows(
    lake: Lake, source: Source, table: Table, name: str, site: str, known: _Known, until: datetime
) -> pl.DataFrame:
    """Return a site's rows that the lake does not have, with the columns that tell loads apart."""
    if site != LINE_SITE:
        checked_name(site)
    wanted = None if site == LINE_SITE else site
    batches = []
    for batch in source.read(table, site=wanted, after=known.cursor, until=until):
        _require_schema(batch, table, site)
        batches.append(batch.select(list(table.columns)))
    if known.rows == 0 and sum(map(len, batches)) == 0:
        raise SourceError(
            f"site {site}, table {table.name}: the source has no rows before {until:%Y-%m-%d}; "
            "check the site's name and the as-of date"
        )
    if not batches:
        return pl.DataFrame()
    rows = pl.concat(batches)
    if known.rows:
        old = lake.scan(name, [site])
        if known.cursor is not None:
            old = old.filter(pl.col(table.cursor) >= _just_before(known.cursor))
        rows = _unknown(rows, old.sort(LOAD, ROW).collect(), table)
    return rows.with_columns(
        pl.lit(site).alias(SITE),
        pl.lit(known.load + 1, dtype=pl.Int64).alias(LOAD),
        pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW),
    )


def _unknown(rows: pl.DataFrame, old: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return the rows the lake does not have, and those that went back to what they had been before a correction.

    Such a row is in the lake, but is no longer the newest of its key there.
    """
    whole, key, place = list(table.columns), list(table.key), "_place"
    numbered = rows.with_row_index(place)
    newest = old.unique(key, keep="last", maintain_order=True)
    never = numbered.join(old, on=whole, how="anti", nulls_equal=True)
    last = numbered.unique(key, keep="last", maintain_order=True)
    changed = last.join(newest, on=whole, how="anti", nulls_equal=True).join(newest, on=key, how="semi")
    return pl.concat([never, changed]).unique(place).sort(place).drop(place)


def _just_before(cursor: Any) -> Any:
    """Return a little less than a moment.

    The lake's file statistics are cut to milliseconds: a file whose greatest moment lies between two of them would be
    skipped as too old.
    """
    return cursor - timedelta(milliseconds=1) if isinstance(cursor, datetime) else cursor


def _require_schema(batch: pl.DataFrame, table: Table, site: str) -> None:
    wrong = schema_mismatches(batch.schema, table.columns)
    if wrong:
        raise SchemaMismatch(
            f"site {site}, table {table.name}: {'; '.join(wrong)}; nothing was written; "
            "mend the source, or the table's columns in the line's file"
        )

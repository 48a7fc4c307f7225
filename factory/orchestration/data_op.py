"""The data of a line: source → raw → clean and quarantine → features.

Two ops: `references` loads and cleans the tables that all sites share, `data` walks the sites. Cleaning runs over all
sites of a run in one plan, and so do the features: what a site's neighbours did is part of what it can know.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

import dagster as dg
import polars as pl

from factory.compute.isolation import Isolated, together
from factory.connectors.source import Source
from factory.data.cleaning import RowCounts, clean
from factory.data.contract.contract import Contract
from factory.data.contract.result import ContractResult
from factory.data.ingest import ingest
from factory.line.line import Line, Table
from factory.names import LINE_SITE
from factory.orchestration.resources.compute import Compute
from factory.orchestration.resources.data_docs import DataDocs
from factory.orchestration.resources.lake import LakeStore
from factory.orchestration.specs import reference_specs, site_specs
from factory.orchestration.stage_config import StageConfig
from factory.orchestration.walk import ROW_COUNT, Figures, Walk
from factory.storage.journal import Journal, fingerprint
from factory.storage.lake import SITE, Lake


class DataStages:
    """The stages of one run's data, bound to what they work with."""

    def __init__(
        self, line: Line, lake: Lake, journal: Journal, compute: Compute, contracts: Mapping[str, Contract], code: str
    ) -> None:
        self.line = line
        self.lake = lake
        self.journal = journal
        self.compute = compute
        self.contracts = contracts
        self.code = code

    def load(
        self, source: Source, table: Table, until: datetime, sites: Sequence[str], *, from_start: bool = False
    ) -> Isolated[Figures]:
        """Bring new rows into the lake; `from_start` reads the whole source again, for rows that came late."""
        found = ingest(self.lake, source, table, sites, until, from_start=from_start)
        done = {
            site: {ROW_COUNT: rows.rows, "new_rows": rows.new_rows, "changed": rows.new_rows > 0}
            for site, rows in found.done.items()
        }
        return Isolated(done=done, failed=found.failed)

    def clean_marks(self, table: Table, sites: Sequence[str]) -> dict[str, str]:
        """Return what each site's clean rows depend on: its raw rows and the code."""
        versions = self.lake.site_versions(f"raw/{table.name}", sites)
        return {site: fingerprint(table.name, version, self.code) for site, version in versions.items()}

    def clean(self, table: Table, docs: DataDocs, sites: Sequence[str]) -> Isolated[Figures]:
        """Judge, dedupe and repair the sites' raw rows; write clean and quarantine, and the Data Docs."""
        return together(sites, lambda some: self._clean(table, some, docs))

    def _clean(self, table: Table, sites: Sequence[str], docs: DataDocs) -> Mapping[str, Figures]:
        names = [self.line.lake_table(stage, table) for stage in ("clean", "quarantine")]
        seen = [self.lake.site_versions(name, sites) for name in names]
        raw = self.compute.reading(self.lake.scan(f"raw/{table.name}", sites))
        cleaned = clean(raw, table, self.contracts[table.name], self.compute)
        for name, rows, versions in zip(names, (cleaned.accepted, cleaned.quarantine), seen, strict=True):
            self.lake.replace(name, rows, versions)
        docs.publish(self.line.name, table.name, cleaned.contract)
        return {site: _clean_figures(names, cleaned.counts[site], cleaned.contract[site]) for site in sites}

    def feature_marks(self, sites: Sequence[str]) -> dict[str, str]:
        """Return what the sites' features depend on: every site's clean rows, for what neighbours did is known too."""
        names = [self.line.lake_table("clean", table) for table in self.line.tables.values()]
        versions = {name: self.lake.version(name) for name in names}
        return {site: fingerprint(site, versions, self.code) for site in sites}

    def features(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Build the sites' features from all that is clean."""
        return together(sites, self._features)

    def _features(self, sites: Sequence[str]) -> Mapping[str, Figures]:
        seen = self.lake.site_versions("features", sites)
        tables = {
            name: self.compute.reading(self.lake.scan(self.line.lake_table("clean", table))).drop(
                [] if table.site_column else [SITE]
            )
            for name, table in self.line.tables.items()
        }
        wanted = pl.col(SITE).is_in(list(sites))
        rows = self.compute.collect(self.line.features.build(tables).filter(wanted))
        version = self.lake.replace("features", rows, seen)
        counted = rows.group_by(SITE).agg(pl.len().alias("rows"), pl.col("label").count().alias("labelled"))
        by_site = {row[SITE]: row for row in counted.iter_rows(named=True)}
        return {
            site: {
                ROW_COUNT: by_site.get(site, {}).get("rows", 0),
                "labelled": by_site.get(site, {}).get("labelled", 0),
                "lake_version": version,
            }
            for site in sites
        }


def _clean_figures(names: Sequence[str], counts: RowCounts, contract: ContractResult) -> Figures:
    """Return one site's account of its rows and what its contract found; `names` are where both kinds are."""
    broken = {check.name: check.unexpected_count for check in contract.checks if check.unexpected_count}
    return {
        **asdict(counts),
        ROW_COUNT: dict(zip(names, (counts.clean, counts.quarantine), strict=True)),
        "contract_passed": contract.success,
        "contract_share": contract.share,
        "broken": broken,
        "table_failures": list(contract.table_failures),
    }


def data_assets(
    line: Line,
    source: Source,
    contracts: Mapping[str, Contract],
    code: str,
    sites: dg.PartitionsDefinition[str],
) -> list[dg.AssetsDefinition]:
    """Return the ops `<line>_references` (only if the line has shared tables) and `<line>_data`."""

    def stages(lake: LakeStore, compute: Compute) -> DataStages:
        return DataStages(line, lake.of(line.name), lake.journal(line.name), compute, contracts, code)

    @dg.multi_asset(name=f"{line.name}_references", specs=reference_specs(line), can_subset=True)
    def references(
        context: dg.AssetExecutionContext, config: StageConfig, lake: LakeStore, compute: Compute, docs: DataDocs
    ) -> Iterator[dg.MaterializeResult[None]]:
        walk = Walk(context, line, lake.journal(line.name), config)
        work = stages(lake, compute)
        until = config.moment(line)
        for table in line.shared_tables:
            walk.stage(
                [f"raw/{table.name}"], partial(work.load, source, table, until, from_start=bool(config.redo_from))
            )
            marks = work.clean_marks(table, [LINE_SITE])
            asset = line.lake_table("clean", table)
            walk.stage([asset], partial(work.clean, table, docs), marks)
        yield from walk.finish()

    @dg.multi_asset(
        name=f"{line.name}_data",
        specs=site_specs(line, sites),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def data(
        context: dg.AssetExecutionContext, config: StageConfig, lake: LakeStore, compute: Compute, docs: DataDocs
    ) -> Iterator[dg.MaterializeResult[None]]:
        walk = Walk(context, line, lake.journal(line.name), config)
        work = stages(lake, compute)
        table = line.decisions
        until = config.moment(line)
        walk.stage([f"raw/{table.name}"], partial(work.load, source, table, until, from_start=bool(config.redo_from)))
        walk.stage(["clean", "quarantine"], partial(work.clean, table, docs), work.clean_marks(table, walk.sites))
        walk.stage(["features"], work.features, work.feature_marks(walk.sites))
        yield from walk.finish()

    return [references, data] if line.shared_tables else [data]

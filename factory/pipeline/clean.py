"""The stage `clean`: raw rows judged by their contract, the newest version of each repaired, the others quarantined.

All sites of a run are cleaned in one plan; a shared table is cleaned once for the line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.data.broken_batches import refused_batches
from factory.data.cleaning import RowCounts
from factory.data.cleaning import clean as cleaned_rows
from factory.data.content import content_digests
from factory.data.contract.result import ContractResult
from factory.data.raw_rows import stored_raw_rows
from factory.data.versions import gone_rows, withdrawn_table
from factory.errors import BatchRefused
from factory.line.line import Table
from factory.line.site_names import UNKNOWN
from factory.monitoring.findings import Finding
from factory.names import LINE_SITE
from factory.pipeline.findings import keep_and_tell
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, ROW_COUNT, Figures, Work
from factory.storage.columns import SITE
from factory.storage.journal import fingerprint

REFUSED = "batch refused"


def clean(run: LineRun, table: Table) -> Work:
    """Return what makes a table's clean and quarantined rows of its raw ones."""
    names = [run.line.lake_table(stage, table) for stage in ("clean", "quarantine")]

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        tables = [run.line.lake_table("raw", table), *filter(run.lake.has, [withdrawn_table(table)])]
        contents = [run.contents.digests([name], sites) for name in tables]
        return {site: fingerprint(table.name, *(content[site] for content in contents)) for site in sites}

    def do(sites: Sequence[str]) -> Mapping[str, Figures | BatchRefused]:
        seen = [run.lake.site_versions(name, sites) for name in names]
        contract = run.contracts[table.name]
        rows = run.compute.reading(stored_raw_rows(run.lake, table, sites))
        cleaned = cleaned_rows(rows, table, contract, run.compute, gone_rows(run.lake, table, sites))
        refused = refused_batches(rows, cleaned.quarantine, table, contract)
        going = [site for site in sites if site not in refused]
        if going:
            mine = cleaned.accepted.filter(pl.col(SITE).is_in(going)) if refused else cleaned.accepted
            run.lake.replace(names[0], mine, {site: seen[0][site] for site in going})
        run.lake.replace(names[1], cleaned.quarantine, seen[1])  # what is refused, too, can be seen and corrected there
        run.contents.digests(names, going)  # together, as they are asked about
        run.docs.publish(run.line.name, table.name, cleaned.contract)
        contents = content_digests(cleaned.accepted, sites)
        figures = {
            site: {CONTENT: contents[site], **_figures(names, cleaned.counts[site], cleaned.contract[site])}
            for site in going
        }
        return {**figures, **refused}

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        judged = together(sites, do)
        refused = {site: error for site, error in judged.done.items() if isinstance(error, BatchRefused)}
        found = {
            site: [Finding(kind=REFUSED, key=REFUSED, text=str(refused[site]))] if site in refused else []
            for site in judged.done
        }
        keep_and_tell(run, names[0], found)
        if isinstance(of_none := judged.done.get(UNKNOWN), Mapping):
            keep_and_tell(run, names[1], {LINE_SITE: _unnamed(table, of_none["quarantine"])})
        done = {site: figures for site, figures in judged.done.items() if not isinstance(figures, BatchRefused)}
        return Isolated(done=done, failed={**judged.failed, **refused})

    return Work(do=isolated, inputs=inputs, lost=lambda sites: run.contents.changed_by_others(names, sites))


def _figures(names: Sequence[str], counts: RowCounts, contract: ContractResult) -> Figures:
    """Return one site's account of its rows and what its contract found; `names` are where both kinds are."""
    return {
        **asdict(counts),
        ROW_COUNT: dict(zip(names, (counts.clean, counts.quarantine), strict=True)),
        "contract_passed": contract.success,
        "contract_share": contract.share,
        "broken": {
            check.name: check.unexpected_count
            for check in contract.checks
            if check.unexpected_count and check.expectation.critical
        },
        "table_failures": list(contract.table_failures),
        "contract_warnings": list(contract.warnings),
    }


def _unnamed(table: Table, rows: int) -> list[Finding]:
    """Return what is to be known of rows that name no site."""
    why, remedy = (
        f"for {table.site_column} is empty or says nothing",
        "fill it in at the source, or say whose they are: `site_names: {mapping: …}`",
    )
    if table.site_through:
        why = f"for {table.site_column} is nothing that {table.site_through.through} knows the site of"
        remedy = f"enter it there: {table.site_through.through}"
    text = f"table {table.name}: {rows} rows name no site, {why}: they wait in quarantine; {remedy}"
    return [Finding(kind="no site", key="no site", text=text)] if rows else []

"""The stage `clean`: raw rows judged by their contract, the newest version of each repaired, the others quarantined.

All sites of a run are cleaned in one plan; a shared table is cleaned once for the line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from factory.compute.isolation import Isolated, together
from factory.data.cleaning import RowCounts
from factory.data.cleaning import clean as cleaned_rows
from factory.data.content import content_digests
from factory.data.contract.result import ContractResult
from factory.data.ingest import stored_raw_rows
from factory.line.line import Table
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CONTENT, ROW_COUNT, Figures, Work
from factory.storage.journal import fingerprint


def clean(run: LineRun, table: Table) -> Work:
    """Return what makes a table's clean and quarantined rows of its raw ones."""
    names = [run.line.lake_table(stage, table) for stage in ("clean", "quarantine")]

    def inputs(sites: Sequence[str]) -> Mapping[str, str]:
        contents = run.contents.digests([run.line.lake_table("raw", table)], sites)
        return {site: fingerprint(table.name, content) for site, content in contents.items()}

    def do(sites: Sequence[str]) -> Mapping[str, Figures]:
        seen = [run.lake.site_versions(name, sites) for name in names]
        rows = run.compute.reading(stored_raw_rows(run.lake, table, sites))
        cleaned = cleaned_rows(rows, table, run.contracts[table.name], run.compute)
        for name, written, versions in zip(names, (cleaned.accepted, cleaned.quarantine), seen, strict=True):
            run.lake.replace(name, written, versions)
        run.contents.digests(names, sites)
        run.docs.publish(run.line.name, table.name, cleaned.contract)
        contents = content_digests(cleaned.accepted, sites)
        return {
            site: {CONTENT: contents[site], **_figures(names, cleaned.counts[site], cleaned.contract[site])}
            for site in sites
        }

    def isolated(sites: Sequence[str]) -> Isolated[Figures]:
        return together(sites, do)

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

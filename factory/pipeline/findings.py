"""Findings of a run's data: kept on record, and told where they begin."""

from collections.abc import Mapping, Sequence

from factory.monitoring.findings import Finding, keep
from factory.names import LINE_SITE, few
from factory.pipeline.line_run import LineRun


def keep_and_tell(run: LineRun, asset: str, found: Mapping[str, Sequence[Finding]]) -> None:
    """Keep what stands of an asset by site; tell people what is new, in the run and to whom the alerts go.

    What several sites have in common is told once.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for site, new in keep(run.journal, asset, found, run.run_id).items():
        for finding in new:
            alike.setdefault((finding.kind, finding.text), []).append(site)
    for (kind, text), sites in alike.items():
        told = text if sites == [LINE_SITE] else f"{few(sites)}: {text}"
        run.warn(f"{kind}: {told}")
        run.alerts.tell("data", told, about=kind, line=run.line.name, asset=asset, sites=sites)

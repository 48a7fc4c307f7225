"""Runs the toy line's assets as a person in the orchestrator's UI does: some assets, some sites, in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from factory.orchestration.instance import opened_instance
from tests.toy.line import NAME, ToyFactory

SITES = ("east", "north", "south")


@dataclass(frozen=True, kw_only=True)
class AssetRun:
    """What came of such a run."""

    success: bool
    made: Sequence[dg.AssetMaterialization]
    failures: dict[str, str]
    """For each site that failed, why; what no site is to blame for goes by the name of its step."""
    log: Sequence[dg.EventLogEntry]

    @property
    def partitions(self) -> dict[str, list[str | None]]:
        """The sites for which each asset was materialized in this run."""
        sites: dict[str, list[str | None]] = {}
        for one in self.made:
            sites.setdefault("/".join(one.asset_key.path[1:]), []).append(one.partition)
        return sites


def run_assets(toy: ToyFactory, job: str, sites: Sequence[str] = SITES, **how: Any) -> AssetRun:
    """Run a job over assets for a range of sites, all of which the line has by then; none: assets of no site."""
    source, chosen = how.pop("source", None), how.pop("assets", None)
    with opened_instance(toy.home / "dagster") as instance:
        instance.add_dynamic_partitions(f"{NAME}_sites", list(SITES))
        tags = {ASSET_PARTITION_RANGE_START_TAG: sites[0], ASSET_PARTITION_RANGE_END_TAG: sites[-1]} if sites else {}
        keys = [dg.AssetKey([NAME, *name.split("/")]) for name in chosen] if chosen else None
        definition = toy.definitions(source or None).resolve_job_def(job)
        run = definition.execute_in_process(
            instance=instance, tags=tags, asset_selection=keys, raise_on_error=False, **how
        )
        log = instance.all_logs(run.run_id)
    events = [entry.dagster_event for entry in log if entry.dagster_event]
    made = [event.step_materialization_data.materialization for event in events if event.is_step_materialization]
    failures: dict[str, str] = {}
    for event in events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            why = {site: str(one.value) for site, one in told.metadata.items()} if told else {}
            failures |= why or {str(event.step_key): str(event.step_failure_data.error_display_string)}
    return AssetRun(success=run.success, made=made, failures=failures, log=log)

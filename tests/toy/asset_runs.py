"""Runs the toy line's assets as a person in the orchestrator's UI does: some assets, some sites, in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import _reexecute_job, execute_run
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


def run_assets(
    toy: ToyFactory,
    job_name: str,
    sites: Sequence[str] = SITES,
    *,
    source: dict[str, Any] | None = None,
    assets: Sequence[str] = (),
    run_config: dict[str, Any] | None = None,
) -> AssetRun:
    """Run a job over assets for a range of sites, all of which the line has by then; none: assets of no site."""
    with opened_instance(toy.home / "dagster") as instance:
        instance.add_dynamic_partitions(f"{NAME}_sites", list(SITES))
        tags = {ASSET_PARTITION_RANGE_START_TAG: sites[0], ASSET_PARTITION_RANGE_END_TAG: sites[-1]} if sites else {}
        keys = frozenset(dg.AssetKey([NAME, *name.split("/")]) for name in assets) if assets else None
        job = InMemoryJob(toy.definitions(source or None).resolve_job_def(job_name))
        wanted = job.get_subset(asset_selection=keys) if keys else job
        run = instance.create_run_for_job(
            wanted.get_definition(), tags=tags, asset_selection=keys, run_config=run_config
        )
        # By the job's own executor, which `execute_in_process` would put aside.
        done = execute_run(wanted, run, instance, raise_on_error=False)
        return _told(done.success, instance.all_logs(run.run_id))


def retry_from_failure(
    toy: ToyFactory, source: dict[str, Any] | None = None, *, run_id: str = "", ops: Sequence[str] = ()
) -> AssetRun:
    """Do again what failed in a run, the newest if none is given, as "Re-execute from failure" does; or some `ops`."""
    with opened_instance(toy.home / "dagster") as instance:
        (failed,) = instance.get_runs(dg.RunsFilter(run_ids=[run_id]) if run_id else None, limit=1)
        job = InMemoryJob(toy.definitions(source).resolve_job_def(failed.job_name))
        how = (
            dg.ReexecutionOptions(parent_run_id=failed.run_id, step_selection=ops)
            if ops
            else dg.ReexecutionOptions.from_failure(failed.run_id, instance)
        )
        run = _reexecute_job(job, failed.run_config, how, failed.tags, instance, raise_on_error=False)
        return _told(run.success, instance.all_logs(run.run_id))


def _told(success: bool, log: Sequence[dg.EventLogEntry]) -> AssetRun:
    events = [entry.dagster_event for entry in log if entry.dagster_event]
    made = [event.step_materialization_data.materialization for event in events if event.is_step_materialization]
    failures: dict[str, str] = {}
    for event in events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            why = {site: str(one.value) for site, one in told.metadata.items()} if told else {}
            failures |= why or {str(event.step_key): str(event.step_failure_data.error_display_string)}
    return AssetRun(success=success, made=made, failures=failures, log=log)

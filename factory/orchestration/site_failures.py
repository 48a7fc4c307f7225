"""Which sites failed in which op of a run, read from its event log: the ops of one run may be processes of their own.

A run that is begun again "from failure" does the ops that failed and those after them. What failed in an op that it
does not do again is still so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.dependency import NodeHandle
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.execution.plan.handle import StepHandle
from dagster._core.execution.plan.objects import StepFailureData, UserFailureData

from factory.names import LINE_SITE
from factory.orchestration.events import SITES_FAILED, written
from factory.pipeline.events import SiteFailed

UNRECORDED = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
"""The metadata of a result by which Dagster goes on to the next op and has no site as materialized by it: what was made
for the sites that went through is logged one by one."""
GOING_ON = {"retries": {"enabled": {}}, "step_dependency_config": {"require_upstream_step_success": False}}
"""An executor's configuration under which an op runs where the one before it gave results, though it is red."""


@dataclass(frozen=True, kw_only=True)
class OpFailure:
    """A site that failed in an op."""

    op: str
    event: SiteFailed

    @property
    def reason(self) -> str:
        """Where in the line it failed, and of what."""
        return f"{self.event.step}: {self.event.error}"


def site_failures(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[OpFailure]:
    """Return the sites that failed in a run, and in the runs that it goes on with, by op."""
    own = [
        OpFailure(op=op, event=event) for op, event in written(instance, run.run_id) if isinstance(event, SiteFailed)
    ]
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    again = run.step_keys_to_execute
    if parent is None or again is None:
        return own
    return [*(failed for failed in site_failures(instance, parent) if failed.op not in again), *own]


def dropped(failures: Sequence[OpFailure]) -> dict[str, str]:
    """Return the sites that go no further, and why; LINE_SITE among them: none does."""
    return {failed.event.site: failed.reason for failed in failures if not failed.event.harmless}


def mark_failed(context: dg.OpExecutionContext, ops: Mapping[str, Mapping[str, str]]) -> None:
    """Record ops of this run as failed, each with its sites and why, though the run went on after them.

    They are red in the UI, and the orchestrator's "retry from failure" begins with them.
    """
    for op, reasons in ops.items():
        words = f"{len(reasons)} failed here: {', '.join(sorted(reasons))}; the run went on with the others"
        details = {site: dg.MetadataValue.text(reason) for site, reason in reasons.items()}
        about = UserFailureData(SITES_FAILED, words, details)  # type: ignore[no-untyped-call]
        event = DagsterEvent(
            event_type_value=DagsterEventType.STEP_FAILURE.value,
            job_name=context.job_name,
            step_key=op,
            step_handle=StepHandle(NodeHandle(op, None), op),  # by which a retry from failure finds it
            event_specific_data=StepFailureData(None, about),  # type: ignore[no-untyped-call]
            message=f"{op}: {words}",
        )
        context.instance.report_dagster_event(event, context.run_id, "ERROR")


def failure(line: str, reasons: Mapping[str, str], went_through: Sequence[str]) -> dg.Failure:
    """Return one Failure that names every site that failed, and why, those that went through, and what to do."""
    failed = sorted(set(reasons) - {LINE_SITE})
    names = ", ".join(failed) if LINE_SITE not in reasons else ", ".join(["the line itself", *failed])
    others = f"the others went through ({', '.join(sorted(went_through))})" if went_through else "none went through"
    alone = f" --sites {','.join(failed)}" if LINE_SITE not in reasons else ""
    return dg.Failure(
        f"line {line}: {len(reasons)} failed: {names}; {others}. Once the cause is mended, retry this run from failure "
        f"or: factory run {line}{alone}",
        metadata={site: dg.MetadataValue.text(reason) for site, reason in reasons.items()},
        allow_retries=False,
    )

"""Events of a line's run in Dagster's event log: written as engine events with typed data, and read back as such.

Materializations are read as Dagster has them. Nothing is parsed out of text.
"""

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventType, EngineEventData, RunFailureReason
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo

from factory.errors import FactoryError
from factory.errors.masking import masked
from factory.names import LINE_SITE
from factory.pipeline.events import (
    Became,
    Event,
    RunFailed,
    Said,
    SiteFailed,
    SiteFinding,
    SiteMade,
    SitesChosen,
    StepBegun,
)

KEY = "factory"
"""The metadata entry of an engine event that has the event as JSON."""
_KINDS: dict[str, Callable[..., Event]] = {
    kind.__name__: kind
    for kind in (SitesChosen, StepBegun, SiteFailed, SiteFinding)  # Dagster has no events of its own for these
}
SITES_FAILED = "sites failed"
"""The label of an op's failure that is on record because of its sites, though the run went on after it."""
_STOPPED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
_MODULE = re.compile(r"^(?:\w+\.)+(?=\w+:)")
PAGE, STACK_FRAMES = 500, 6


def report(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    event: Event,
    text: str,
    *,
    step_key: str,
    error: BaseException | None = None,
) -> None:
    """Write an event into the run's log, where the UI shows `text`, and an error with where in the code it arose.

    Neither text, nor event, nor stack has a secret in it.
    """
    fields = {name: masked(value) if isinstance(value, str) else value for name, value in asdict(event).items()}
    data = {"kind": type(event).__name__, **fields}
    shown = None
    if error is not None:
        stack = [masked(frame) for frame in traceback.format_exception(error, limit=-STACK_FRAMES)]
        shown = SerializableErrorInfo(message=masked(str(error)), stack=stack, cls_name=type(error).__name__)
    about = EngineEventData(metadata={KEY: dg.MetadataValue.json(data)}, error=shown)
    instance.report_engine_event(masked(text), run, about, step_key=step_key)


def written(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[str, Event]]:
    """Yield the engine events of a run that are ours, in order, each with its op."""
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=DagsterEventType.ENGINE_EVENT, limit=PAGE)
        for entry in (record.event_log_entry for record in page.records):
            if event := _reported(entry):
                yield str(entry.step_key), event
        cursor, more = page.cursor, page.has_more


def read(entry: dg.EventLogEntry) -> Event | None:
    """Return an entry of the event log as an event; None for entries that are not shown."""
    event = entry.dagster_event
    if event is None:
        known = int(entry.level) >= logging.INFO
        return Said(text=entry.user_message.splitlines()[0], level=int(entry.level)) if known else None
    if event.is_step_materialization:
        return _site_made(event.step_materialization_data.materialization, entry.timestamp)
    if event.is_step_failure:
        return _op_failed(event.step_failure_data)
    if event.is_job_failure and event.job_failure_data.failure_reason is not RunFailureReason.STEP_FAILURE:
        error = event.job_failure_data.error
        if error and error.cls_name in _STOPPED:
            return None
        return RunFailed(text=str(error.message if error else event.message).strip())
    return _reported(entry)


def _op_failed(step: StepFailureData) -> RunFailed | None:
    """Return why an op failed, without a stack; None where its sites, or who stopped it, told of that already."""
    failure, error = step.user_failure_data, step.error
    if failure:
        return None if failure.label == SITES_FAILED else RunFailed(text=str(failure.description))
    while error and str(error.cls_name).startswith("Dagster") and error.cause:
        error = error.cause
    if error is None or error.cls_name in _STOPPED:
        return None
    text = _MODULE.sub("", error.message.strip())
    if not error.message.startswith(FactoryError.__module__) and error.stack:
        text += f" ({error.stack[-1].strip().splitlines()[0]})"
    return RunFailed(text=text)


def _reported(entry: dg.EventLogEntry) -> Event | None:
    event = entry.dagster_event
    if event is None or event.event_type is not DagsterEventType.ENGINE_EVENT:
        return None
    value = event.engine_event_data.metadata.get(KEY)
    if value is None:
        return None
    data: dict[str, Any] = json.loads(json.dumps(value.value))
    kind = _KINDS.get(data.pop("kind", ""))
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return kind(**lists) if kind else None


def _site_made(materialization: dg.AssetMaterialization, at: float) -> SiteMade | None:
    if "changed" not in materialization.metadata:
        return None  # somebody else's asset
    asset, changed = "/".join(materialization.asset_key.path[1:]), bool(materialization.metadata["changed"].value)
    became = _became(materialization, changed=changed) if asset == "release" else None
    return SiteMade(asset=asset, site=materialization.partition or LINE_SITE, changed=changed, became=became, at=at)


def _became(materialization: dg.AssetMaterialization, *, changed: bool) -> Became:
    """Return what became of a candidate."""
    if not materialization.metadata["passed"].value:
        return "refused"
    return "released" if changed else "held_back" if "held_back" in materialization.metadata else "kept"

"""The job `<line>_line_job`: the whole line for some sites, or some of its stages, as one run of the orchestrator's.

It has an op for each natural cut, each its own pod where the executor is Kubernetes'. A site that fails drops out, the
others go on, and the last op makes the run red, with the ops that a site failed in, and names the failed ones: the
orchestrator's "retry from failure" begins there. What one op hands to the next is in the run's own event log
(factory/orchestration/events.py): no file is handed over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

import dagster as dg
from pydantic import Field

from factory.connectors.source import named_sites
from factory.errors import FactoryError, LineError, NameRefused, SourceError
from factory.line.line import Line
from factory.monitoring.findings import FINDINGS, standing
from factory.names import LINE_SITE, checked_name
from factory.orchestration.checks import refused_by_gateway
from factory.orchestration.events import report, written
from factory.orchestration.line_parts import RESOURCES, Context, LineParts, StageConfig, line_run, moment
from factory.orchestration.ops import RunLog, partition_of
from factory.orchestration.site_checks import LineState, site_checks
from factory.orchestration.site_failures import OpFailure, dropped, failure, mark_failed, site_failures
from factory.orchestration.sites import add_sites, known_sites, require_known_sites
from factory.orchestration.specs import asset_key
from factory.orchestration.stopping import stop_if_asked
from factory.pipeline.events import Event, LineRequest, SiteFailed, SiteFinding, SitesChosen
from factory.pipeline.line_run import LineRun
from factory.pipeline.runner import Runner, StepResult
from factory.pipeline.stages import NAMES, RUNS, RunKind, Step, comes_before, steps
from factory.storage.journal import Journal

CAUSE = "factory/cause"
"""The tag that says what asked for a run: rows, drift, the calendar, a person."""
ONE_AT_A_TIME = "factory/line"
"""The tag by which the orchestrator's queue lets one such run of a line go at a time."""


class LineConfig(StageConfig):
    """What to run."""

    sites: list[str] = Field(default=[], description="all that the source knows when empty")
    stages: list[str] = Field(default=[], description=f"the stages to do, all when empty: {', '.join(NAMES)}")


def job_name(line: str) -> str:
    """Return the name of a line's job."""
    return f"{line}_line_job"


def run_config(request: LineRequest) -> dict[str, object]:
    """Return the configuration by which the job does what is begin."""
    config = {
        "sites": list(request.sites),
        "until": request.until,
        "redo_from": request.redo_from,
        "stages": list(request.stages),
    }
    return {"ops": {_begin_name(request.line): {"config": config}}}


def request_of(line: str, config: dict[str, object]) -> LineRequest:
    """Return what a run's configuration asks for; `run_config` is the inverse."""
    ops = config.get("ops") or {}
    begin = LineConfig(**(ops.get(_begin_name(line)) or {}).get("config", {}))  # type: ignore[attr-defined]  # JSON
    return LineRequest(
        line=line,
        sites=tuple(begin.sites),
        until=begin.until,
        redo_from=begin.redo_from,
        stages=tuple(begin.stages),
    )


def line_job(parts: LineParts) -> dg.JobDefinition:
    """Return the job."""
    line = parts.line
    kinds = [kind for kind in RUNS if any(step.run == kind.name for step in steps(line))]
    begin, finish = _begin(parts), _finish(parts)
    middle = [_op(parts, kind) for kind in kinds]

    @dg.job(name=job_name(line.name), tags={ONE_AT_A_TIME: line.name, "line": line.name}, description=line_job.__doc__)
    def job() -> None:
        done = begin()
        for op in middle:
            done = op(done)
        finish(done)

    return job


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """How far a run is, read from its event log."""

    request: LineRequest
    chosen: SitesChosen
    failures: Sequence[OpFailure]

    @classmethod
    def of(cls, context: dg.OpExecutionContext, line: str) -> "RunProgress":
        """Read the event log; a run that was begun again from a later op goes on with the sites of the one before."""
        run = context.run
        run_ids = [run_id for run_id in (run.root_run_id, run.parent_run_id, run.run_id) if run_id]
        events = [event for run_id in dict.fromkeys(run_ids) for _, event in written(context.instance, run_id)]
        chosen = next((event for event in reversed(events) if isinstance(event, SitesChosen)), None)
        if chosen is None:
            raise LineError(f"line {line}: run {run.run_id} does not know its sites: launch the whole job anew")
        return cls(
            request=request_of(line, dict(run.run_config)),
            chosen=chosen,
            failures=site_failures(context.instance, run),
        )

    @property
    def remaining(self) -> list[str]:
        """The sites that have not failed; none where something that all of them need has failed."""
        gone = dropped(self.failures)
        return [] if LINE_SITE in gone else [site for site in self.chosen.sites if site not in gone]

    def failed_in(self, op: str) -> dict[str, str]:
        """Return the sites that failed in an op, and why."""
        return {failed.event.site: failed.reason for failed in self.failures if failed.op == op}

    def failure(self, line: str) -> dg.Failure:
        """Return the failure of the whole run, which has some."""
        reasons = {failed.event.site: failed.reason for failed in self.failures}
        went_through = [] if LINE_SITE in reasons else set(self.chosen.sites) - reasons.keys()
        return failure(line, reasons, sorted(went_through))


class LineRunLog(RunLog):
    """Logs each materialization as it is made: nothing in this job waits for an asset's result.

    What a step leaves alone it has told as it began; an event for each such site and asset would cost more than the
    step itself, and what is materialized stays so. Only what the orchestrator knows nothing of is logged: a run that
    made it may have died before it could say so, and somebody may have wiped it.
    """

    def __init__(self, context: Context, run: LineRun, *, harmless: bool = False) -> None:
        super().__init__(context, run, harmless=harmless)
        self._known: dict[dg.AssetKey, set[str | None]] = {}

    def begun(self, step: Step, todo: Sequence[str], unchanged: int) -> None:
        """Log that a step begins, unless the run was asked to stop."""
        stop_if_asked()
        super().begun(step, todo, unchanged)

    def completed(self, result: StepResult) -> None:
        """Log what was made, and what was made before and nobody has told the orchestrator of."""
        for name in result.step.makes:
            known = result.is_left_alone and self._materialized(asset_key(self.line, name))
            if not (known and partition_of(result.site) in known):
                self.context.log_event(self.materialization(name, result))

    def _materialized(self, key: dg.AssetKey) -> set[str | None]:
        """Return the sites for which the orchestrator has an asset as materialized; None stands for the line."""
        if key not in self._known:
            instance = self.context.instance
            of_line = {None} if instance.get_latest_materialization_event(key) else set[None]()
            self._known[key] = {*instance.get_materialized_partitions(key), *of_line}
        return self._known[key]


def _begin_name(line: str) -> str:
    return f"{line}_line_begin"


def _begin(parts: LineParts) -> dg.OpDefinition:
    line = parts.line

    @dg.op(
        name=_begin_name(line.name),
        description="Finds the sites, and adds those that the line does not have yet.",
        out=dg.Out(dg.Nothing),
        required_resource_keys={"lake", "store"},
    )
    def begin(context: dg.OpExecutionContext, config: LineConfig) -> None:
        LineRequest(line=line.name, redo_from=config.redo_from, stages=tuple(config.stages)).require_stages()
        until = as_of(parts, context.resources.lake.journal(line.name), config)
        removed = context.resources.store.removed_sites(line.name)
        sites = config.sites or [
            site for site in _all_sites(context, parts, until, redo=bool(config.redo_from)) if site not in removed
        ]
        if not sites:
            raise LineError(_why_no_sites(line, until, removed))
        fit = [site for site in sites if _is_fit(context, site, removed)]
        add_sites(context.instance, line.name, fit)
        _log_event(context, SitesChosen(sites=tuple(fit), until=until), f"{len(fit)} sites: {', '.join(fit)}")

    return begin


def _why_no_sites(line: Line, until: str, removed: Mapping[str, str]) -> str:
    """Say why there is nothing to run: a green run would claim that something was done."""
    if removed:
        return (
            f"line {line.name}: all its sites were removed ({', '.join(sorted(removed))}): factory site add "
            f"{line.name} SITE brings one back"
        )
    before = f"before {until or f'{line.default_until:%Y-%m-%d}'}"
    return (
        f"line {line.name}: its source has no site with rows {before}, so there is nothing to run: look at the source"
    )


def _all_sites(context: dg.OpExecutionContext, parts: LineParts, until: str, *, redo: bool) -> Sequence[str]:
    """Return all sites that the source has; where a run begins with a later stage, all that the line has."""
    if not redo:
        try:
            at_source = named_sites(parts.source, parts.line.decisions, moment(until, parts.line))
        except SourceError:
            if known := _sites_with_rows(context, parts):
                return known  # each of them fails of it where its rows would come in, and has it on record
            raise
        return at_source or _sites_with_rows(context, parts)
    return require_known_sites(context.instance, parts.line.name)


def _sites_with_rows(context: dg.OpExecutionContext, parts: LineParts) -> list[str]:
    """Return the line's sites that have rows already: with an empty export their stages go on with what there is."""
    known = known_sites(context.instance, parts.line.name)
    lake = context.resources.lake.of(parts.line.name)
    versions = lake.site_versions(parts.line.lake_table("raw", parts.line.decisions), known)
    return [site for site in known if versions[site]]


def _is_fit(context: dg.OpExecutionContext, site: str, removed: Mapping[str, str]) -> bool:
    """Whether a site can be taken: it has a name, and nobody removed it. Others fail by themselves."""
    try:
        if checked_name(site) in removed:
            raise NameRefused(removed[site])
    except NameRefused as error:
        _log_event(context, SiteFailed(step="sites", site=site, error=str(error), at=time()), str(error))
        return False
    return True


def as_of(parts: LineParts, journal: Journal, config: StageConfig) -> str:
    """Return the as-of date of a run: models made as of one day must not be judged as of another.

    Their training may have seen the rows that they would be judged on. Raises LineError.
    """
    until, line = config.until, parts.line.name
    moment(until, parts.line)
    if not comes_before("base_model", config.redo_from):
        return until
    base = journal.latest("base_model").get(LINE_SITE)
    models_as_of = str(base.figures.get("as_of", "")) if base else ""
    if until and models_as_of and until != models_as_of:
        raise LineError(
            f"line {line}: the models were made as of {models_as_of}, so `--from {config.redo_from}` cannot look as of "
            f"{until}: leave --until out, or begin with base_model or before"
        )
    return until or models_as_of


def _op(parts: LineParts, kind: RunKind) -> dg.OpDefinition:
    line, mine = parts.line, [step for step in steps(parts.line) if step.run == kind.name]

    @dg.op(
        name=f"{line.name}_line_{kind.name}",
        description=", ".join(step.name for step in mine),
        ins={"after": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        pool="gpu" if kind.gpu else None,
        required_resource_keys=RESOURCES,
    )
    def take_through(context: dg.OpExecutionContext) -> None:
        progress = RunProgress.of(context, line.name)
        wanted = [step for step in mine if _is_wanted(step, progress.request)]
        going = _not_removed(context, line.name, progress.remaining)
        if not going or not wanted:
            return
        config = StageConfig(until=progress.chosen.until, redo_from=progress.request.redo_from)
        # A fault in what a site serves does not stop its training: such a site goes on.
        run = line_run(parts, context, config)
        log = LineRunLog(context, run, harmless=kind.name == "operations")
        Runner(run, going if kind.of_sites else [LINE_SITE], log).take_through(wanted)

    return take_through


def _is_wanted(step: Step, request: LineRequest) -> bool:
    """Whether a step is asked for; one that is left alone still has its as-of day checked."""
    return not request.stages or step.stage.name in request.stages


def _not_removed(context: dg.OpExecutionContext, line: str, sites: Sequence[str]) -> list[str]:
    """Return the sites that the line still has; log those that somebody removed while it ran."""
    known = set(known_sites(context.instance, line))
    for site in sorted(set(sites) - known):
        why = (
            f"it was removed from line {line} meanwhile and is left out from here on; what was done for it stays. "
            f"To bring it back: factory site add {line} {site}"
        )
        _log_event(context, SiteFailed(step="sites", site=site, error=why, at=time()), f"{site}: {why}")
    return [site for site in sites if site in known]


def _finish(parts: LineParts) -> dg.OpDefinition:
    line = parts.line

    @dg.op(
        name=f"{line.name}_line_finish",
        description="Loads every served model as the gateway would, and fails the run if a site failed.",
        ins={"after": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys={"store", "alerts", "lake"},
    )
    def finish(context: dg.OpExecutionContext) -> None:
        known = known_sites(context.instance, line.name)
        for site, why in refused_by_gateway(line, known, context.resources.store, context.resources.alerts).items():
            _log_event(context, SiteFailed(step="release", site=site, error=why, at=time()), f"{site}: {why}")
        _log_findings(context, line.name, known)
        progress = RunProgress.of(context, line.name)
        try:
            _log_checks(context, parts, known, progress.chosen.until)
        except FactoryError as error:  # what the sites failed of is more than what checks would say of it
            context.log.warning(f"the checks of line {line.name} could not be judged: {error}")
        if progress.failures:
            ops = {failed.op for failed in progress.failures} - {context.op_def.name}
            again = context.run.step_keys_to_execute
            mark_failed(context, {op: progress.failed_in(op) for op in sorted(ops) if again is None or op in again})
            raise progress.failure(line.name)

    return finish


def _log_findings(context: dg.OpExecutionContext, line: str, sites: Sequence[str]) -> None:
    """Log what stands at the data of the line's sites, those among them that this run was not about or did not find.

    A change of columns was told as it was found.
    """
    for site, entry in context.resources.lake.journal(line).latest(FINDINGS, [LINE_SITE, *sites]).items():
        for text in standing(entry.figures, but_schema=True):
            _log_event(context, SiteFinding(step="raw", site=site, text=text), f"{site}: {text}")


def _log_checks(context: dg.OpExecutionContext, parts: LineParts, sites: Sequence[str], until: str) -> None:
    """Judge the line's checks as of the run's moment, so that its assets show them however the line was started."""
    name = parts.line.name
    state = LineState(
        line=parts.line,
        journal=context.resources.lake.journal(name),
        lake=context.resources.lake.of(name),
        sites=sites,
        until=moment(until, parts.line),
    )
    checks = site_checks(parts.line)
    records = context.instance.get_asset_records(list({asset_key(parts.line, check.asset) for check in checks}))
    entries = [record.asset_entry for record in records]
    materialized = {entry.asset_key: entry.last_materialization_record for entry in entries}
    for check in checks:
        event: Any = check.evaluation(state, materialized)  # taken, though the signature does not say so
        context.log_event(event)


def _log_event(context: dg.OpExecutionContext, event: Event, text: str) -> None:
    report(context.instance, context.run, event, text, step_key=context.op_def.name)


def line_request(request: LineRequest, key: str, cause: str) -> dg.RunRequest:
    """Return the request for one run of the job, for a sensor or a schedule; `key` is never used twice."""
    return dg.RunRequest(run_key=key, run_config=run_config(request), tags={CAUSE: cause})

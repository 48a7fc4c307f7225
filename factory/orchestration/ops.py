"""The stage table as Dagster ops: each natural cut of a line is one op over its assets and all its sites.

Every asset and site that was selected is materialized, or the run is red. An op yields a result for each asset, so
that what comes after it goes on. Where a site failed, only the others' materializations are on record, the ops after it
go on with the others alone, and the op raises one Failure that names the failed ones and why.
"""

from collections.abc import Iterator, Mapping, Sequence
from time import time

import dagster as dg

from factory.errors.masking import masked
from factory.names import LINE_SITE
from factory.orchestration.events import report
from factory.orchestration.line_parts import RESOURCES, Context, LineParts, StageConfig, line_run
from factory.orchestration.metadata import RunMetadata
from factory.orchestration.site_failures import UNRECORDED, dropped, failure, site_failures
from factory.orchestration.specs import asset_key, specs
from factory.pipeline.events import SiteFailed, StepBegun
from factory.pipeline.line_run import LineRun
from factory.pipeline.runner import Runner, StepResult
from factory.pipeline.stages import RunKind, Step, comes_before, steps

DATA_VERSION = "dagster/data_version"


class RunLog:
    """Writes a runner's events into Dagster's event log; keeps the results for the end of the op."""

    def __init__(self, context: Context, run: LineRun, *, harmless: bool = False) -> None:
        self.context = context
        self.line = run.line
        self.harmless = harmless
        self.results: list[StepResult] = []
        self._metadata = RunMetadata(run)

    def begun(self, step: Step, todo: Sequence[str], unchanged: int) -> None:
        """Log that a step begins."""
        event = StepBegun(step=step.name, todo=tuple(todo), unchanged=unchanged, at=time())
        self.report(event, f"{step.name}: {len(todo)} to do ({', '.join(todo)}), {unchanged} unchanged")

    def completed(self, result: StepResult) -> None:
        """Keep the result."""
        self.results.append(result)

    def failed(self, step: Step, site: str, error: Exception) -> None:
        """Log that a site failed, with where in the code."""
        event = SiteFailed(step=step.name, site=site, error=_words(error), at=time(), harmless=self.harmless)
        self.report(event, f"{step.name} of {site} failed: {_words(error)}", error)

    def report(self, event: StepBegun | SiteFailed, text: str, error: Exception | None = None) -> None:
        """Write an event into the run's log."""
        instance, run = self.context.instance, self.context.run
        report(instance, run, event, text, step_key=self.context.op_def.name, error=error)

    def materialization(self, name: str, result: StepResult) -> dg.AssetMaterialization:
        """Return the event that one site's step has made an asset."""
        return dg.AssetMaterialization(
            asset_key(self.line, name),
            partition=partition_of(result.site),
            metadata={**self._metadata.of(name, result), "changed": result.changed},
            tags={DATA_VERSION: result.fingerprint} if result.fingerprint else None,
        )


def partition_of(site: str) -> str | None:
    """Return the partition that a site is; None for the line itself."""
    return None if site == LINE_SITE else site


def asset_op(parts: LineParts, kind: RunKind) -> dg.AssetsDefinition:
    """Return the op `<line>_<run>` over the assets of one natural cut."""
    line, mine = parts.line, [step for step in steps(parts.line) if step.run == kind.name]
    sites = parts.sites if kind.of_sites else None

    @dg.multi_asset(
        name=f"{line.name}_{kind.name}",
        specs=specs(line, mine, sites),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run() if sites else None,
        pool="gpu" if kind.gpu else None,
        required_resource_keys=RESOURCES,
    )
    def materialize(context: dg.AssetExecutionContext, config: StageConfig) -> Iterator[dg.MaterializeResult[None]]:
        run = line_run(parts, context, config)
        log = RunLog(context, run)
        # Decided by the op, not by how the run was launched: a site's run may include the line's shared tables.
        targets = context.partition_keys if sites else [LINE_SITE]
        before = dropped(site_failures(context.instance, context.run))
        runner = Runner(run, [] if LINE_SITE in before else [site for site in targets if site not in before], log)
        selected = {
            name: step for step in mine for name in step.makes if asset_key(line, name) in context.selected_asset_keys
        }
        runner.take_through(
            [step for step in mine if step in selected.values() or comes_before(step.stage.name, run.redo_from)]
        )
        yield from _results(context, log, _failures(runner, log, selected, targets, before))

    return materialize


def _failures(
    runner: Runner, log: RunLog, selected: Mapping[str, Step], sites: Sequence[str], before: Mapping[str, str]
) -> dict[str, str]:
    """Return why each site failed, here or `before`; one that went through without all that was selected, too."""
    made = {(name, result.site) for result in log.results for name in result.step.makes}
    lacking = {
        site: f"{name}: {_why_lacking(step, site, runner.run.redo_from)}"
        for site in sites
        for name, step in selected.items()
        if (name, site) not in made
    }
    told = {site: f"{step}: {_words(why)}" for site, (step, why) in runner.failures.items()}
    if LINE_SITE in told:
        return told
    return {**lacking, **{site: why for site, why in before.items() if site in lacking}, **told}


def _why_lacking(step: Step, site: str, redo_from: str) -> str:
    who = "the line" if site == LINE_SITE else f"site {site}"
    if comes_before(step.stage.name, redo_from):
        return (
            f"this run begins with {redo_from}, and of {who} there is nothing from before: leave redo_from out, or do "
            "not select this asset"
        )
    return f"the stage {step.stage.name} gave neither a result nor an error for {who}: its function must give one"


def _results(
    context: dg.AssetExecutionContext, log: RunLog, failures: Mapping[str, str]
) -> Iterator[dg.MaterializeResult[None]]:
    """Yield a result for each asset that some site has; raise where a site failed, after what the others have."""
    events = [
        log.materialization(name, result)
        for result in log.results
        for name in result.step.makes
        if asset_key(log.line, name) in context.selected_asset_keys
    ]
    for event in events:
        if failures:  # a result would count for every site of the run
            context.log_event(event)
        else:
            context.add_asset_metadata(event.metadata, asset_key=event.asset_key, partition_key=event.partition)
    for key in dict.fromkeys(event.asset_key for event in events):
        yield dg.MaterializeResult(asset_key=key, metadata=UNRECORDED if failures else None)
    if failures:
        for site, why in failures.items():  # a terminal shows no metadata of a failure
            context.log.error(f"{site}: {why}")
        went_through = {result.site for result in log.results} - failures.keys() - {LINE_SITE}
        raise failure(log.line.name, failures, sorted(went_through))


def _words(error: Exception) -> str:
    return masked(f"{type(error).__name__}: {error}")

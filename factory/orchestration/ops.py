"""The stage table as Dagster ops: each natural cut of a line is one op over its assets and all its sites.

Where every site went through, the op yields a result for each asset, so that what comes after it goes on; where one
failed, the others' materializations are logged and the op raises one Failure that names the failed ones and why.
"""

from collections.abc import Iterator, Sequence
from time import time

import dagster as dg

from factory.masking import masked
from factory.names import LINE_SITE
from factory.orchestration.events import report
from factory.orchestration.line_parts import RESOURCES, Context, LineParts, StageConfig, line_run
from factory.orchestration.metadata import metadata
from factory.orchestration.specs import asset_key, specs
from factory.pipeline.events import SiteFailed, StepBegun
from factory.pipeline.runner import Runner, StepResult
from factory.pipeline.stages import RunKind, Step, comes_before, steps

DATA_VERSION = "dagster/data_version"


class RunLog:
    """Writes a runner's events into Dagster's event log; keeps the results for the end of the op."""

    def __init__(self, context: Context, parts: LineParts, *, harmless: bool = False) -> None:
        self.context = context
        self.line = parts.line
        self.harmless = harmless
        self.results: list[StepResult] = []

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

    def materializations(self, result: StepResult) -> Iterator[dg.AssetMaterialization]:
        """Yield what one site's step has made, an event an asset."""
        for name in result.step.makes:
            yield dg.AssetMaterialization(
                asset_key(self.line, name),
                partition=None if result.site == LINE_SITE else result.site,
                metadata={**metadata(name, result.figures), "changed": result.changed},
                tags={DATA_VERSION: result.fingerprint} if result.fingerprint else None,
            )


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
        log, run = RunLog(context, parts), line_run(parts, context, config)
        # Decided by the op, not by how the run was launched: a site's run may include the line's shared tables.
        runner = Runner(run, context.partition_keys if sites else [LINE_SITE], log)
        selected = context.selected_asset_keys
        wanted = [step for step in mine if _is_selected(line.name, step, selected)]
        left_alone = [step for step in mine if comes_before(step.stage.name, run.redo_from)]
        runner.take_through([step for step in mine if step in wanted or step in left_alone])
        yield from _results(context, log, runner)

    return materialize


def _is_selected(line: str, step: Step, selected: frozenset[dg.AssetKey] | set[dg.AssetKey]) -> bool:
    return any(dg.AssetKey([line, *name.split("/")]) in selected for name in step.makes)


def _results(context: dg.AssetExecutionContext, log: RunLog, runner: Runner) -> Iterator[dg.MaterializeResult[None]]:
    """Yield a result for each asset that every site has, or log those of the sites that went through and raise."""
    events = [
        event
        for result in log.results
        for event in log.materializations(result)
        if event.asset_key in context.selected_asset_keys
    ]
    if runner.failures:
        for event in events:
            context.log_event(event)
        raise failure(log.line.name, {site: f"{step}: {_words(why)}" for site, (step, why) in runner.failures.items()})
    for event in events:
        context.add_asset_metadata(event.metadata, asset_key=event.asset_key, partition_key=event.partition)
    for key in dict.fromkeys(event.asset_key for event in events):
        yield dg.MaterializeResult(asset_key=key)


def failure(line: str, reasons: dict[str, str]) -> dg.Failure:
    """Return one Failure that names every site that failed, and why."""
    names = ", ".join("the line itself" if site == LINE_SITE else site for site in sorted(reasons))
    return dg.Failure(
        f"line {line}: {len(reasons)} failed: {names}; the others went through; run those alone again once the cause "
        "is mended",
        metadata={site: dg.MetadataValue.text(reason) for site, reason in reasons.items()},
        allow_retries=False,
    )


def _words(error: Exception) -> str:
    return masked(f"{type(error).__name__}: {error}")

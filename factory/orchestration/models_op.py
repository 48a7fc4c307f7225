"""The models of a site: site model → verdict → release → report, for all requested sites in one run."""

from collections.abc import Iterator

import dagster as dg

from factory.line.line import Line
from factory.orchestration.resources.compute import Compute
from factory.orchestration.resources.lake import LakeStore
from factory.orchestration.resources.model_store import ModelStore
from factory.orchestration.resources.reports import Reports
from factory.orchestration.resources.workbench import Workbench
from factory.orchestration.specs import model_specs
from factory.orchestration.stage_config import StageConfig
from factory.orchestration.walk import Walk
from factory.pipeline.reports import ReportStages
from factory.pipeline.site_models import ModelStages
from factory.pipeline.tools import Tools
from factory.registry.registry import Registry


def models_asset(line: Line, code: str, sites: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """Return the op `<line>_models`."""

    @dg.multi_asset(
        name=f"{line.name}_models",
        specs=model_specs(line, sites),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="gpu",
    )
    def models(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        lake: LakeStore,
        compute: Compute,
        registry: Registry,
        workbench: Workbench,
        store: ModelStore,
        reports: Reports,
    ) -> Iterator[dg.MaterializeResult[None]]:
        tools = Tools.of(line, code, lake, compute, registry, workbench, context.log)
        stages = ModelStages(tools, store, config.moment(line))
        walk = Walk(context, line, tools.journal, config)
        walk.stage(["site_model"], stages.fine_tune, stages.site_marks(walk.sites))
        walk.stage(["verdict"], stages.judge, stages.verdict_marks(walk.sites))
        walk.stage(["release"], stages.release)
        walk.stage(["report"], ReportStages(stages, reports.of(line.name), again=bool(config.redo_from)).write)
        yield from walk.finish()

    return models

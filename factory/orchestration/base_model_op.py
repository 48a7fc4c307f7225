"""The base model: one network on the pooled rows of all sites, and the baseline that it must beat."""

from collections.abc import Iterator

import dagster as dg

from factory.line.line import Line
from factory.names import LINE_SITE
from factory.orchestration.resources.compute import Compute
from factory.orchestration.resources.lake import LakeStore
from factory.orchestration.resources.workbench import Workbench
from factory.orchestration.specs import base_spec
from factory.orchestration.stage_config import StageConfig
from factory.orchestration.walk import Walk
from factory.pipeline.base_model import BaseStages
from factory.pipeline.tools import Tools
from factory.registry.registry import Registry


def base_model_asset(line: Line, code: str) -> dg.AssetsDefinition:
    """Return the op `<line>_base_model`."""

    @dg.multi_asset(name=f"{line.name}_base_model", specs=[base_spec(line)], can_subset=True, pool="gpu")
    def base_model(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        lake: LakeStore,
        compute: Compute,
        registry: Registry,
        workbench: Workbench,
    ) -> Iterator[dg.MaterializeResult[None]]:
        tools = Tools.of(line, code, lake, compute, registry, workbench, context.log)
        stages = BaseStages(tools, config.moment(line))
        walk = Walk(context, line, tools.journal, config)
        if config.redo_from:  # a finished training's checkpoint would be taken for the new one
            workbench.checkpoint(line.name, "base_model", stages.mark()).unlink(missing_ok=True)
        walk.stage(["base_model"], lambda _: stages.train(), {LINE_SITE: stages.mark()})
        yield from walk.finish()

    return base_model

"""What sites do with what they serve, all sites in one run.

context; predictions → outcomes → drift; served → served outcomes.
"""

from collections.abc import Iterator

import dagster as dg

from factory.line.line import Line
from factory.monitoring.prediction_log.outcomes import SERVED_OUTCOMES
from factory.monitoring.prediction_log.rows import SERVED
from factory.orchestration.resources.alerts import Alerts
from factory.orchestration.resources.compute import Compute
from factory.orchestration.resources.gateway_records import GatewayRecords
from factory.orchestration.resources.lake import LakeStore
from factory.orchestration.resources.model_store import ModelStore
from factory.orchestration.resources.workbench import Workbench
from factory.orchestration.specs import operation_specs
from factory.orchestration.stage_config import StageConfig
from factory.orchestration.walk import Walk
from factory.pipeline.drift import DRIFT, DriftStages
from factory.pipeline.logged_outcomes import ServedOutcomeStages
from factory.pipeline.online_snapshot import CONTEXT, ContextStages
from factory.pipeline.operations import OUTCOMES, PREDICTIONS, OperationStages
from factory.pipeline.prediction_log import ServedStages
from factory.pipeline.tools import Tools
from factory.registry.registry import Registry


def operations_asset(line: Line, code: str, sites: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """Return the op `<line>_operations`."""

    @dg.multi_asset(
        name=f"{line.name}_operations",
        specs=operation_specs(line, sites),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def operations(  # noqa: PLR0913, PLR0917  resources come in as arguments
        context: dg.AssetExecutionContext,
        config: StageConfig,
        lake: LakeStore,
        compute: Compute,
        registry: Registry,
        workbench: Workbench,
        store: ModelStore,
        alerts: Alerts,
        records: GatewayRecords,
    ) -> Iterator[dg.MaterializeResult[None]]:
        tools = Tools.of(line, code, lake, compute, registry, workbench, context.log)
        stages = OperationStages(tools, store, config.moment(line))
        walk = Walk(context, line, tools.journal, config)
        if line.context:
            walk.stage([CONTEXT], ContextStages(tools, store, line.context).publish)
        walk.stage([PREDICTIONS], stages.predict)
        walk.stage([OUTCOMES], stages.join_outcomes)
        walk.stage([DRIFT], DriftStages(stages, alerts).judge)
        walk.stage([SERVED], ServedStages(tools, store, records).take_in)
        walk.stage([SERVED_OUTCOMES], ServedOutcomeStages(stages).join_outcomes)
        yield from walk.finish()

    return operations

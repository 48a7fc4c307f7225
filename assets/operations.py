"""What sites do with what they serve, all sites in one run.

context; predictions → outcomes → drift; served → served outcomes.
"""

from collections.abc import Iterator

import dagster as dg

from assets.context_stages import CONTEXT, ContextStages
from assets.drift_stages import DRIFT, DriftStages
from assets.operation_stages import OUTCOMES, PREDICTIONS, OperationStages
from assets.served_outcome_stages import ServedOutcomeStages
from assets.served_stages import ServedStages
from assets.specs import operation_specs
from assets.stage_config import StageConfig
from assets.stage_tools import Tools
from assets.walk import Walk
from factory.line import Line
from factory.served import SERVED
from factory.served_outcomes import SERVED_OUTCOMES
from resources.alerts import Alerts
from resources.compute import Compute
from resources.gateway_records import GatewayRecords
from resources.lake import LakeStore
from resources.model_store import ModelStore
from resources.registry import Registry
from resources.workbench import Workbench


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

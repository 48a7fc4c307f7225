"""The stage table as Dagster asset specs: description, kinds, owner, columns, and what each asset reads."""

from collections.abc import Sequence

import dagster as dg

from factory.line.line import Line
from factory.pipeline.stages import Step


def asset_key(line: Line, name: str) -> dg.AssetKey:
    """Return the key `<line>/<name>`."""
    return dg.AssetKey([line.name, *name.split("/")])


def specs(line: Line, steps: Sequence[Step], sites: dg.PartitionsDefinition[str] | None) -> list[dg.AssetSpec]:
    """Return the specs of what some steps make, partitioned by `sites` where they go through them."""
    return [spec for step in steps for spec in _of_step(line, step, sites)]


def _of_step(line: Line, step: Step, sites: dg.PartitionsDefinition[str] | None) -> list[dg.AssetSpec]:
    columns = [dg.TableColumn(name, kind, description=meaning) for name, kind, meaning in step.stage.columns(line)]
    return [
        dg.AssetSpec(
            asset_key(line, name),
            description=description,
            deps=[asset_key(line, read) for read in step.reads],
            kinds=set(step.stage.kinds),
            owners=[line.owner],
            group_name=line.name,
            partitions_def=sites,
            skippable=True,
            metadata={"dagster/column_schema": dg.TableSchema(columns=columns)} if columns else None,
        )
        for name, description in step.makes.items()
    ]

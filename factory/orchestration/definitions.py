"""A `Line` in, its Dagster definitions out: assets, jobs and checks, all made from the stage table."""

import dagster as dg

from factory.data.contract.compiler import compile_contract
from factory.line.file import LineFile
from factory.line.line import Line
from factory.line.sections import LineSections
from factory.orchestration.champion_sensor import champion_sensor, follow_job
from factory.orchestration.checks import door_check, serving_check
from factory.orchestration.line_job import line_job
from factory.orchestration.line_parts import LineParts
from factory.orchestration.line_source import SUFFIX, LineSource
from factory.orchestration.ops import asset_op
from factory.orchestration.sensors import drift_sensor, line_schedule, new_rows_sensor
from factory.orchestration.site_checks import asset_checks
from factory.orchestration.sites import sites_of
from factory.pipeline.fingerprints import LineCode
from factory.pipeline.stages import RUNS, steps


def line_definitions(line: Line, file: LineFile, sections: LineSections) -> dg.Definitions:
    """Return everything that makes the line run; its source and its contracts' places are what the file says."""
    parts = line_parts(line, file, sections)
    runs = {step.run for step in steps(line)}
    assets = [asset_op(parts, kind) for kind in RUNS if kind.name in runs]
    jobs = [
        dg.define_asset_job(
            f"{definition.node_def.name}_job",
            selection=dg.AssetSelection.assets(*definition.keys).without_checks(),
            description=f"{line.purpose} Run: {definition.node_def.name.removeprefix(line.name + '_')}.",
            tags={"line": line.name},
        )
        for definition in assets
    ]
    checks = dg.define_asset_job(
        f"{line.name}_checks_job",
        selection=dg.AssetSelection.checks_for_assets(*(key for definition in assets for key in definition.keys)),
        description="All checks, on what is there: contract, gates, freshness, and what is served has passed.",
        tags={"line": line.name},
    )
    return dg.Definitions(
        assets=assets,
        jobs=[*jobs, checks, follow_job(line), line_job(parts)],
        sensors=[champion_sensor(line), new_rows_sensor(line, parts.sites), drift_sensor(line)],
        schedules=[line_schedule(line, line.schedule)] if line.schedule else [],
        asset_checks=[
            serving_check(line, parts.sites),
            *([door_check(line)] if line.online_snapshot else []),
            *asset_checks(line),
        ],
        resources={f"{line.name}{SUFFIX}": parts.source, f"{line.name}_line": parts},
    )


def line_parts(line: Line, file: LineFile, sections: LineSections) -> LineParts:
    """Return what the orchestrator knows of a line; raises LineError where a contract cannot be compiled."""
    contracts = {
        name: compile_contract(
            table.contract,
            columns=table.columns,
            place=file.place("tables", name, "columns"),
            places=file.contract_places(name, sections.tables[name].contract),
            site_column=table.site_column,
            is_spelled_once=table.site_through is None,
            cursor=table.cursor,
        )
        for name, table in line.tables.items()
    }
    return LineParts(
        line=line,
        code=LineCode(line),
        source=LineSource(line, file, sections.source),
        contracts=contracts,
        sites=sites_of(line.name),
        project=file.project,
    )

"""A `Line` in, its Dagster definitions out: assets, jobs and checks."""

from collections.abc import Mapping

import dagster as dg

from factory.data.contract.compiler import compile_contract
from factory.line.file import LineFile, SourceSection
from factory.line.line import Line
from factory.model.provenance import code_digest, library_version, room_sources
from factory.orchestration.base_model_op import base_model_asset
from factory.orchestration.champion_sensor import champion_sensor, follow_job
from factory.orchestration.checks import serving_check
from factory.orchestration.data_op import data_assets
from factory.orchestration.line_job import line_job
from factory.orchestration.line_source import SUFFIX, LineSource
from factory.orchestration.models_op import models_asset
from factory.orchestration.operations_op import operations_asset
from factory.orchestration.sensors import drift_sensor, line_schedule, new_rows_sensor
from factory.orchestration.specs import asset_key

DECIDING_ROOMS = ("data", "features", "tasks", "training", "evaluation", "model")
"""The rooms that decide what a stage makes of its inputs; screens, servers and reports do not."""


def sites_of(line: str) -> dg.DynamicPartitionsDefinition:
    """Return a line's sites; adding one needs no deploy."""
    return dg.DynamicPartitionsDefinition(name=f"{line}_sites")


def line_definitions(line: Line, file: LineFile, source: SourceSection, places: Mapping[str, str]) -> dg.Definitions:
    """Return everything that makes the line run; `places` says where each table's contract stands."""
    sites = sites_of(line.name)
    opened = LineSource(line, file, source)
    contracts = {
        name: compile_contract(table.contract, columns=table.columns, place=places[name])
        for name, table in line.tables.items()
    }
    code = f"{library_version()}+{code_digest([*file.sources(), *room_sources(*DECIDING_ROOMS)])}"
    assets = [
        *data_assets(line, opened, contracts, code, sites),
        operations_asset(line, code, sites),
        base_model_asset(line, code),
        models_asset(line, code, sites),
    ]
    jobs = [
        dg.define_asset_job(
            f"{definition.node_def.name}_job",
            selection=dg.AssetSelection.assets(*definition.keys).without_checks(),
            description=f"{line.purpose} Stage: {definition.node_def.name.removeprefix(line.name + '_')}.",
            tags={"line": line.name},
        )
        for definition in assets
    ]
    checks = dg.define_asset_job(
        f"{line.name}_checks_job",
        selection=dg.AssetSelection.checks_for_assets(asset_key(line, "release")),
        description="What is served has passed: load every served model as the gateway would.",
        tags={"line": line.name},
    )
    return dg.Definitions(
        assets=assets,
        jobs=[*jobs, checks, follow_job(line), line_job(line)],
        sensors=[champion_sensor(line), new_rows_sensor(line, sites), drift_sensor(line)],
        schedules=[line_schedule(line, line.schedule)] if line.schedule else [],
        asset_checks=[serving_check(line, sites)],
        resources={f"{line.name}{SUFFIX}": opened},
    )

"""What the orchestrator knows of one line, and how a run's resources become the LineRun of its stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
from pydantic import Field

from factory.data.contract.contract import Contract
from factory.data.forgotten import without_forgotten
from factory.errors import LineError
from factory.errors.masking import masked
from factory.line.line import Line
from factory.orchestration.line_source import LineSource
from factory.pipeline.fingerprints import LineCode
from factory.pipeline.line_run import LineRun
from factory.pipeline.stages import NAMES, checked_stage

RESOURCES = {"lake", "compute", "registry", "scratch", "store", "alerts", "prediction_log", "outbox", "docs", "reports"}
"""The resources that a run of a line needs; the composition root binds them."""


@dataclass(frozen=True, kw_only=True)
class LineParts:
    """One line as it was loaded: what it is, the code that decides its results, and where its rows come from."""

    line: Line
    code: LineCode
    source: LineSource
    contracts: Mapping[str, Contract]
    sites: dg.DynamicPartitionsDefinition
    project: Path


class StageConfig(dg.Config):
    """How far a run looks, and where it begins."""

    until: str = Field(default="", description="as-of date YYYY-MM-DD, exclusive; empty: the line's own")
    redo_from: str = Field(
        default="",
        description=f"stage to begin with though nothing changed, leaving those before it alone: {', '.join(NAMES)}",
    )


def moment(until: str, line: Line) -> datetime:
    """Return the as-of moment (UTC, naive), the line's own if none is given; raises LineError when it is not a date."""
    if not until:
        return line.default_until
    try:
        return datetime.fromisoformat(until)
    except ValueError as error:
        raise LineError(f"line {line.name}: until={until!r} is not a date; write it as YYYY-MM-DD") from error


Context = dg.OpExecutionContext | dg.AssetExecutionContext


def masked_into(write: Callable[[str], None]) -> Callable[[str], None]:
    """Return what writes a stage's words without secrets."""
    return lambda text: write(masked(text))


def line_run(parts: LineParts, context: Context, config: StageConfig) -> LineRun:
    """Gather what a run's resources have for one line; raises LineError where the config has no date or stage."""
    bound, name = context.resources, parts.line.name
    lake = bound.lake.of(name)
    return LineRun(
        line=parts.line,
        code=parts.code,
        source=without_forgotten(parts.source, lake, parts.line),
        contracts=parts.contracts,
        lake=lake,
        journal=bound.lake.journal(name),
        compute=bound.compute,
        registry=bound.registry,
        store=bound.store,
        docs=bound.docs,
        alerts=bound.alerts,
        reports=bound.reports.of(name),
        prediction_log=bound.prediction_log,
        outbox=bound.outbox,
        scratch=bound.scratch,
        project=parts.project,
        run_id=context.run.run_id,
        until=moment(config.until, parts.line),
        redo_from=checked_stage(config.redo_from),
        say=masked_into(context.log.info),
        warn=masked_into(context.log.warning),
    )

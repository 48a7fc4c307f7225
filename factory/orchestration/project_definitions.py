"""A project's `lines/` as one Dagster code location, bound to an environment's resources."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from factory.orchestration.failure_sensor import failure_sensor
from factory.orchestration.line_source import line_sources


def project_definitions(
    root: Path,
    resources: Mapping[str, Any],
    *,
    data_folder: Path | None = None,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """Return the definitions of every line in `<root>/lines`; call it once a process, for Dagster asks several times.

    `data_folder` is where the lines' sources find their files, if not where each line's file says. Steps run in this
    process unless another `executor` is given: a step of its own process costs seconds. Raises what a line's file got
    wrong, as Dagster raises it (factory/orchestration/line_mistakes.py puts it into words).
    """
    _settle_libraries()
    lines = dg.load_from_defs_folder(path_within_project=root)
    if data_folder is not None:
        for source in line_sources(lines).values():
            source.bind(data_folder)
    shared = dg.Definitions(resources=dict(resources), sensors=[failure_sensor()], executor=executor)
    return dg.Definitions.merge(lines, shared)


def _settle_libraries() -> None:
    """Set what libraries read from the environment as they are loaded, unless somebody has."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing calls home unless its user says so
    # A registry that is down is asked for some 15 s a call and not for MLflow's four minutes: each site asks anew.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    # Torch's threads wait for each other by spinning: on a busy machine an epoch then takes eight times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""A project's `lines/` as one Dagster code location, bound to an environment's resources.

Beside the lines it has one sensor, which tells people of failed runs of any line.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from factory.monitoring.alerts import Alerts
from factory.orchestration.events import SITES_FAILED
from factory.orchestration.line_source import line_sources
from factory.orchestration.lines import lines_definitions
from factory.orchestration.site_failures import GOING_ON

IN_THIS_PROCESS = dg.in_process_executor.configured(GOING_ON)
"""Steps run in the run's own process, and go on with the sites that went through."""


def project_definitions(
    root: Path,
    resources: Mapping[str, Any],
    *,
    data_folder: Path | None = None,
    executor: dg.ExecutorDefinition = IN_THIS_PROCESS,
) -> dg.Definitions:
    """Return the definitions of every line in `<root>/lines`; call it once a process, for Dagster asks several times.

    `data_folder` is where the lines' sources find their files, if not where each line's file says. Steps run in this
    process unless another `executor` is given: a step of its own process costs seconds. Configure that one by
    `factory.orchestration.site_failures.GOING_ON` where it can be: in a run of assets an op then goes on with the sites
    that went through the one before. A line that cannot be loaded is there as a broken one and keeps no other from
    loading.
    """
    _set_library_defaults()
    lines = lines_definitions(root)
    if data_folder is not None:
        for source in line_sources(lines).values():
            source.bind(data_folder)
    shared = dg.Definitions(resources=dict(resources), sensors=[failure_sensor()], executor=executor)
    return dg.Definitions.merge(lines, shared)


def _set_library_defaults() -> None:
    """Set environment variables that libraries read as they are loaded; those that are set already stay."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # no telemetry unless the user wants it
    # A call to a registry that is down ends after some 15 s and not MLflow's four minutes, since each site calls anew.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    # Torch's threads wait for each other by spinning: on a busy machine an epoch then takes eight times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def failure_sensor() -> dg.SensorDefinition:
    """Return the sensor `tell_of_failed_runs`: one alert for each run that failed, with why and where to look."""

    @dg.run_failure_sensor(
        name="tell_of_failed_runs",
        description="One alert for each run that failed.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def tell_of_failed_runs(context: dg.RunFailureSensorContext, alerts: dg.ResourceParam[Alerts]) -> None:
        run = context.dagster_run
        alerts.tell(
            "run failed",
            f"{run.job_name} failed: {reasons(context)}",
            job=run.job_name,
            run=run.run_id,
            line=run.tags.get("line"),
        )

    return tell_of_failed_runs


def reasons(context: dg.RunFailureSensorContext) -> str:
    """Return why each step failed, by its Failure or its error; the run's message where no step did."""
    whys = []
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure and failure.label == SITES_FAILED:  # the run's last op tells of all of them
            continue
        error = event.step_failure_data.error
        whys.append((failure and failure.description) or (error and error.message.strip()) or "no reason was given")
    return "; ".join(dict.fromkeys(whys)) or context.failure_event.message or "no reason was given"

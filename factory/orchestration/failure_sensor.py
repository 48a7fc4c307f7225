"""Tells people of runs that failed, whichever line they belong to."""

import dagster as dg

from factory.monitoring.alerts import Alerts


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
    """Return why each step failed, as its own words or its error say; the run's message where no step did."""
    found = []
    for event in context.get_step_failure_events():
        told = event.step_failure_data.user_failure_data
        error = event.step_failure_data.error
        found.append((told and told.description) or (error and error.message.strip()) or "no reason was given")
    return "; ".join(found) or context.failure_event.message or "no reason was given"

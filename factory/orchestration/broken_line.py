"""A line that cannot be loaded, as definitions: an asset that says what is wrong, and a job that fails saying so.

The asset is in the line's own group, and the job has the name of the line's job, so that whoever looks for the line,
launches it or waits for it meets the reason and not a gap.
"""

import logging
import re
from dataclasses import dataclass
from hashlib import sha256

import dagster as dg

from factory.errors import FactoryError
from factory.monitoring.alerts import Alerts
from factory.orchestration.line_job import job_name

_log = logging.getLogger("factory.lines")


@dataclass(frozen=True, kw_only=True)
class BrokenLine:
    """A line's name, and why it cannot be loaded."""

    name: str
    error: FactoryError


def broken_line(name: str, error: FactoryError) -> dg.Definitions:
    """Return what stands for a line that cannot be loaded, and say so in the log of whoever loads it."""
    _log.warning("line %s cannot be loaded, the others can: %s", name, error)
    group = _group(name)
    mistakes = "\n".join(f"    {line}" for line in str(error).splitlines())

    @dg.asset(
        name="cannot_be_loaded",
        key_prefix=group,
        group_name=group,
        kinds={"yaml"},
        description=f"The line **{name}** cannot be loaded:\n\n{mistakes}\n\nMend it and reload the code location.",
        tags={"factory/broken": ""},
    )
    def cannot_be_loaded() -> None:
        raise dg.Failure(description=f"line {name} cannot be loaded: {error}", allow_retries=False)

    @dg.sensor(
        name=f"tell_that_{group}_cannot_be_loaded",
        description="One alert for each new reason why the line cannot be loaded.",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def tell(context: dg.SensorEvaluationContext, alerts: dg.ResourceParam[Alerts]) -> dg.SkipReason:
        reason = sha256(str(error).encode()).hexdigest()
        if context.cursor != reason:
            alerts.tell("line cannot be loaded", f"line {name} cannot be loaded: {error}", line=name)
            context.update_cursor(reason)
        return dg.SkipReason(f"line {name} cannot be loaded: {error}")

    return dg.Definitions(
        assets=[cannot_be_loaded],
        sensors=[tell],
        jobs=[dg.define_asset_job(job_name(group), selection=[cannot_be_loaded], tags={"line": group})],
        resources={f"{group}_line": BrokenLine(name=name, error=error)},
    )


def _group(name: str) -> str:
    """Return what the orchestrator takes for a group: the line's name, or one like it that no other folder has."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain == name else f"{plain}_{sha256(name.encode()).hexdigest()[:6]}"


def broken_lines(definitions: dg.Definitions) -> dict[str, FactoryError]:
    """Return why each line that cannot be loaded cannot, by the line's name."""
    bound = (definitions.resources or {}).values()
    return {line.name: line.error for line in bound if isinstance(line, BrokenLine)}

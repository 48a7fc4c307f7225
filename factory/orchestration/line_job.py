"""The job `<line>_line_job`: the whole line for some sites, or its operations alone, as one thing to ask for.

A line is several runs in a row, for the orchestrator skips what comes after a step with a failed site. The job's one op
launches them, as `factory run` does from a terminal: what a sensor, a schedule or a person asks for is done by the same
code, and the runs it makes are in the UI beside it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from factory.line.line import Line
from factory.names import checked_name
from factory.orchestration.resources.launcher import Launcher

CAUSE = "factory/cause"
ONE_AT_A_TIME = "factory/line"
"""The tag by which the orchestrator's queue lets one such run of a line go at a time (project.py)."""


class LineConfig(dg.Config):
    """What to run."""

    sites: list[str] = Field(default=[], description="all that the source knows when empty")
    until: str = Field(default="", description="as-of date YYYY-MM-DD, exclusive; empty: the line's own")
    operate_only: bool = Field(
        default=False, description="bring rows in, predict, join outcomes and judge drift; train and release nothing"
    )


def line_job(line: Line) -> dg.JobDefinition:
    """Return the job."""

    @dg.op(name=f"{line.name}_line", description="Launches the line's runs, one after the other.")
    def launch(context: dg.OpExecutionContext, config: LineConfig, launcher: Launcher) -> None:
        failed: list[str] = []

        def show(event: Mapping[str, Any]) -> None:
            text, is_failure = _told(event)
            failed.extend([text] if is_failure else [])
            if text:
                context.log.log(logging.ERROR if is_failure else logging.INFO, text)

        code = launcher.launch(words_of(line.name, config), show)
        if code:
            raise dg.Failure(
                f"line {line.name} ended with exit code {code}: {'; '.join(failed) or 'see its log'}",
                metadata={"exit_code": code},
            )

    @dg.job(name=f"{line.name}_line_job", tags={ONE_AT_A_TIME: line.name}, description=line_job.__doc__)
    def job() -> None:
        launch()

    return job


def words_of(line: str, config: LineConfig) -> list[str]:
    """Return the words that `definitions.py` does it by."""
    sites = ",".join(checked_name(site) for site in config.sites)
    options = {"--sites": sites, "--until": config.until}
    told = [word for name, text in options.items() if text for word in (name, text)]
    return ["operate" if config.operate_only else "run", line, *told]


def request(line: str, key: str, cause: str, sites: Sequence[str], until: str, *, operate_only: bool) -> dg.RunRequest:
    """Return the request for one run of the job."""
    config = {"sites": list(sites), "until": until, "operate_only": operate_only}
    run_config = {"ops": {f"{line}_line": {"config": config}}}
    return dg.RunRequest(run_key=key, run_config=run_config, tags={CAUSE: cause})


def _told(event: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what an event says in one line, empty where nothing, and whether it tells of a failure."""
    match event.get("event"):
        case "stage":
            return f"{event['stage']}: {len(event['todo'])} to do, {event['unchanged']} unchanged", False
        case "failed" | "site_failed":
            return str(event["text"]), True
        case "say" | "told" | "stopped":
            return str(event["text"]), False
        case "run":
            return f"{event['name']}: run {event['run']}", False
        case "summary":
            return f"released {event['released']}, kept {event['kept']}, refused {event['refused']}", False
    return "", False

"""Runs of lines, submitted to the orchestrator's instance from a terminal or a program.

Where the instance has Dagster's local launcher and no daemon takes runs from its queue, this very process executes the
run it submitted: that is as quick as a function call and needs no server. Anywhere else the run goes through the
instance's queue and launcher, which have their say: a pod, a pool, a place in line. Either way what happens is read
from the run's event log.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import dagster as dg
from dagster._core.definitions.job_base import IJob, InMemoryJob
from dagster._core.errors import DagsterExecutionInterruptedError  # what Dagster makes of a signal while a step runs
from dagster._core.execution.api import execute_run
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.utils import make_new_run_id  # the one way to know a run's id before it starts
from dagster._utils.hosted_user_process import recon_job_from_origin

from factory.connectors.source import named_sites
from factory.errors import NameRefused
from factory.names import checked_name, require_line
from factory.orchestration.broken_line import broken_lines
from factory.orchestration.events import read
from factory.orchestration.line_job import as_of, job_name, run_config
from factory.orchestration.line_parts import LineParts, StageConfig, moment
from factory.orchestration.origin import job_origins
from factory.orchestration.project_definitions import IN_THIS_PROCESS
from factory.orchestration.resources import opened
from factory.orchestration.sites import known_sites, require_known_sites, require_sites
from factory.orchestration.stopping import (
    LAUNCH,
    cancel_dead_runs,
    launch_lock,
    obeying,
    record_canceled,
    signals_deferred,
)
from factory.pipeline.events import (
    Event,
    LineOutcome,
    LineOver,
    LineRequest,
    RunSubmitted,
    Said,
    Show,
    Stopped,
)
from factory.release.store import ModelStore
from factory.storage.faults import storage_faults

POLL_S = 0.25
SILENT_S = 90.0
"""Seconds without a sign of life after which the daemon is taken for gone; it gives one every 30. Dagster itself
believes in it for half an hour, for which a command would wait in a queue that nobody serves."""


@dataclass(frozen=True, kw_only=True)
class Interruptions:
    """The signals that asked this process to stop; none by default."""

    obey: Callable[[], None] = lambda: None
    """Raises KeyboardInterrupt if the process was asked to stop, though the handler of that moment did not."""
    signal: Callable[[], int] = lambda: 2
    """The signal by which it was asked."""


@dataclass(kw_only=True)
class LineLauncher:
    """Submits runs of a project's lines; keeps factory.pipeline.events.Lines."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    root: Path | None = None
    """The project's folder, by which other processes find its code; None: runs can only be executed here."""
    interruptions: Interruptions = field(default_factory=Interruptions)

    def parts(self, line: str) -> LineParts:
        """Return a line as it was loaded; raises why it could not be, or LineError, which lists the lines there are."""
        lines = line_parts(self.definitions)
        if line in (broken := broken_lines(self.definitions)):
            raise broken[line]
        require_line(line, lines)
        return lines[line]

    def sites(self, line: str, until: str) -> list[str]:
        """Return the sites that the source has and nobody removed, as far as their names can be used."""
        parts, removed = self.parts(line), self.store.removed_sites(line)
        at_source = named_sites(parts.source, parts.line.decisions, moment(until, parts.line))
        return [site for site in at_source if site not in removed and _is_fit(site)]

    @property
    def store(self) -> ModelStore:
        """What the sites serve, and their histories."""
        store: ModelStore = opened((self.definitions.resources or {})["store"])
        return store

    def require_sites(self, line: str, sites: Sequence[str], until: str = "") -> None:
        """Raise NameRefused on a site that neither the line nor its source has, or that somebody removed.

        The source is asked only for sites that the line does not have yet.
        """
        known, removed = set(known_sites(self.instance, line)), self.store.removed_sites(line)
        if not known.issuperset(sites):
            parts = self.parts(line)
            newest = max(moment(until, parts.line), parts.line.default_until)
            known.update(named_sites(parts.source, parts.line.decisions, newest))
        require_sites(line, sites, known | removed.keys())
        for site in sites:
            if site in removed:
                raise NameRefused(f"site {site}: {removed[site]}")

    def run(self, request: LineRequest, show: Show) -> LineOutcome:
        """Have a run made, hand on its events, and return its outcome.

        Raises FactoryError where nothing could start, and Stopped, with the run on record as canceled.
        """
        self.interruptions.obey()
        self._require(request)
        outcome = LineOutcome()

        def take(event: Event) -> None:
            outcome.take(event)
            show(event)

        for dead in cancel_dead_runs(self.instance, request.line):
            take(Said(text=f"run {dead} was under way when its process died: now recorded as canceled", level=30))
        try:
            with storage_faults(self.instance.root_directory):
                self._begin(request, take)
        except (KeyboardInterrupt, DagsterExecutionInterruptedError) as error:
            raise Stopped(self.interruptions.signal()) from error
        take(LineOver(outcome=outcome))
        return outcome

    def _begin(self, request: LineRequest, take: Show) -> None:
        if self._is_executed_here:
            self._execute_here(request, take)
        else:
            self._submit(request, take)

    def _require(self, request: LineRequest) -> None:
        """Raise FactoryError where a request cannot be right, before anything is on record."""
        parts = self.parts(request.line)
        request.require_names()
        if request.sites:
            self.require_sites(request.line, request.sites, request.until)
        if request.redo_from and not request.sites:
            require_known_sites(self.instance, request.line)
        lake = opened((self.definitions.resources or {})["lake"])
        as_of(parts, lake.journal(request.line), StageConfig(until=request.until, redo_from=request.redo_from))

    @property
    def _is_executed_here(self) -> bool:
        """Whether nobody but this process could take the run from the instance."""
        is_local = isinstance(self.instance.run_launcher, DefaultRunLauncher)
        return self.root is None or (is_local and not has_queue(self.instance))

    def _tags(self, request: LineRequest) -> dict[str, str]:
        return {"factory/from": request.redo_from} if request.redo_from else {}

    def _execute_here(self, request: LineRequest, take: Show) -> None:
        job = self.definitions.resolve_job_def(job_name(request.line))
        run_id = make_new_run_id()
        with launch_lock(self.instance) as launch, self._canceled_if_stopped(run_id):
            run = self.instance.create_run_for_job(
                job_def=job,
                run_id=run_id,
                run_config=run_config(request),
                tags={**job.run_tags, **self._tags(request), LAUNCH: launch},
                **(job_origins(self.root, job.name) if self.root else {}),
            )
            take(RunSubmitted(job=job.name, run_id=run_id))
            with (
                following(self.instance, run_id, take),
                _log(self.instance) as log,
                contextlib.redirect_stderr(log),
                obeying(self.interruptions.obey),
            ):
                execute_run(self._executable(job), run, self.instance)

    def _executable(self, job: dg.JobDefinition) -> IJob:
        """Return the job for its own executor, which may start processes that load the project anew."""
        if job.executor_def in (dg.in_process_executor, IN_THIS_PROCESS) or self.root is None:
            return InMemoryJob(job)
        origin = job_origins(self.root, job.name)["job_code_origin"]
        return recon_job_from_origin(origin)

    def _submit(self, request: LineRequest, take: Show) -> None:
        """Submit through the workspace, as `dagster job launch` does, and follow until the run is over."""
        from dagster._cli.job import execute_launch_command
        from dagster_shared.cli import WorkspaceOpts

        run = execute_launch_command(
            instance=self.instance,
            workspace_opts=WorkspaceOpts(workspace=(str(Path(self.root or ".") / "workspace.yaml"),)),
            config_json=json.dumps(run_config(request)),
            tags=json.dumps(self._tags(request)),
            job_name=job_name(request.line),
        )
        take(RunSubmitted(job=run.job_name, run_id=run.run_id))
        follower = Follower(self.instance, run.run_id, take)
        try:
            while not self._is_finished(run.run_id):
                self.interruptions.obey()
                follower.read()
                if self._is_left_in_the_queue(run.run_id):
                    self.instance.run_coordinator.cancel_run(run.run_id)
                    take(Said(text="the daemon that takes runs from the queue is gone: executed here", level=30))
                    return self._execute_here(request, take)
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            self.instance.run_coordinator.cancel_run(run.run_id)
            raise
        finally:
            follower.read()

    def _is_finished(self, run_id: str) -> bool:
        run = self.instance.get_run_by_id(run_id)
        return run is None or run.is_finished

    def _is_left_in_the_queue(self, run_id: str) -> bool:
        """Whether nobody is there any more who would take the run, and this process can."""
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.status is dg.DagsterRunStatus.QUEUED and self._is_executed_here

    @contextmanager
    def _canceled_if_stopped(self, run_id: str) -> Iterator[None]:
        """Record the run as canceled if it was interrupted, whether or not the orchestrator let that through."""
        try:
            yield
            self.interruptions.obey()
        except BaseException:
            with signals_deferred():
                record_canceled(self.instance, run_id)
            raise


def has_queue(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon is alive that takes runs from the instance's queue."""
    from dagster._daemon.controller import get_daemon_statuses

    kind = "QUEUED_RUN_COORDINATOR"
    statuses = get_daemon_statuses(instance, [kind], heartbeat_interval_seconds=0, heartbeat_tolerance_seconds=SILENT_S)
    return bool(statuses[kind].healthy)


def line_parts(definitions: dg.Definitions) -> dict[str, LineParts]:
    """Return each line's parts by its name, in the order of the names."""
    bound: Mapping[str, Any] = definitions.resources or {}
    by_name = {parts.line.name: parts for parts in bound.values() if isinstance(parts, LineParts)}
    return dict(sorted(by_name.items()))


class Follower:
    """Reads a run's event log from where it last was, and hands on what a person wants to see."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, take: Show) -> None:
        self.instance = instance
        self.run_id = run_id
        self.take = take
        self._cursor: str | None = None

    def read(self) -> None:
        """Hand on all events since the last call."""
        more = True
        while more:
            page = self.instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=500)
            self._cursor, more = page.cursor, page.has_more
            for record in page.records:
                event = read(record.event_log_entry)
                if event is not None:
                    self.take(event)


@contextmanager
def following(instance: dg.DagsterInstance, run_id: str, take: Show) -> Iterator[None]:
    """Follow a run in a thread of its own while the block executes it."""
    follower, over = Follower(instance, run_id, take), threading.Event()

    def follow() -> None:
        while not over.wait(POLL_S):
            follower.read()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        follower.read()


def _log(instance: dg.DagsterInstance) -> TextIO:
    """Return the file that takes what the orchestrator and libraries write beside a run executed here."""
    return (Path(instance.root_directory) / "launch.log").open("a", encoding="utf-8")


def _is_fit(site: str) -> bool:
    try:
        checked_name(site)
    except NameRefused:
        return False
    return True

"""Drives a whole line through Dagster: references, data, base model, models, each its own run.

What happens is written to standard output as JSON, one event a line, for whoever shows it to a person:

    {"event": "run", "name": "departure_delay_data", "run": "…", "sites": 16}
    {"event": "site", "stage": "clean", "site": "UA", "changed": true}
    {"event": "say", "text": "epoch 3: …"}
    {"event": "failed", "text": "…"}
    {"event": "end", "changed": 42, "failed": 0}
"""

import argparse
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.utils import make_new_run_id  # the one way to know a run's id before it starts

from assets.line_mistakes import line_mistake
from assets.line_source import LineSource
from assets.stage_config import moment
from factory.errors import FactoryError, LineError, NameRefused
from factory.file_lock import held_lock
from factory.names import checked_name
from factory.project import prepare_orchestrator

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
POLL_S = 0.25


def main(words: Sequence[str], definitions: Callable[[], dg.Definitions], home: Path) -> int:
    """Do what the words ask for; return 0 if every site went through, 1 if one failed, 2 if nothing could start."""
    parser = argparse.ArgumentParser(prog="definitions.py")
    parser.add_argument("what", choices=["run", "add-sites"])
    parser.add_argument("line")
    parser.add_argument("--sites", default="", help="comma-separated; all that the source knows when left out")
    parser.add_argument("--until", default="", help="as-of date YYYY-MM-DD, exclusive")
    asked = parser.parse_args(words)
    named = [name for name in asked.sites.split(",") if name]
    with opened_instance(home / "dagster") as instance:
        try:
            launch = Launch(asked.line, _loaded(definitions), instance)
            return launch.run(named, asked.until) if asked.what == "run" else launch.add(named)
        except (FactoryError, dg.DagsterError) as error:
            emit("failed", text=f"{type(error).__name__}: {error}")
            return 2


def _loaded(definitions: Callable[[], dg.Definitions]) -> dg.Definitions:
    try:
        return definitions()
    except Exception as error:  # whatever a line's file made the loader stumble over, a person gets one message
        raise line_mistake(error) from error


@contextmanager
def opened_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a folder, made on first use; runs launched here are in the UI too."""
    prepare_orchestrator(folder)
    with held_lock(folder / "opening.lock"):  # two that make its databases at once spoil them for good
        opened = dg.DagsterInstance.from_config(str(folder))
    with opened as instance:
        yield instance


def emit(event: str, **what: Any) -> None:
    """Tell whoever reads standard output what happened."""
    sys.stdout.write(json.dumps({"event": event, **what}, default=str) + "\n")
    sys.stdout.flush()


class Launch:
    """The runs of one line, in order."""

    def __init__(self, line: str, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.line = checked_name(line, "line")
        self.definitions = definitions
        self.instance = instance
        self.changed = 0
        self.failed: set[str] = set()
        sources = definitions.resources or {}
        if f"{line}_source" not in sources:
            known = sorted(name.removesuffix("_source") for name in sources if name.endswith("_source"))
            raise LineError(f"there is no line {line!r}; lines/ has {', '.join(known) or 'none'}")
        self.source: LineSource = sources[f"{line}_source"]

    def add(self, sites: Sequence[str]) -> int:
        """Add sites to the line; one that is there already stays."""
        for site in sites:
            checked_name(site)
        with held_lock(Path(self.instance.root_directory) / "sites.lock"):  # looking and adding are two steps
            self.instance.add_dynamic_partitions(f"{self.line}_sites", list(sites))
        return 0

    def run(self, sites: Sequence[str], until: str) -> int:
        """Run every stage for the sites, or for all that the source knows; a failed site is left out from there on."""
        chosen = list(sites) or self._known_to_the_source(until)
        self.add(chosen)
        emit("start", sites=len(chosen))
        if self.source.line.shared_tables:
            self._stage("references", until, None)
        for stage in ("data", "base_model", "models"):
            going = [site for site in chosen if site not in self.failed]
            if going:
                self._stage(stage, until, None if stage == "base_model" else going)
        self._check()
        emit("end", changed=self.changed, failed=sorted(self.failed))
        return 1 if self.failed else 0

    def _known_to_the_source(self, until: str) -> list[str]:
        """Return the sites that the source has; one whose name is refused fails by itself, and the others go on."""
        sound = []
        for site in self.source.sites(self.source.line.decisions, moment(until, self.source.line)):
            try:
                sound.append(checked_name(site))
            except NameRefused as error:
                emit("failed", text=str(error))
                self.failed.add(site)
        return sound

    def _check(self) -> None:
        """Load every served model as the gateway would; what it must refuse is told, and its site has failed."""
        job = self.definitions.resolve_job_def(f"{self.line}_checks_job")
        done = job.execute_in_process(instance=self.instance, raise_on_error=False)
        if not done.success:
            raise FactoryError(f"line {self.line}: what is served could not be checked; see the run in the UI")
        for check in done.get_asset_check_evaluations():
            refused = check.metadata["refused"].value
            for site, why in refused.items() if isinstance(refused, dict) else ():
                emit("failed", text=f"{site}: {why}")
                self.failed.add(site)

    def _stage(self, stage: str, until: str, sites: Sequence[str] | None) -> None:
        name = f"{self.line}_{stage}"
        if sites is None:
            self._run(name, until, {}, [])
            return
        groups = neighbours(sites, self.instance.get_dynamic_partitions(f"{self.line}_sites"))
        # Features know what neighbours did: with several groups, all of them are clean before the first has features.
        parts = self._data_then_features(name) if stage == "data" and len(groups) > 1 else [None]
        for part in parts:
            for group in groups:
                going = [site for site in group if site not in self.failed]
                if going:
                    self._run(name, until, {RANGE_START: group[0], RANGE_END: group[-1]}, group, part)

    def _data_then_features(self, name: str) -> list[Sequence[dg.AssetKey]]:
        keys = self.definitions.resolve_job_def(f"{name}_job").asset_layer.executable_asset_keys
        features = [key for key in keys if key.path[-1] == "features"]
        return [[key for key in keys if key not in features], features]

    def _run(
        self,
        name: str,
        until: str,
        tags: dict[str, str],
        sites: Sequence[str],
        part: Sequence[dg.AssetKey] | None = None,
    ) -> None:
        run_id = make_new_run_id()
        emit("run", name=name, run=run_id, sites=len(sites))
        job = self.definitions.resolve_job_def(f"{name}_job")
        with Tail(self.instance, run_id) as tail:
            done = job.execute_in_process(
                run_config={"ops": {name: {"config": {"until": until}}}},
                instance=self.instance,
                tags=tags,
                asset_selection=part,
                run_id=run_id,
                raise_on_error=False,
            )
        self.changed += tail.changed
        if done.success:
            return
        emit("failed", text=tail.failure)
        self.failed |= tail.failed or set(sites)
        if not sites:
            raise FactoryError(f"{name} failed, and without it nothing after it can run: {tail.failure}")


def neighbours(sites: Sequence[str], known: Sequence[str]) -> list[list[str]]:
    """Return the sites in the order of the partitions, cut where two are not neighbours: one run takes a range."""
    wanted = [site for site in known if site in set(sites)]
    place = {site: number for number, site in enumerate(known)}
    cuts = [0, *(n for n, (a, b) in enumerate(pairwise(wanted), 1) if place[b] != place[a] + 1), len(wanted)]
    return [wanted[start:end] for start, end in pairwise(cuts) if start < end]


class Tail:
    """Follows one run's event log and passes on what a person wants to see."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self.instance = instance
        self.run_id = run_id
        self.changed = 0
        self.failed: set[str] = set()
        self.failure = ""
        self._cursor: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Tail":
        """Begin to follow."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Pass on what is left, and stop."""
        self._over.set()
        self._thread.join()
        self._read()

    def _follow(self) -> None:
        while not self._over.wait(POLL_S):
            self._read()

    def _read(self) -> None:
        more = True
        while more:
            page = self.instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=500)
            self._cursor, more = page.cursor, page.has_more
            for record in page.records:
                self._pass_on(record.event_log_entry)

    def _pass_on(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            if int(entry.level) >= logging.INFO:
                emit("say", text=entry.user_message.splitlines()[0], level=entry.level)
            return
        if event.is_step_materialization:
            made = event.step_materialization_data.materialization
            changed = bool(made.metadata["changed"].value)
            self.changed += changed
            emit("site", stage="/".join(made.asset_key.path[1:]), site=made.partition, changed=changed)
        elif event.is_step_failure:
            failure = event.step_failure_data
            told = failure.user_failure_data
            self.failure = told.description if told and told.description else str(failure.error_display_string)
            self.failed |= set(told.metadata) if told else set()

"""Follows the event logs of runs and passes on, as JSON, what a person wants to see; keeps the tally of a launch.

{"event": "run", "name": "departure_delay_data", "run": "…", "sites": 16}
{"event": "stage", "stage": "clean", "todo": ["UA", "DL"], "unchanged": 14, "at": 1764021537.1}
{"event": "site", "stage": "clean", "site": "UA", "changed": true, "at": 1764021538.2}
{"event": "site_failed", "stage": "clean", "site": "OO", "text": "…", "at": 1764021538.3}
{"event": "say", "text": "epoch 3: …", "level": 20}
{"event": "failed", "text": "…"}
{"event": "summary", "changed": {"clean": 2}, "released": ["UA"], "seconds": {"clean": 1.1}, …}
{"event": "end", "changed": 42, "failed": []}
{"event": "stopped", "text": "…"}
"""

import json
import logging
import sys
import threading
from collections import Counter
from typing import Any

import dagster as dg

from factory.orchestration.walk import BEGUN, FAILED

POLL_S = 0.25


def emit(event: str, **what: Any) -> None:
    """Tell whoever reads standard output what happened."""
    sys.stdout.write(json.dumps({"event": event, **what}, default=str) + "\n")
    sys.stdout.flush()


class Tally:
    """What a launch has done so far, over all its runs."""

    def __init__(self) -> None:
        self.changed: Counter[str] = Counter()
        self.unchanged: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.released: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.runs: list[tuple[str, str]] = []
        self._stage, self._since, self._last = "", 0.0, 0.0

    def begun(self, stage: str, at: float) -> None:
        """Note that a stage begins, and so that the one before has ended."""
        self.ended()
        self._stage, self._since, self._last = stage, at, at

    def ended(self) -> None:
        """Give the stage under way the time until its last event."""
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + self._last - self._since
        self._stage = ""

    def made(self, stage: str, site: str, *, changed: bool, release: str | None, at: float) -> None:
        """Count one site through one stage; `release` is what became of its candidate there."""
        self._last = at
        (self.changed if changed else self.unchanged)[stage] += 1
        if release:
            self.released[site] = release

    def site_failed(self, site: str, why: str, at: float) -> None:
        """Note what stopped a site."""
        self._last = at
        self.failed[site] = why

    def summary(self) -> dict[str, Any]:
        """Return the whole for a person: counts by stage, sites by what became of them, seconds, runs."""
        self.ended()
        became = {kind: sorted(site for site, what in self.released.items() if what == kind) for kind in _KINDS}
        seconds = {stage: round(value, 2) for stage, value in self.seconds.items()}
        stages = {"changed": dict(self.changed), "unchanged": dict(self.unchanged), "seconds": seconds}
        return {**stages, **became, "failed": self.failed, "runs": [{"name": n, "run": r} for n, r in self.runs]}


_KINDS = ("released", "kept", "refused", "held_back")


class Tail:
    """Follows one run's event log, passes on what a person wants to see, and adds to the tally."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, tally: Tally) -> None:
        self.instance = instance
        self.run_id = run_id
        self.tally = tally
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
        self.tally.ended()

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
                self._said(entry.user_message.splitlines()[0], int(entry.level), entry.timestamp)
        elif event.is_step_materialization:
            self._made(event.step_materialization_data.materialization, entry.timestamp)
        elif event.is_step_failure:
            failure = event.step_failure_data
            told = failure.user_failure_data
            self.failure = told.description if told and told.description else str(failure.error_display_string)
            self.failed |= set(told.metadata) if told else set()

    def _said(self, text: str, level: int, at: float) -> None:
        """Pass on a line of the log; those that the walk writes are told as what they are."""
        if begun := BEGUN.fullmatch(text):
            stage, todo, unchanged = begun.groups()
            self.tally.begun(stage, at)
            emit("stage", stage=stage, todo=todo.split(", ") if todo else [], unchanged=int(unchanged), at=at)
        elif failed := FAILED.fullmatch(text):
            stage, site, why = failed.groups()
            self.tally.site_failed(site, f"{stage}: {why}", at)
            emit("site_failed", stage=stage, site=site, text=text, at=at)
        else:
            emit("say", text=text, level=level)

    def _made(self, made: dg.AssetMaterialization, at: float) -> None:
        stage, changed = "/".join(made.asset_key.path[1:]), bool(made.metadata["changed"].value)
        release = _release(made, changed=changed) if stage == "release" else None
        self.tally.made(stage, made.partition or "", changed=changed, release=release, at=at)
        emit("site", stage=stage, site=made.partition, changed=changed, at=at)


def _release(made: dg.AssetMaterialization, *, changed: bool) -> str:
    """Return what became of a candidate: one of `_KINDS`."""
    if not made.metadata["passed"].value:
        return "refused"
    return "released" if changed else "held_back" if "held_back" in made.metadata else "kept"

"""What a sensor has asked for, in its cursor: one thing a site, asked for again while its run fails, and not for ever.

A run key is never used twice: it counts attempts, since the orchestrator drops a request whose key it knows, also when
that key's run has failed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

import dagster as dg

MAX_ATTEMPTS = 3


class Asked(NamedTuple):
    """A site's mark, how often a run was asked for because of it (0: not yet), and the last such run's key."""

    mark: str
    attempt: int
    key: str


class Attempts:
    """Decides which sites a sensor asks a run for; `patience` is how many ticks a mark must last before the first."""

    def __init__(self, name: str, context: dg.SensorEvaluationContext, *, patience: int = 0) -> None:
        self.name = name
        self.patience = patience
        self._instance = context.instance
        self._asked = {site: Asked(*told) for site, told in json.loads(context.cursor or "{}").items()}
        self._over: dict[str, bool] = {}

    def due(self, marks: Mapping[str, str]) -> dict[str, list[str]]:
        """Return the sites to ask for now, by run key: those whose mark is new, or whose last run for it failed.

        What a site has no mark for any more is forgotten.
        """
        groups: dict[int, list[str]] = {}
        now: dict[str, Asked] = {}
        for site, mark in sorted(marks.items()):
            told = self._asked.get(site, Asked("", 0, ""))
            now[site] = next_one = self._next(told, mark)
            if next_one.attempt > 0 and next_one != told:
                groups.setdefault(next_one.attempt, []).append(site)
        keyed = {self._key(sites, now, attempt): sites for attempt, sites in groups.items()}
        for key, sites in keyed.items():
            now.update({site: now[site]._replace(key=key) for site in sites})
        self._asked = now
        return keyed

    @property
    def cursor(self) -> str:
        """What to remember until the next tick."""
        return json.dumps(self._asked, sort_keys=True, separators=(",", ":"))

    def _next(self, told: Asked, mark: str) -> Asked:
        if told.mark != mark:
            return Asked(mark, 0 if self.patience else 1, "")
        if told.attempt == 0 or (told.attempt < MAX_ATTEMPTS and self._failed(told.key)):
            return Asked(mark, told.attempt + 1, told.key)
        return told

    def _key(self, sites: list[str], now: Mapping[str, Asked], attempt: int) -> str:
        told = json.dumps([[site, now[site].mark] for site in sites])
        return f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}-{attempt}"

    def _failed(self, key: str) -> bool:
        """Whether the run of that key is over and did not go through."""
        if key not in self._over:
            found = self._instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
            self._over[key] = bool(found) and found[0].is_failure_or_canceled
        return self._over[key]

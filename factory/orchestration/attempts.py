"""What a sensor has requested, in its cursor: a run for each site's token, again while it fails, three times at most.

A token names what a site waits for, such as a cursor or an alert. A run key is never used twice: it counts attempts,
since the orchestrator drops a request whose key it knows, even when that key's run has failed.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

import dagster as dg

MAX_ATTEMPTS = 3


class Attempt(NamedTuple):
    """A site's token, how often a run was requested for it (0: not yet), and the last such run's key."""

    token: str
    attempt: int
    key: str


class Attempts:
    """Decides which sites a sensor asks a run for; `patience` is how many ticks a token must last before the first."""

    def __init__(self, name: str, context: dg.SensorEvaluationContext, *, patience: int = 0) -> None:
        self.name = name
        self.patience = patience
        self._instance = context.instance
        self._attempts = {site: Attempt(*stored) for site, stored in json.loads(context.cursor or "{}").items()}
        self._over: dict[str, bool] = {}

    def due(self, tokens: Mapping[str, str]) -> dict[str, list[str]]:
        """Return the sites to ask for now, by run key: those whose token is new, or whose last run for it failed.

        A site without a token is forgotten.
        """
        groups: dict[int, list[str]] = {}
        now: dict[str, Attempt] = {}
        for site, token in sorted(tokens.items()):
            last = self._attempts.get(site, Attempt("", 0, ""))
            now[site] = following = self._next(last, token)
            if following.attempt > 0 and following != last:
                groups.setdefault(following.attempt, []).append(site)
        keyed = {self._key(sites, now, attempt): sites for attempt, sites in groups.items()}
        for key, sites in keyed.items():
            now.update({site: now[site]._replace(key=key) for site in sites})
        self._attempts = now
        return keyed

    @property
    def cursor(self) -> str:
        """What to remember until the next tick."""
        return json.dumps(self._attempts, sort_keys=True, separators=(",", ":"))

    def _next(self, last: Attempt, token: str) -> Attempt:
        if last.token != token:
            return Attempt(token, 0 if self.patience else 1, "")
        if last.attempt == 0 or (last.attempt < MAX_ATTEMPTS and self._failed(last.key)):
            return Attempt(token, last.attempt + 1, last.key)
        return last

    def _key(self, sites: list[str], now: Mapping[str, Attempt], attempt: int) -> str:
        tokens = json.dumps([[site, now[site].token] for site in sites])
        return f"{self.name}-{hashlib.sha256(tokens.encode()).hexdigest()[:12]}-{attempt}"

    def _failed(self, key: str) -> bool:
        """Whether the run of that key is over and did not go through."""
        if key not in self._over:
            runs = self._instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
            self._over[key] = bool(runs) and runs[0].is_failure_or_canceled
        return self._over[key]

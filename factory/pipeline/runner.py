"""Takes the sites of one run through stages: a site that fails drops out, says why, and harms no other."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from factory.compute.isolation import Isolated
from factory.errors import FactoryError, LakeError, LineError
from factory.pipeline.line_run import LineRun
from factory.pipeline.stages import Step, comes_before
from factory.pipeline.work import CHANGED, Figures
from factory.storage.journal import fingerprint


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a step has of one site now, whether or not this run made it."""

    step: Step
    site: str
    figures: Figures
    fingerprint: str | None
    changed: bool
    is_left_alone: bool = False
    """Whether the step had nothing to do for the site, and told so as it began."""


class Listener(Protocol):
    """Is told what happens, as it happens."""

    def begun(self, step: Step, todo: Sequence[str], unchanged: int) -> None:
        """A step begins for some sites; others have nothing to do."""
        ...

    def made(self, made: Made) -> None:
        """A site went through a step."""
        ...

    def failed(self, step: Step, site: str, error: Exception) -> None:
        """A site failed in a step and drops out."""
        ...


class Runner:
    """One run's sites on their way."""

    def __init__(self, run: LineRun, sites: Sequence[str], listener: Listener) -> None:
        self.run = run
        self.sites = list(sites)
        self.listener = listener
        self.failures: dict[str, tuple[str, Exception]] = {}
        """For each site that failed: the step, and why."""

    def take_through(self, steps: Sequence[Step]) -> None:
        """Do the steps one after the other for the sites still on their way."""
        for step in steps:
            if comes_before(step.stage.name, self.run.redo_from):
                self._require_same_day(step)
            elif self.sites:
                self._do(step)

    def _do(self, step: Step) -> None:
        """Do one step for the sites that have something to do.

        A site whose last entry was made from the same inputs by the same code is left alone and reported as unchanged,
        so nothing reruns when nothing changed.
        """
        try:
            work = step.work(self.run)
            prints = self._fingerprints(step, work.inputs(self.sites)) if work.inputs else None
        except FactoryError as error:  # what it would be made from is not there, or cannot be read
            self._drop(step, dict.fromkeys(self.sites, error))
            return
        journal = self.run.journal
        fresh = journal.fresh(step.name, prints) if prints and not self.run.redo_from else set[str]()
        todo = [site for site in self.sites if site not in fresh]
        self.listener.begun(step, todo, len(fresh))
        outcome = self._done(step, work.do, todo, prints) if todo else Isolated[Figures]()
        for site, entry in journal.latest(step.name, sorted(fresh)).items():
            self.listener.made(
                Made(
                    step=step,
                    site=site,
                    figures=entry.figures,
                    fingerprint=entry.fingerprint,
                    changed=False,
                    is_left_alone=True,
                )
            )
        self._drop(step, outcome.failed)

    def _fingerprints(self, step: Step, inputs: Mapping[str, str]) -> dict[str, str]:
        code = step.code(self.run)
        return {site: fingerprint(made_from, code) for site, made_from in inputs.items()}

    def _done(
        self,
        step: Step,
        do: Callable[[Sequence[str]], Isolated[Figures]],
        todo: Sequence[str],
        prints: Mapping[str, str] | None,
    ) -> Isolated[Figures]:
        """Do a step's work, and keep it in the journal; what cannot be kept there was not done."""
        journal, started, run_id = self.run.journal, time.monotonic(), self.run.run_id
        try:
            if prints:
                journal.begin(step.name, todo, run=run_id)
            outcome = do(todo)
            changed = {site: figures for site, figures in outcome.done.items() if figures.get(CHANGED, True)}
            made_from = prints or {site: fingerprint(dict(figures)) for site, figures in changed.items()}
            noted = {site: {**figures, "as_of": self.run.as_of} for site, figures in changed.items()}
            journal.record(step.name, noted, made_from, run=run_id, seconds=time.monotonic() - started)
        except LakeError as error:
            return Isolated(failed=dict.fromkeys(todo, error))
        for site, figures in outcome.done.items():
            mark = made_from.get(site)
            self.listener.made(Made(step=step, site=site, figures=figures, fingerprint=mark, changed=site in changed))
        return outcome

    def _require_same_day(self, step: Step) -> None:
        """Drop the sites whose site model was made as of another day: it may have learnt from what would judge it."""
        if step.stage.name != "site_model":
            return
        entries = self.run.journal.latest(step.name, self.sites)
        days = {site: entry.figures.get("as_of") for site, entry in entries.items()}
        other = {site: day for site, day in days.items() if day not in (None, self.run.as_of)}
        self._drop(
            step,
            {
                site: LineError(
                    f"site {site}: its model was made as of {day} and cannot be judged as of {self.run.as_of}: "
                    f"begin with site_model or before, or run until {day}"
                )
                for site, day in other.items()
            },
        )

    def _drop(self, step: Step, failed: Mapping[str, Exception]) -> None:
        for site, error in failed.items():
            self.failures[site] = (step.name, error)
            self.listener.failed(step, site, error)
        self.sites = [site for site in self.sites if site not in failed]

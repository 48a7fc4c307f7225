"""Takes the sites of one run through stages: a site that fails drops out with its reason, and the others go on."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from factory.compute.isolation import Isolated
from factory.errors import FactoryError, LineError
from factory.errors.masking import masked_cause
from factory.line.site_names import UNKNOWN
from factory.pipeline.line_run import LineRun
from factory.pipeline.stages import Step, comes_before
from factory.pipeline.whole_world import all_sites, sites_behind
from factory.pipeline.work import CHANGED, Figures, Work
from factory.storage.journal import fingerprint


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step has made for one site, in this run or in an earlier one."""

    step: Step
    site: str
    figures: Figures
    fingerprint: str | None
    changed: bool
    is_left_alone: bool = False
    """Whether the step had nothing to do for the site, and told so as it began."""


class Listener(Protocol):
    """Hears of each event of a run as it happens."""

    def begun(self, step: Step, todo: Sequence[str], unchanged: int) -> None:
        """A step begins for some sites; others have nothing to do."""
        ...

    def completed(self, result: StepResult) -> None:
        """A site went through a step."""
        ...

    def failed(self, step: Step, site: str, error: Exception) -> None:
        """A site failed in a step and drops out."""
        ...


class _FailuresOnly:
    """Tells a listener of failures alone: what is brought in for sites that a run is not about is nothing it made."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def begun(self, step: Step, todo: Sequence[str], unchanged: int) -> None:
        """Say nothing."""

    def completed(self, result: StepResult) -> None:
        """Say nothing."""

    def failed(self, step: Step, site: str, error: Exception) -> None:
        """Hand the failure on."""
        self._listener.failed(step, site, error)


class _Warned:
    """Warns of failures alone, which make nothing fail."""

    def __init__(self, run: LineRun) -> None:
        self._run = run

    def begun(self, step: Step, todo: Sequence[str], unchanged: int) -> None:
        """Say nothing."""

    def completed(self, result: StepResult) -> None:
        """Say nothing."""

    def failed(self, step: Step, site: str, error: Exception) -> None:
        """Warn."""
        self._run.warn(f"{step.name} of {site}: {error}")


class Runner:
    """Takes one run's sites through its steps."""

    def __init__(self, run: LineRun, sites: Sequence[str], listener: Listener) -> None:
        self.run = run
        self.sites = list(sites)
        self.listener = listener
        self.failures: dict[str, tuple[str, Exception]] = {}
        """For each site that failed: the step, and why."""

    def take_through(self, steps: Sequence[Step]) -> None:
        """Do the steps one after the other for the sites that have not failed.

        Where features depend on other sites' rows, those are brought in first; nothing else is done for their sites.
        """
        todo = [step for step in steps if not comes_before(step.stage.name, self.run.redo_from)]
        features = next((step for step in todo if step.stage.name == "features"), None)
        if features and self.sites and self.run.line.features.across_sites:
            self._require_whole_world(features, [step for step in todo if step.table])
        for step in steps:
            if self.sites:
                try:
                    with self.run.lake.faults():
                        self._take_through(step)
                except FactoryError as error:  # what all its sites need is missing, or cannot be read or written
                    self._drop(step, dict.fromkeys(self.sites, error))

    def _take_through(self, step: Step) -> None:
        if not comes_before(step.stage.name, self.run.redo_from):
            self._do(step)
            self._set_aside_unnamed(step)
            return
        self._require_same_day(step)
        self._report_unchanged(step, self.sites)

    def _set_aside_unnamed(self, step: Step) -> None:
        """Bring in and judge a table's rows that name no site: all wait in quarantine, and no site fails of them."""
        run, table = self.run, step.table
        if table is None or table.site_column is None or step.stage.name not in ("raw", "clean"):
            return
        raw = f"raw/{table.name}"
        try:
            at_source = step.stage.name == "raw" and UNKNOWN in run.source.sites(table, run.until)
            if at_source or run.lake.site_versions(raw, [UNKNOWN])[UNKNOWN]:
                Runner(run, [UNKNOWN], _Warned(run))._do(step)
        except FactoryError as error:
            run.warn(f"{step.name}: rows that name no site could not be looked at: {error}")

    def _report_unchanged(self, step: Step, sites: Sequence[str]) -> None:
        """Report what an earlier run has made for some sites; one that has nothing yet is passed over."""
        for site, entry in self.run.journal.latest(step.name, sites).items():
            self.listener.completed(
                StepResult(
                    step=step,
                    site=site,
                    figures=entry.figures,
                    fingerprint=entry.fingerprint,
                    changed=False,
                    is_left_alone=True,
                )
            )

    def _require_whole_world(self, features: Step, of_tables: Sequence[Step]) -> None:
        """Bring in the rows of sites that this run is not about; if it brings in no rows, all must be there already."""
        run, across = self.run, self.run.line.features.across_sites
        bring_in = [step for step in of_tables if step.table and step.table.name in across]
        others = [site for site in all_sites(run) if site not in self.sites] if bring_in else []
        if others:
            run.say(
                f"features depend on {', '.join(across)} of all sites, so those of {len(others)} others come in too: "
                f"{', '.join(others)}"
            )
            bringing = Runner(run, others, _FailuresOnly(self.listener))
            for step in bring_in:
                bringing._do(step)
            self.failures |= bringing.failures
        elif not bring_in and (behind := sites_behind(run)):
            why = LineError(
                f"line {run.line.name}: its features depend on {', '.join(across)} of all sites, and rows of "
                f"{', '.join(behind)} before {run.as_of} are lacking; bring them in first: factory run {run.line.name} "
                f"--sites {','.join(self.sites)} --until {run.as_of}"
            )
            self._drop(features, dict.fromkeys(self.sites, why))

    def _do(self, step: Step) -> None:
        """Do one step for the sites that have something to do.

        A site whose last entry was made from the same inputs by the same code, and what it made is there still, is left
        alone and reported as unchanged, so nothing reruns when nothing changed.
        """
        work = step.work(self.run)
        fingerprints = self._fingerprints(step, work.inputs(self.sites)) if work.inputs else None
        fresh = self._fresh(step, work, fingerprints) if fingerprints and not self.run.redo_from else set[str]()
        todo = [site for site in self.sites if site not in fresh]
        self.listener.begun(step, todo, len(fresh))
        outcome = self._done(step, work.do, todo, fingerprints) if todo else Isolated[Figures]()
        self._report_unchanged(step, sorted(fresh))
        self._drop(step, outcome.failed)

    def _fresh(self, step: Step, work: Work, fingerprints: Mapping[str, str]) -> set[str]:
        """Return the sites where there is nothing to do; tell what happened to a result that is made anew."""
        fresh = self.run.journal.fresh(step.name, fingerprints)
        lost = work.lost(sorted(fresh)) if work.lost and fresh else {}
        for site, what in lost.items():
            self.run.warn(f"{step.name}: {site} is done again: {what}")
        return fresh - set(lost)

    def _fingerprints(self, step: Step, inputs: Mapping[str, str]) -> dict[str, str]:
        code = step.code(self.run)
        return {site: fingerprint(made_from, code) for site, made_from in inputs.items()}

    def _done(
        self,
        step: Step,
        do: Callable[[Sequence[str]], Isolated[Figures]],
        todo: Sequence[str],
        fingerprints: Mapping[str, str] | None,
    ) -> Isolated[Figures]:
        """Do a step's work and record it in the journal; raises FactoryError where either fails for all of them."""
        journal, started, run_id = self.run.journal, time.monotonic(), self.run.run_id
        if fingerprints:
            journal.begin(step.name, todo, run=run_id)
        outcome = do(todo)
        changed = {site: figures for site, figures in outcome.done.items() if figures.get(CHANGED, True)}
        made_from = fingerprints or {site: fingerprint(dict(figures)) for site, figures in changed.items()}
        recorded = {site: {**figures, "as_of": self.run.as_of} for site, figures in changed.items()}
        journal.record(step.name, recorded, made_from, run=run_id, seconds=time.monotonic() - started)
        for site, figures in outcome.done.items():
            self.listener.completed(
                StepResult(
                    step=step, site=site, figures=figures, fingerprint=made_from.get(site), changed=site in changed
                )
            )
        return outcome

    def _require_same_day(self, step: Step) -> None:
        """Drop the sites whose site model was made as of another day: it may have learnt from what would judge it."""
        if step.stage.name != "site_model":
            return
        entries = self.run.journal.latest(step.name, self.sites)
        days = {site: entry.figures.get("as_of") for site, entry in entries.items()}
        other_days = {site: day for site, day in days.items() if day not in (None, self.run.as_of)}
        self._drop(
            step,
            {
                site: LineError(
                    f"site {site}: its model was made as of {day} and cannot be judged as of {self.run.as_of}: "
                    f"begin with site_model or before, or run until {day}"
                )
                for site, day in other_days.items()
            },
        )

    def _drop(self, step: Step, failed: Mapping[str, Exception]) -> None:
        for site, cause in failed.items():
            error = self.run.lake.explained(cause)
            if error is not cause:
                error.__cause__ = masked_cause(cause)
            self.failures[site] = (step.name, error)
            self.listener.failed(step, site, error)
        self.sites = [site for site in self.sites if site not in failed]

"""Does a rollout, step by step: each step is on the disk when it is done, and may be done twice.

First every site gets a candidate of the change and a verdict on it, in one run over all of them, while none may
release: they share one base model, and a candidate with bad figures never serves. Then, wave by wave:

    to come   →  judged     by the figures of its verdicts
    judged    →  released   it has its turn, is released, and every release answers its own example
    released  →  through    after the soak it serves what it was given, and nobody went back
    any       →  halting    →  halted: what the wave changed is as it was, and waits again
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from factory.errors import RolloutRefused
from factory.pipeline.rollout.judging import Outcome, Reason, reasons_against
from factory.pipeline.rollout.plan import sizes_of, waves_of
from factory.pipeline.rollout.reverting import reverted
from factory.pipeline.rollout.runs import Paused, Runs
from factory.pipeline.rollout.sites import LinePlace
from factory.pipeline.rollout.state import Rollout, RolloutStore, Step, Terms, Wave

DONE, HALTED = 0, 1


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Drives the rollouts of one line."""

    place: LinePlace
    store: RolloutStore
    runs: Runs
    show: Callable[[Rollout, int], None]
    """Shows a wave after each of its steps."""
    say: Callable[[str], None]
    sleep: Callable[[float], None] = field(default=time.sleep)
    now: Callable[[], datetime] = field(default=_now)

    def drive(self, *, by: str, reason: str, terms: Terms, again: bool = False) -> int:
        """Begin a rollout or go on with the one under way; return 0 if all waves are through and 1 if one halted.

        It is also 1 where the rollout waits for a person's approval, and 130 or 143 where it was stopped. Raises
        RolloutRefused where it cannot begin or go on.
        """
        with self.store.alone(self.place.line):
            try:
                return self._driven(self._prepared(self._taken_up(by, reason, terms, again=again)))
            except Paused as pause:
                return pause.code

    def _taken_up(self, by: str, reason: str, terms: Terms, *, again: bool) -> Rollout:
        line, old = self.place.line, self.store.read(self.place.line)
        if old is None or old.state in ("finished", "ended") or (old.state == "halted" and again):
            return self._begun(by, reason, terms)
        if old.state == "halted":
            raise RolloutRefused(
                f"line {line}: {old.title} halted; begin anew with --again when the cause is removed, or give it up: "
                f"factory rollout end {line} --by NAME --reason …"
            )
        if again or terms != old.terms:
            raise RolloutRefused(
                f"line {line}: {old.title} is under way and goes on by the terms it began with: {old.command}; "
                f"to begin another, end it: factory rollout end {line} --by NAME --reason …"
            )
        self.say(f"Going on with {old.title}.")
        return old

    def _begun(self, by: str, reason: str, terms: Terms) -> Rollout:
        sizes, sites = sizes_of(terms.waves), self.runs.sites(terms.until)
        rollout = Rollout(
            line=self.place.line,
            by=by,
            reason=reason,
            began=self.now().isoformat(timespec="seconds"),
            terms=terms,
            waves=tuple(Wave(sites=wave) for wave in waves_of(self.place.planned_sites(sites), terms.pilot, sizes)),
        )
        self.store.write(rollout)
        return rollout

    def _prepared(self, rollout: Rollout) -> Rollout:
        """Let every site wait, and have a candidate of the change made and judged for each."""
        if rollout.prepared:
            return rollout
        self.place.keep_waiting(rollout.sites, by=rollout.by, reason=rollout.reason)
        self.say(f"Making and judging a candidate for each of {len(rollout.sites)} sites; none is released yet.")
        failed = self.runs.run(rollout.sites, rollout.terms.until)
        with_candidate = [site for site in rollout.sites if site not in failed]
        rollout = replace(rollout, prepared=True, failed=failed, code=self.place.code(with_candidate))
        self.store.write(rollout)
        return rollout

    def _driven(self, rollout: Rollout) -> int:
        for number in range(len(rollout.waves)):
            while rollout.waves[number].step in _STEPS:
                rollout = self._stepped(rollout, number)
                self.store.write(rollout)
                self.show(rollout, number)
            if rollout.state == "halted":
                return HALTED
        self.place.give_turn(
            self.place.waiting(), by=rollout.by, reason=rollout.reason
        )  # sites the source has lost too
        self.store.write(replace(rollout, state="finished"))
        self.say(f"All {len(rollout.waves)} waves are through.")
        return DONE

    def _stepped(self, rollout: Rollout, number: int) -> Rollout:
        wave = _STEPS[rollout.waves[number].step](self, rollout, number)
        rollout = rollout.with_wave(number, wave)
        return replace(rollout, state="halted") if wave.step == "halted" else rollout

    def _judge(self, rollout: Rollout, number: int) -> Wave:
        """Judge the wave by its verdicts, before anything of it is released."""
        wave = rollout.waves[number]
        before = wave.before or {site: self._release_of(site) for site in wave.sites}
        outcomes = self.place.outcomes(before, rollout.failed, rollout.code, first=number == 0)
        reasons = reasons_against(outcomes, rollout.terms.limits)
        step: Step = "halting" if reasons else "judged"
        return replace(wave, step=step, before=before, outcomes=outcomes, reasons=reasons)

    def _release(self, rollout: Rollout, number: int) -> Wave:
        """Give the wave its turn, release it, and try out what it serves then."""
        wave = rollout.waves[number]
        if self._is_remade(wave):
            return replace(wave, step="to come")
        self.place.give_turn(wave.sites, by=rollout.by, reason=rollout.reason)
        failed = self.runs.run(wave.sites, rollout.terms.until, redo_from="release")
        if self._is_remade(wave):
            return replace(wave, step="to come")
        outcomes = tuple(self._released(outcome, failed) for outcome in wave.outcomes)
        reasons = (*reasons_against(outcomes, rollout.terms.limits), *self._faults(outcomes))
        if not reasons:
            self._require_approvals(rollout, outcomes)
        step: Step = "halting" if reasons else "released"
        at = self.now().isoformat(timespec="seconds")
        return replace(wave, step=step, outcomes=outcomes, reasons=reasons, released_at=at)

    def _soak(self, rollout: Rollout, number: int) -> Wave:
        """Wait before the next wave; then this one must still serve what it was given."""
        wave = rollout.waves[number]
        over = datetime.fromisoformat(wave.released_at) + timedelta(minutes=rollout.terms.soak_min)
        left_s = (over - self.now()).total_seconds()
        if left_s > 0 and number < len(rollout.waves) - 1:
            self.say(f"Wave {number + 1} soaks until {over:%H:%M:%S} UTC; Ctrl-C stops, the same command goes on.")
            self.sleep(left_s)
        reasons = tuple(self._faults(wave.outcomes))
        return replace(wave, step="halting" if reasons else "through", reasons=reasons)

    def _revert(self, rollout: Rollout, number: int) -> Wave:
        """Put back what the wave changed, and let it wait again; earlier waves stay, later ones were never touched."""
        wave = rollout.waves[number]
        reason = f"rollout halted in wave {number + 1}: {wave.reasons[0].says}"
        results = reverted(self.place, wave.before, by=rollout.by, reason=reason)
        self.place.keep_waiting(wave.sites, by=rollout.by, reason=rollout.reason)
        return replace(wave, step="halted", reverted=results)

    def _released(self, outcome: Outcome, failed: Mapping[str, str]) -> Outcome:
        """Return what became of a candidate that was to be released."""
        if outcome.kind != "takes" or self._serves(outcome):
            return outcome
        if outcome.site in failed:
            return replace(outcome, kind="failed", why=failed[outcome.site])
        held = self.place.permissions(outcome.site).obstacle(outcome.digest)
        return replace(outcome, kind="held", why=held) if held else outcome

    def _faults(self, outcomes: tuple[Outcome, ...]) -> list[Reason]:
        given = [outcome for outcome in outcomes if outcome.kind in ("takes", "serves")]
        return [reason for outcome in given for reason in self.place.faults(outcome)]

    def _require_approvals(self, rollout: Rollout, outcomes: tuple[Outcome, ...]) -> None:
        """Pause where a candidate passed, nothing holds it, and yet it was not released: a person must consent."""
        due = [outcome for outcome in outcomes if outcome.kind == "takes" and not self._serves(outcome)]
        for outcome in due:
            self.say(
                f"{outcome.site} waits for approval: factory approve {outcome.site} {outcome.version} "
                f"--line {rollout.line} --by NAME --reason …"
            )
        if due:
            self.say(f"Then go on: {rollout.command}")
            raise Paused(HALTED)

    def _is_remade(self, wave: Wave) -> bool:
        """Whether a run of the line has made other candidates since the wave was judged."""
        newest = self.place.candidates(wave.sites)
        judged = [outcome for outcome in wave.outcomes if outcome.kind == "takes"]
        return any(newest.get(outcome.site) != outcome.digest for outcome in judged)

    def _serves(self, outcome: Outcome) -> bool:
        served = self.place.serves(outcome.site)
        return served is not None and served.digest == outcome.digest

    def _release_of(self, site: str) -> int | None:
        served = self.place.serves(site)
        return served.sequence if served else None


def end(place: LinePlace, store: RolloutStore, *, by: str, reason: str) -> list[str]:
    """Give a rollout up: its releases stay, and the sites that wait for their turn are let go; return those.

    Raises RolloutRefused where there is none, or a wave is half reverted.
    """
    with store.alone(place.line):
        rollout, waiting = store.read(place.line), place.waiting()
        if rollout and any(wave.step == "halting" for wave in rollout.waves):
            raise RolloutRefused(f"line {place.line}: a wave is being reverted; let that end first: {rollout.command}")
        if not waiting and (rollout is None or rollout.state not in ("under way", "halted")):
            raise RolloutRefused(f"line {place.line}: no rollout is under way or halted, so there is none to end")
        place.give_turn(waiting, by=by, reason=reason)
        if rollout:
            store.write(replace(rollout, state="ended"))
    return waiting


_STEPS: Mapping[str, Callable[[Driver, Rollout, int], Wave]] = {
    "to come": Driver._judge,
    "judged": Driver._release,
    "released": Driver._soak,
    "halting": Driver._revert,
}

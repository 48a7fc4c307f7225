"""What a rollout knows of a line: what its sites serve, what became of their candidates, which of them wait.

Read from the lake and the model repository; neither the orchestrator nor the registry need be up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import ModelRefused
from factory.model.verdict import Verdict
from factory.names import line_and_site, model_name
from factory.pipeline.rollout.judging import Outcome, Reason
from factory.pipeline.rollout.plan import PlannedSite
from factory.release import Manifest, ModelRepository
from factory.release.history import Event, Permissions
from factory.release.protocols import ReleaseRepository
from factory.release.rollback import try_out
from factory.release.signing import signing_key
from factory.storage.home import Home
from factory.storage.journal import Entry, Journal
from factory.storage.lake_store import LakeStore


@dataclass(frozen=True, kw_only=True)
class LinePlace:
    """One line at a home."""

    line: str
    journal: Journal
    repository: ReleaseRepository
    key: Ed25519PrivateKey

    @classmethod
    def at(cls, home: Home, line: str) -> "LinePlace":
        """Return the line's place at a home; the release key is made on first use."""
        return cls(
            line=line,
            journal=LakeStore.at(home).journal(line),
            repository=ModelRepository.at(home),
            key=signing_key(home.keys),
        )

    def serves(self, site: str) -> Manifest | None:
        """Return what the gateway serves of the site; None where that is nothing, or what it must refuse."""
        try:
            return self.repository.load(model_name(self.line, site), self.key.public_key()).manifest
        except ModelRefused:
            return None

    def permissions(self, site: str) -> Permissions:
        """Return what the site's history permits."""
        return self.repository.permissions(model_name(self.line, site), self.key.public_key())

    def planned_sites(self, sites: Sequence[str]) -> dict[str, PlannedSite]:
        """Return what the plan of the waves needs of each site."""
        judged = self.journal.latest("verdict", sites)
        return {
            site: PlannedSite(
                serves=self.serves(site) is not None,
                rows=int(_verdict(judged[site]).figures.get("rows") or 0) if site in judged else 0,
                held=replace(self.permissions(site), wait=None).obstacle("") or "",
            )
            for site in sites
        }

    def candidates(self, sites: Sequence[str]) -> dict[str, str]:
        """Return the digest of each site's newest candidate; a site without one is absent."""
        return {site: str(entry.figures["digest"]) for site, entry in self._candidates(sites).items()}

    def code(self, sites: Sequence[str]) -> str:
        """Return the digest of the code that made the first of these sites' candidates, "" for unknown."""
        return next((_code(entry) for _, entry in sorted(self._candidates(sites).items())), "")

    def outcomes(
        self, before: Mapping[str, int | None], failed: Mapping[str, str], code: str, *, first: bool
    ) -> tuple[Outcome, ...]:
        """Return what becomes of the newest candidates of the sites, which served the releases `before`."""
        sites = list(before)
        candidates, judged = self._candidates(sites), self.journal.latest("verdict", sites)
        return tuple(
            replace(
                self._outcome(site, candidates.get(site), judged.get(site), failed.get(site, ""), code),
                counted=first or before[site] is not None,
                replaces=before[site] is not None,
            )
            for site in sites
        )

    def faults(self, outcome: Outcome) -> Iterator[Reason]:
        """Yield what speaks against a release that a wave was given: it cannot answer, or it was taken out of service.

        A site where nothing has been released yet has none.
        """
        site, model = outcome.site, model_name(self.line, outcome.site)
        withdrawal = self.permissions(site).withdrawn.get(outcome.digest)
        if withdrawal:
            says = f"{site}: {withdrawal.actor} took it out of service again: {withdrawal.reason}"
            yield Reason(site=site, figure="withdrawn", found=withdrawal.at, limit="not withdrawn", says=says)
        if self.repository.marker(model) is None:
            return
        try:
            try_out(self.repository.load(model, self.key.public_key()))
        except ModelRefused as error:
            says = f"{site}: what it serves cannot be loaded, or does not answer its example: {error}"
            yield Reason(site=site, figure="smoke", found=str(error), limit="answers its example", says=says)

    def waiting(self) -> list[str]:
        """Return the line's sites that wait for their turn, sorted."""
        names = [line_and_site(name) for name in self.repository.site_history.models()]
        return [site for line, site in names if line == self.line and self.permissions(site).wait]

    def keep_waiting(self, sites: Sequence[str], *, by: str, reason: str) -> None:
        """Let the sites promote and release nothing but what they serve, until they have their turn."""
        for site in sites:
            served, wait = self.serves(site), self.permissions(site).wait
            event = Event(kind="wait", actor=by, reason=reason, **_named(served))
            if wait is None or wait.event != event:
                self._note(site, event)

    def give_turn(self, sites: Sequence[str], *, by: str, reason: str) -> None:
        """Let candidates of the sites through, those of them that wait."""
        for site in sites:
            if self.permissions(site).wait:
                self._note(site, Event(kind="turn", actor=by, reason=reason))

    def _note(self, site: str, event: Event) -> None:
        self.repository.site_history.append(model_name(self.line, site), event, self.key)

    def _candidates(self, sites: Sequence[str]) -> dict[str, Entry]:
        return self.journal.latest("site_model", sites)

    def _outcome(self, site: str, candidate: Entry | None, judged: Entry | None, failed: str, code: str) -> Outcome:
        """Return the outcome; `outcomes` adds whether it counts and replaces anything."""
        if failed:
            return Outcome(site=site, kind="failed", why=failed, counted=True)
        verdict = _verdict(judged) if judged else None
        if candidate is None or judged is None or verdict is None or verdict.digest != candidate.figures["digest"]:
            return Outcome(site=site, kind="failed", why="its newest candidate was not judged", counted=True)
        version = int(candidate.figures["version"])
        outcome = Outcome(site=site, kind="takes", counted=True, version=version, **_figures(verdict))
        served = self.serves(site)
        if served and judged.figures.get("rival") != served.digest:
            outcome = replace(
                outcome, champion_figure=None, champion_value_eur=None
            )  # of another champion than it replaces
        if code and _code(candidate) not in ("", code):
            why = f"its candidate was made by other code, {_code(candidate)}, than the rollout began with, {code}"
            return replace(outcome, kind="failed", why=why)
        if not verdict.passed:
            return replace(outcome, kind="refused", why="; ".join(verdict.reasons))
        if served and served.digest == verdict.digest:
            return replace(outcome, kind="serves")
        held = replace(self.permissions(site), wait=None).obstacle(verdict.digest)
        return replace(outcome, kind="held", why=held) if held else outcome


def _named(served: Manifest | None) -> dict[str, Any]:
    """Return what is served as the fields of an event."""
    return {"version": served.version, "release": served.sequence, "digest": served.digest} if served else {}


def _figures(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict's figures that a wave is judged by, as the fields of an outcome."""
    figures, headline = verdict.figures, str(verdict.figures.get("headline") or "")
    return {
        "digest": verdict.digest,
        "headline": headline,
        "figure": figures.get(headline),
        "champion_figure": figures.get(f"champion_{headline}"),
        "value_eur": figures.get("value_eur"),
        "champion_value_eur": figures.get("champion_value_eur"),
    }


def _verdict(judged: Entry) -> Verdict:
    return Verdict.from_dict(judged.figures["verdict"])


def _code(candidate: Entry) -> str:
    return str(candidate.figures["provenance"].get("code", ""))

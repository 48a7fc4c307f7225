"""A line in small: real histories and releases; its journal is in memory, its candidates are said and not trained."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from factory.errors import LineError, ReleaseRefused
from factory.model.verdict import Verdict, digest_of
from factory.pipeline.events import LineOutcome, LineRequest, Show, Stopped
from factory.pipeline.rollout.driver import Driver
from factory.pipeline.rollout.judging import Limits
from factory.pipeline.rollout.runs import Runs
from factory.pipeline.rollout.sites import LinePlace
from factory.pipeline.rollout.state import Rollout, RolloutStore, Terms
from factory.storage.home import Home
from factory.storage.journal import Entry, Journal
from tests.gateway.builders import Shop, onnx_model

LINE = "toy"
WHO = {"by": "lena", "reason": "a wider network"}


class Died(BaseException):
    """The process is gone."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the line's recipe makes of a site: a model that is told from others by its bias, and what it is worth."""

    bias: float
    value_eur: float = 100.0
    rows: int = 50
    reasons: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        return onnx_model(bias=self.bias)


class NotedJournal(Journal):
    """A journal in memory: what a stage last did for each site."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}

    def latest(self, stage: str, sites: Sequence[str] | None = None) -> dict[str, Entry]:
        return {site: entry for (of, site), entry in self.entries.items() if of == stage and site in (sites or [site])}

    def note(self, stage: str, site: str, figures: Mapping[str, Any]) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        self.entries[stage, site] = Entry(
            stage=stage, site=site, fingerprint="mark", figures=figures, at=at, run="run", seconds=1.0
        )


@dataclass
class SmallLine:
    """Runs as a line does: judges what `recipe` makes, then releases what passed and may be released."""

    home: Path
    recipe: dict[str, Made]
    code: str = "code 1"
    approval: bool = False
    broken: Mapping[str, str] = field(default_factory=dict)
    """Sites that fail, and at which stage."""
    dies_at: tuple[int, str] | None = None
    """Where the process dies: at which run, counted from 1, and before what: `run`, `release of A`, `end`."""
    launches: int = 0
    journal: NotedJournal = field(default_factory=NotedJournal)
    newest: dict[str, tuple[bytes, int, Verdict]] = field(default_factory=dict)
    """The registry: each site's newest file, its version and the verdict on it."""
    stopped_by: int = 0
    """The signal by which each run is stopped; 0 for none."""
    cannot_start: bool = False

    def __post_init__(self) -> None:
        self.shop = Shop(self.home)
        self.place = replace(LinePlace.at(Home.at(self.home), LINE), journal=self.journal)

    def judged_and_released(self, sites: Sequence[str] = (), redo_from: str = "") -> dict[str, str]:
        """Run the line; returns the sites that failed."""
        wanted = list(sites) or sorted(self.recipe)
        failed = {}
        if not redo_from:
            failed = {site: "site_model: it broke" for site in wanted if self.broken.get(site) == "site_model"}
            self._judge([site for site in wanted if site not in failed])
        for site in wanted:
            if self.broken.get(site) == "release" and not self.place.permissions(site).wait:
                failed[site] = "release: the registry is down"
            elif site not in failed:
                self._die(f"release of {site}")
                self._release(site)
        return failed

    def _judge(self, sites: Sequence[str]) -> None:
        new = [site for site in sites if site not in self.newest or self.newest[site][0] != self.recipe[site].content]
        for site in new:
            version = self.newest[site][1] + 1 if site in self.newest else 1
            self.newest[site] = (self.recipe[site].content, version, self._verdict(site))
            told = {"verdict": self.newest[site][2].to_dict(), "rival": self._rival(site)}
            self.journal.note("site_model", site, self._made(site))
            self.journal.note("verdict", site, told)

    def _made(self, site: str) -> dict[str, Any]:
        content, version, _ = self.newest[site]
        return {"version": version, "digest": digest_of(content), "provenance": {"code": self.code}}

    def _rival(self, site: str) -> str | None:
        champion = self.place.serves(site)
        return champion.digest if champion else None

    def _verdict(self, site: str) -> Verdict:
        mine, champion = self.recipe[site], self.place.serves(site)
        return Verdict(
            line=LINE,
            site=site,
            digest=digest_of(mine.content),
            passed=not mine.reasons,
            reasons=mine.reasons,
            figures={
                "rows": mine.rows,
                "headline": "auc",
                "auc": 0.75,
                "champion_auc": 0.7 if champion else None,
                "value_eur": mine.value_eur,
                "champion_value_eur": champion.verdict.figures["value_eur"] if champion else None,
            },
        )

    def _release(self, site: str) -> None:
        content, version, verdict = self.newest[site]
        if not verdict.passed:
            return
        with suppress(ReleaseRefused):  # it goes on with what it serves
            self.shop.release(content, version, site, verdict=verdict, approval_required=self.approval, by="line toy")

    def _die(self, where: str) -> None:
        if self.dies_at == (self.launches, where):
            raise Died

    def serving(self) -> dict[str, int | None]:
        """The release that each site serves."""
        found = {site: self.place.serves(site) for site in sorted(self.recipe)}
        return {site: manifest.sequence if manifest else None for site, manifest in found.items()}

    def kinds(self, site: str) -> list[str]:
        """What is on record at a site."""
        return [record.kind for record in self.shop.repository.site_history.read(f"{LINE}.{site}").records()]


@dataclass(frozen=True)
class LaunchedLine:
    """Runs the small line for a rollout; keeps factory.pipeline.events.Lines."""

    line: SmallLine

    def sites(self, line: str, until: str) -> Sequence[str]:
        return sorted(self.line.recipe)

    def run(self, request: LineRequest, show: Show) -> LineOutcome:
        if self.line.stopped_by:
            raise Stopped(self.line.stopped_by)
        if self.line.cannot_start:
            raise LineError("its file has a mistake")
        self.line.launches += 1
        self.line._die("run")
        failed = self.line.judged_and_released(request.sites, redo_from=request.redo_from)
        self.line._die("end")
        return LineOutcome(sites=tuple(request.sites), failed=dict(failed))


@dataclass
class Clock:
    """A time that passes only while somebody sleeps."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.meanwhile()
        self.at += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.at


@dataclass
class Desk:
    """Somebody who rolls a small line out."""

    line: SmallLine
    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)
    steps: list[tuple[int, str]] = field(default_factory=list)
    dies_after: tuple[int, str] | None = None
    """The wave, counted from 0, and its step after which the process dies."""

    @property
    def store(self) -> RolloutStore:
        return RolloutStore(self.line.home / "rollouts")

    @property
    def rollout(self) -> Rollout:
        found = self.store.read(LINE)
        assert found
        return found

    def roll_out(self, *, again: bool = False, **terms: Any) -> int:
        """Type the command; returns its exit code."""
        limits = Limits(**{name: terms.pop(name) for name in ("max_refused", "min_value_change_eur") if name in terms})
        driver = Driver(
            place=self.line.place,
            store=self.store,
            runs=Runs(line=LINE, lines=LaunchedLine(self.line)),
            show=self._shown,
            say=self.said.append,
            sleep=self.clock.sleep,
            now=self.clock.now,
        )
        return driver.drive(**WHO, terms=Terms(**{"waves": "1,2,rest", **terms}, limits=limits), again=again)

    def _shown(self, rollout: Rollout, number: int) -> None:
        self.steps.append((number, rollout.waves[number].step))
        if self.steps[-1] == self.dies_after:
            raise Died

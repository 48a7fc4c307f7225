"""The events of a line's run as data: whoever runs the line hands them on, and a screen or a log shows them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from factory.errors import LineError
from factory.names import LINE_SITE, checked_name
from factory.pipeline.stages import checked_stage, comes_before

Became = Literal["released", "kept", "refused", "held_back"]
"""What became of a site's candidate."""


@dataclass(frozen=True, kw_only=True)
class RunSubmitted:
    """A run is in the orchestrator's hands."""

    job: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class SitesChosen:
    """The run's sites are known: those it was asked for, or all that the source has."""

    sites: tuple[str, ...]
    until: str
    """As-of date of the run, empty for the line's own."""


@dataclass(frozen=True, kw_only=True)
class StepBegun:
    """A step begins for the sites in `todo`; `unchanged` others have nothing to do."""

    step: str
    todo: tuple[str, ...]
    unchanged: int
    at: float


@dataclass(frozen=True, kw_only=True)
class SiteMade:
    """A site went through a step; each further asset that the step makes has an event of its own."""

    asset: str
    site: str
    changed: bool
    at: float
    became: Became | None = None


@dataclass(frozen=True, kw_only=True)
class SiteFailed:
    """A site failed in a step and drops out; LINE_SITE stands for what all sites need."""

    step: str
    site: str
    error: str
    at: float
    harmless: bool = False
    """Whether the site goes on all the same, since the fault is in what it serves and not in its training."""


@dataclass(frozen=True, kw_only=True)
class SiteFinding:
    """What stands at a site's data, in this run as in those before (factory/pipeline/findings.py); nothing failed."""

    step: str
    site: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """A line of the run's log, with its level as `logging` has it."""

    text: str
    level: int


@dataclass(frozen=True, kw_only=True)
class RunFailed:
    """The run is over and is red: why, in one sentence."""

    text: str


@dataclass(frozen=True, kw_only=True)
class LineOver:
    """Everything asked for is done, with this outcome."""

    outcome: "LineOutcome"


Event = RunSubmitted | SitesChosen | StepBegun | SiteMade | SiteFailed | SiteFinding | Said | RunFailed | LineOver
Show = Callable[[Event], None]


@dataclass(kw_only=True)
class LineOutcome:
    """What a line's run came to, counted from its events."""

    sites: tuple[str, ...] = ()
    changed: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    became: dict[str, Became] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """For each site that failed, LINE_SITE among them: the step and why."""
    findings: dict[str, list[str]] = field(default_factory=dict)
    """What stands at the sites' data: each sentence, and the sites that it is about."""
    runs: list[RunSubmitted] = field(default_factory=list)
    is_red: bool = False
    """Whether the run itself ended as failed, perhaps before its sites were through."""
    _step: str = ""
    _since: float = 0.0
    _last: float = 0.0

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, StepBegun | RunFailed | LineOver):
            self._end_step()
        match event:
            case RunSubmitted():
                self.runs.append(event)
            case RunFailed():
                self.is_red = True
            case SitesChosen():
                self.sites = event.sites
            case StepBegun():
                self._step, self._since, self._last = event.step, event.at, event.at
                self.unchanged.update({event.step: event.unchanged} if event.unchanged else {})
            case SiteMade() | SiteFailed() | SiteFinding():
                self._take_of_site(event)
            case _:
                pass

    def _take_of_site(self, event: SiteMade | SiteFailed | SiteFinding) -> None:
        match event:
            case SiteMade():
                self._last = event.at
                (self.changed if event.changed else self.unchanged)[event.asset] += 1
                if event.became:
                    self.became[event.site] = event.became
            case SiteFailed():
                self._last = max(self._last, event.at)
                self.failed.setdefault(event.site, f"{event.step}: {event.error}")
            case SiteFinding():
                self.findings.setdefault(event.text, []).append(event.site)

    def _end_step(self) -> None:
        """Give the step under way the time until its last event."""
        if self._step:
            self.seconds[self._step] = self.seconds.get(self._step, 0.0) + self._last - self._since
        self._step = ""

    def that(self, became: Became) -> list[str]:
        """Return the sites of which this became."""
        return sorted(site for site, what in self.became.items() if what == became)

    @property
    def exit_code(self) -> int:
        """0 if every site went through, 1 if one failed or the run ended early, 2 if nothing could be done at all."""
        nothing_done = not self.changed and not self.unchanged
        if not self.failed:
            return 2 if not self.sites else int(self.is_red)
        return 2 if nothing_done and (LINE_SITE in self.failed or not self.sites) else 1


@dataclass(frozen=True, kw_only=True)
class LineRequest:
    """What is asked of a line."""

    line: str
    sites: tuple[str, ...] = ()
    """All that the source knows when empty; all that the line has where it begins with a later stage."""
    until: str = ""
    """As-of date YYYY-MM-DD, exclusive; empty: the line's own."""
    redo_from: str = ""
    """The stage to begin with though nothing changed; those before it are left alone."""
    stages: tuple[str, ...] = ()
    """The stages to do; all when empty."""

    def require_names(self) -> None:
        """Raise NameRefused or LineError on an invalid name of a line or site, and where no stage could be done."""
        checked_name(self.line, "line")
        for site in self.sites:
            checked_name(site)
        self.require_stages()

    def require_stages(self) -> None:
        """Raise LineError on an unknown stage, and where all stages asked for come before the one to begin with."""
        for stage in (self.redo_from, *self.stages):
            checked_stage(stage)
        if self.stages and all(comes_before(stage, self.redo_from) for stage in self.stages):
            raise LineError(
                f"line {self.line}: {', '.join(self.stages)} would be left alone, since the run is to begin with "
                f"{self.redo_from}: ask for a stage from there on, or begin earlier"
            )


class Stopped(Exception):  # noqa: N818  a run that somebody stopped has no error
    """A person or a machine stopped a run, which is on record; `signal` is the one that stopped it."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class Lines(Protocol):
    """Runs lines, wherever their runs go."""

    def run(self, request: LineRequest, show: Show) -> LineOutcome:
        """Have the runs made, hand on their events and return their outcome.

        Raises Stopped where somebody stopped them, and FactoryError where nothing could start.
        """
        ...

    def sites(self, line: str, until: str) -> Sequence[str]:
        """Return the sites that a run without sites would take."""
        ...

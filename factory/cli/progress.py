"""What a person sees while a line runs: bars in a terminal, plain lines elsewhere, and a summary at the end.

The events of a run (factory/pipeline/events.py) in, text on the console out.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import shorten

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from factory.cli.screen import say
from factory.names import LINE_SITE
from factory.pipeline.events import (
    Event,
    LineOutcome,
    LineOver,
    RunFailed,
    RunSubmitted,
    Said,
    SiteFailed,
    SiteMade,
    SitesChosen,
    StepBegun,
)

RUN_PAGE = "http://127.0.0.1:3000/runs/"
"""Where `factory ui` shows a run."""
MAX_NAMES = 60
"""At most so many characters of site names stand behind a step."""
BAR = 16
BESIDE_NOTE = 2 + 17 + BAR + 1 + 8 + 8
"""What a bar's line has beside its note: spinner, step, bar, count, time, and a space behind each."""


@dataclass(kw_only=True)
class Step:
    """One step of a run, by its events so far."""

    name: str
    todo: Sequence[str] = ()
    left: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unchanged: int = 0
    done: int = 0
    began: float = 0.0
    last: float = 0.0

    @property
    def over(self) -> int:
        """How many sites have gone through it or failed in it."""
        return self.done + len(self.failed)

    def note(self, room: int = MAX_NAMES) -> str:
        """Return what stands behind the step: the sites in work, those unchanged, those that failed.

        Of their names there are as many as `room` characters hold, where it holds anything at all.
        """
        is_narrow = room < MAX_NAMES
        unchanged = [f"{self.unchanged} unchanged"] if self.unchanged and not (is_narrow and self.failed) else []
        failed = [f"failed: {named(self.failed, room // 2)}"] if self.failed else []
        taken = sum(len(part) + 2 for part in (*unchanged, *failed)) if is_narrow else 0
        return ", ".join([*([named(self.left, room - taken)] if self.left else []), *unchanged, *failed])


class Lines:
    """Shows a run as plain lines, for a log: each step's beginning and end, and what fails."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: dict[str, Step] = {}
        self.current: Step | None = None
        self.began = time.monotonic()

    def __enter__(self) -> "Lines":
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Show what is left."""
        self._close()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StepBegun():
                self._begin(event)
            case SiteMade():
                self._site_made(event)
            case SiteFailed():
                self._site_failed(event)
            case Said():
                self._said(event)
            case RunFailed():
                self.say(event.text, "red")
            case LineOver():
                self._over(event.outcome)
            case RunSubmitted() | SitesChosen():
                self._close()

    def say(self, text: str, style: str = "") -> None:
        """Print a line as it is."""
        say(text, style, to=self.console)

    def begun(self, step: Step) -> None:
        """Show that a step begins, or begins again for other sites."""
        if step.todo:
            self.say(f"{step.name}: {step.note()}")

    def moved(self, step: Step) -> None:
        """Show that a site went through a step."""

    def noted(self, step: Step, text: str) -> None:
        """Show a step's own words."""
        self.say(f"{step.name}: {text}")

    def closed(self, step: Step) -> None:
        """Show what a step ended with."""
        changed = step.done - step.unchanged
        failed = f", {len(step.failed)} failed ({named(step.failed)})" if step.failed else ""
        self.say(f"{step.name}: {changed} done, {step.unchanged} unchanged{failed}, {step.last - step.began:.1f} s")

    def _begin(self, event: StepBegun) -> None:
        self._close()
        step = self.steps.setdefault(event.step, Step(name=event.step, began=event.at, last=event.at))
        step.todo = [_shown(site) for site in event.todo]
        step.left = list(step.todo)
        step.unchanged += event.unchanged
        step.done += event.unchanged
        self.current = step
        self.begun(step)

    def _site_made(self, event: SiteMade) -> None:
        step = self.current
        if step is None or event.asset != step.name:
            return  # a step that makes several assets is counted by its first
        step.done, step.last = step.done + 1, event.at
        self._leave(step, event.site)

    def _site_failed(self, event: SiteFailed) -> None:
        self.say(f"{event.step} of {_shown(event.site)} failed: {event.error}", "red")
        if self.current is not None and self.current.name == event.step:
            self.current.failed.append(_shown(event.site))
            self.current.last = event.at
            self._leave(self.current, event.site)

    def _leave(self, step: Step, site: str) -> None:
        if _shown(site) in step.left:
            step.left.remove(_shown(site))
        self.moved(step)

    def _said(self, event: Said) -> None:
        if event.level >= logging.WARNING:
            self.say(event.text, "yellow")
        elif self.current is not None:
            self.noted(self.current, event.text.removeprefix(f"{self.current.name}: "))

    def _over(self, outcome: LineOutcome) -> None:
        self._close()
        for line in summary(outcome, time.monotonic() - self.began):
            self.say(line)

    def _close(self) -> None:
        if self.current is not None and self.current.over:
            self.closed(self.current)
        self.current = None


class Bars(Lines):
    """Shows a run in a terminal: one bar a step, with the sites in work behind it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.room = max(0, console.width - BESIDE_NOTE)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<16}", markup=False, table_column=Column(no_wrap=True, min_width=16)),
            BarColumn(bar_width=BAR, table_column=Column(no_wrap=True, min_width=BAR)),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=7)),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[note]}", style="dim", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            console=console,
            expand=True,
        )
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        """Begin to draw."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the screen."""
        super().__exit__()
        self.progress.stop()

    def begun(self, step: Step) -> None:
        """Draw the step's bar, or make it longer."""
        total = step.over + len(step.left)
        if step.name not in self.bars:
            self.bars[step.name] = self.progress.add_task(step.name, total=total, note="")
        self.progress.update(self.bars[step.name], total=total)
        self.moved(step)

    def moved(self, step: Step) -> None:
        """Move the bar."""
        self.noted(step, step.note(self.room))

    def noted(self, step: Step, text: str) -> None:
        """Write behind the bar."""
        if step.name in self.bars:
            note = shorten(text, self.room, placeholder=" …")
            self.progress.update(self.bars[step.name], completed=step.over, note=note)

    def closed(self, step: Step) -> None:
        """Leave the bar as it is, without the step's last words."""
        self.moved(step)

    def _over(self, outcome: LineOutcome) -> None:
        self._close()
        self.progress.stop()
        super()._over(outcome)


def screen(console: Console) -> Lines:
    """Return what fits where the output goes: a terminal that can draw, or anything else."""
    return Bars(console) if console.is_interactive else Lines(console)


def summary(outcome: LineOutcome, total_s: float) -> list[str]:
    """Return the lines that end a run: what changed, what became of the sites, seconds by step, runs in the UI."""
    changed = ", ".join(f"{step} {count}" for step, count in outcome.changed.items())
    seconds = ", ".join(f"{step} {value:.1f}" for step, value in outcome.seconds.items())
    waiting = outcome.that("held_back")
    held_back = f"{named(waiting)}; why: factory history SITE" if waiting else ""
    if not changed and not outcome.failed and outcome.sites:
        quiet = "Nothing changed: every stage is up to date for every site."
        return [quiet, *([f"  held back {held_back}"] if held_back else []), *_findings(outcome)]
    rows = {
        "changed": changed or "nothing",
        "released": named(outcome.that("released")),
        "goes on": named(outcome.that("kept")),
        "refused": named(outcome.that("refused")),
        "held back": held_back,
        "seconds": f"{seconds}; {total_s:.1f} in all",
    }
    return [
        "Summary",
        *(f"  {what:<9} {text}" for what, text in rows.items() if text),
        *(f"  failed    {_shown(site)}: {why}" for site, why in outcome.failed.items()),
        *_findings(outcome),
        "  run       in `factory ui`:",
        *(f"    {run.job}  {RUN_PAGE}{run.run_id}" for run in outcome.runs),
    ]


def _findings(outcome: LineOutcome) -> list[str]:
    """Return what stands at the sites' data, a line each, but for what a site failed of."""
    return [
        f"  data      {text}" if sites == [LINE_SITE] else f"  data      {named(sites)}: {text}"
        for text, sites in outcome.findings.items()
        if not any(text in why for why in outcome.failed.values())
    ]


def named(sites: Sequence[str], room: int = MAX_NAMES) -> str:
    """Return as many names as there is room for, and how many more there are; their number where not even one fits."""
    for count in range(len(sites), 0, -1):
        more = len(sites) - count
        text = ", ".join(sites[:count])
        if len(text) + (len(f" and {more} more") if more and room < MAX_NAMES else 0) <= room:
            return text + (f" and {more} more" if more else "")
    return f"{len(sites)} sites" if sites else ""


def _shown(site: str) -> str:
    """Return a site's name; the whole line is shown as `line`."""
    return "line" if site in ("", LINE_SITE) else site

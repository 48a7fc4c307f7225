"""What a person sees while a line runs: bars in a terminal, plain lines elsewhere, and a summary at the end.

Goes in: the events of `definitions.py` (listed in factory/orchestration/events.py).
Comes out: text on standard output.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from factory.names import LINE_SITE

RUN_PAGE = "http://127.0.0.1:3000/runs/"
"""Where `factory ui` shows a run."""
WARNING = 30
MAX_NAMES = 60
"""So many characters of site names are shown behind a stage."""


@dataclass(kw_only=True)
class Stage:
    """One stage of a run as far as its events tell."""

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
        """How many sites are through with it, one way or the other."""
        return self.done + len(self.failed)

    @property
    def told(self) -> str:
        """What stands behind the stage: the sites in work, those unchanged, those that failed."""
        parts = [named(self.left) if self.left else "", f"{self.unchanged} unchanged" if self.unchanged else ""]
        return ", ".join(filter(None, [*parts, f"failed: {named(self.failed)}" if self.failed else ""]))


class Lines:
    """Shows a run as plain lines, for a log: what each stage begins with, what it ended with, and what fails."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stages: dict[str, Stage] = {}
        self.current: Stage | None = None
        self.began = time.monotonic()

    def __enter__(self) -> "Lines":
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Show what is left."""
        self._close()

    def show(self, event: Mapping[str, Any]) -> None:
        """Show one event; one that is not known here is for others."""
        act = getattr(self, f"_on_{event.get('event')}", None)
        if act:
            act(event)

    def say(self, text: str, style: str = "") -> None:
        """Print a line as it is."""
        self.console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)

    def begun(self, stage: Stage) -> None:
        """Show that a stage begins, or begins again for other sites."""
        if stage.todo:
            self.say(f"{stage.name}: {stage.told}")

    def moved(self, stage: Stage) -> None:
        """Show that a site went through a stage."""

    def noted(self, stage: Stage, text: str) -> None:
        """Show a stage's own words."""
        self.say(f"{stage.name}: {text}")

    def closed(self, stage: Stage) -> None:
        """Show what a stage ended with."""
        changed = stage.done - stage.unchanged
        failed = f", {len(stage.failed)} failed ({named(stage.failed)})" if stage.failed else ""
        self.say(f"{stage.name}: {changed} done, {stage.unchanged} unchanged{failed}, {stage.last - stage.began:.1f} s")

    def _on_stage(self, event: Mapping[str, Any]) -> None:
        self._close()
        stage = self.stages.setdefault(event["stage"], Stage(name=event["stage"], began=event["at"], last=event["at"]))
        stage.todo = [_shown(site) for site in event["todo"]]
        stage.left = list(stage.todo)
        stage.unchanged += event["unchanged"]
        self.current = stage
        self.begun(stage)

    def _on_site(self, event: Mapping[str, Any]) -> None:
        stage = self.current
        if stage is None or event["stage"] != stage.name:
            return  # a stage that makes several assets is counted by its first
        stage.done, stage.last = stage.done + 1, event["at"]
        self._leave(stage, event["site"])

    def _on_site_failed(self, event: Mapping[str, Any]) -> None:
        self.say(str(event["text"]), "red")
        if self.current is not None:
            self.current.failed.append(_shown(event["site"]))
            self.current.last = event["at"]
            self._leave(self.current, event["site"])

    def _leave(self, stage: Stage, site: str | None) -> None:
        if _shown(site) in stage.left:
            stage.left.remove(_shown(site))
        self.moved(stage)

    def _on_say(self, event: Mapping[str, Any]) -> None:
        if event.get("level", 0) >= WARNING:
            self.say(str(event["text"]), "yellow")
        elif self.current is not None and str(event["text"]).startswith(f"{self.current.name}: "):
            self.noted(self.current, str(event["text"]).partition(": ")[2])

    def _on_told(self, event: Mapping[str, Any]) -> None:
        self.say(str(event["text"]))

    def _on_failed(self, event: Mapping[str, Any]) -> None:
        self.say(str(event["text"]), "red")

    def _on_run(self, _event: Mapping[str, Any]) -> None:
        self._close()

    def _on_stopped(self, event: Mapping[str, Any]) -> None:
        self._close()
        self.say(str(event["text"]), "yellow")

    def _on_summary(self, event: Mapping[str, Any]) -> None:
        self._close()
        for line in summary(event, time.monotonic() - self.began):
            self.say(line)

    def _close(self) -> None:
        if self.current is not None and self.current.over:
            self.closed(self.current)
        self.current = None


class Bars(Lines):
    """Shows a run in a terminal: one bar a stage, with the sites in work behind it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<14}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
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

    def begun(self, stage: Stage) -> None:
        """Draw the stage's bar, or make it longer."""
        total = stage.over + len(stage.left) + self._still_unchanged(stage)
        if stage.name not in self.bars:
            self.bars[stage.name] = self.progress.add_task(stage.name, total=total, note="")
        self.progress.update(self.bars[stage.name], total=total)
        self.moved(stage)

    def moved(self, stage: Stage) -> None:
        """Move the bar."""
        self.noted(stage, stage.told)

    def noted(self, stage: Stage, text: str) -> None:
        """Write behind the bar."""
        if stage.name in self.bars:
            self.progress.update(self.bars[stage.name], completed=stage.over, note=text)

    def closed(self, stage: Stage) -> None:
        """Leave the bar as it is, without the stage's last words."""
        self.moved(stage)

    def _still_unchanged(self, stage: Stage) -> int:
        """How many of the sites just told as unchanged are still to come."""
        return max(0, stage.unchanged - stage.done)

    def _on_summary(self, event: Mapping[str, Any]) -> None:
        self._close()
        self.progress.stop()
        super()._on_summary(event)


def screen(console: Console) -> Lines:
    """Return what fits where the output goes: a terminal that can draw, or anything else."""
    return Bars(console) if console.is_interactive else Lines(console)


def summary(event: Mapping[str, Any], total_s: float) -> list[str]:
    """Return the lines that end a run: what changed, what became of the sites, seconds by stage, runs in the UI."""
    changed = ", ".join(f"{stage} {count}" for stage, count in event["changed"].items())
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in event["seconds"].items())
    held_back = f"{named(event['held_back'])}; why: factory history SITE" if event["held_back"] else ""
    if not changed and not event["failed"]:
        quiet = "Nothing changed: every stage is up to date for every site."
        return [quiet, *([f"  held back {held_back}"] if held_back else [])]
    rows = {
        "changed": changed or "nothing",
        "released": named(event["released"]),
        "goes on": named(event["kept"]),
        "refused": named(event["refused"]),
        "held back": held_back,
        "seconds": f"{seconds}; {total_s:.1f} in all",
    }
    return [
        "Summary",
        *(f"  {what:<9} {text}" for what, text in rows.items() if text),
        *(f"  failed    {_shown(site)}: {why}" for site, why in event["failed"].items()),
        "  runs      in `factory ui`:",
        *(f"    {run['name']}  {RUN_PAGE}{run['run']}" for run in event["runs"]),
    ]


def named(sites: Sequence[str]) -> str:
    """Return as many names as there is room for, and how many more there are."""
    shown = list(sites)
    while len(", ".join(shown)) > MAX_NAMES:
        shown.pop()
    more = len(sites) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _shown(site: str | None) -> str:
    """Return a site's name; what belongs to the whole line is told as `line`."""
    return "line" if site in (None, "", LINE_SITE) else str(site)

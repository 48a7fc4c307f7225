"""Runs the line for a rollout, in the words of `definitions.py`, and listens to what became of each site."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from factory.errors import RolloutRefused
from factory.names import LINE_SITE

Event = Mapping[str, Any]
STOPPED = (130, 143)
"""The exit codes of a run that a person or a machine stopped."""


class Launcher(Protocol):
    """Runs `definitions.py`, hands on the events it reports and returns its exit code."""

    def __call__(self, words: Sequence[str], show: Callable[[Event], None], /) -> int:
        """Run what the words say."""


class Paused(Exception):  # noqa: N818  a rollout that somebody stopped or must help has no error
    """The rollout stands where it is; the same command goes on."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of one line. What cannot be run raises RolloutRefused, what is stopped raises Paused."""

    line: str
    launch: Launcher

    def sites(self, until: str) -> list[str]:
        """Return the sites that a run of the line would take."""
        found: list[str] = []
        self._launched(["sites", self.line, f"--until={until}"], {"sites": lambda event: found.extend(event["sites"])})
        if not found:
            raise RolloutRefused(f"line {self.line}: its source knows no site, so there is nothing to roll out")
        return found

    def run(self, sites: Sequence[str], until: str, redo_from: str = "") -> dict[str, str]:
        """Run the line for the sites; return those that failed, and why."""
        failed: set[str] = set()
        told: dict[str, str] = {}
        self._launched(
            ["run", self.line, f"--sites={','.join(sites)}", f"--until={until}", f"--from={redo_from}"],
            {
                "summary": lambda event: told.update(event["failed"]),
                "end": lambda event: failed.update(event["failed"]),
            },
        )
        if LINE_SITE in failed:
            raise RolloutRefused(
                f"line {self.line}: what all its sites need failed, so the rollout stands where it is; "
                "the same command goes on when that is mended"
            )
        return {site: told.get(site, "its run failed") for site in sites if site in failed}

    def _launched(self, words: Sequence[str], listen: Mapping[str, Callable[[Event], None]]) -> None:
        def heard(event: Event) -> None:
            if event["event"] in listen:
                listen[event["event"]](event)

        code = self.launch(words, heard)
        if code in STOPPED:
            raise Paused(code)
        if code not in (0, 1):
            raise RolloutRefused(
                f"line {self.line}: `{words[0]}` could not be run, so the rollout stands where it is; "
                "the same command goes on when that is mended"
            )

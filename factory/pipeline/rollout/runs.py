"""Runs the line for a rollout, and counts what became of each site."""

from collections.abc import Sequence
from dataclasses import dataclass

from factory.errors import FactoryError, RolloutRefused
from factory.names import LINE_SITE
from factory.pipeline.events import Event, LineRequest, Lines, Stopped


class Paused(Exception):  # noqa: N818  a rollout that somebody stopped or must help has no error
    """The rollout stays at its step; the same command goes on."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of one line. What cannot be run raises RolloutRefused, what is stopped raises Paused."""

    line: str
    lines: Lines

    def sites(self, until: str) -> list[str]:
        """Return the sites that a run of the line would take."""
        try:
            sites = list(self.lines.sites(self.line, until))
        except FactoryError as error:
            raise self._refused(str(error)) from error
        if not sites:
            raise RolloutRefused(f"line {self.line}: its source knows no site, so there is nothing to roll out")
        return sites

    def run(self, sites: Sequence[str], until: str, redo_from: str = "") -> dict[str, str]:
        """Run the line for the sites; return those that failed, and why."""
        request = LineRequest(line=self.line, sites=tuple(sites), until=until, redo_from=redo_from)
        try:
            outcome = self.lines.run(request, _nothing)
        except Stopped as stopped:
            raise Paused(128 + stopped.signal) from stopped
        except FactoryError as error:
            raise self._refused(str(error)) from error
        if LINE_SITE in outcome.failed or not outcome.sites:
            raise self._refused(outcome.failed.get(LINE_SITE, "what all its sites need failed"))
        return {site: outcome.failed[site] for site in sites if site in outcome.failed}

    def _refused(self, why: str) -> RolloutRefused:
        return RolloutRefused(
            f"line {self.line}: {why}; so the rollout stays at its step, and the same command goes on when that is "
            "put right"
        )


def _nothing(_event: Event) -> None:
    """Show nothing: whoever runs the lines shows them."""

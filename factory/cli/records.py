"""`factory records prune`: removes the gateway's records once they are in the lake.

Needs the factory's home and its lake; the gateway may run meanwhile, for only segments that nobody writes are touched.
"""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.options import HomeFolder, home_at
from factory.cli.screen import say
from factory.cli.site_commands import Releases
from factory.names import model_parts

if TYPE_CHECKING:
    from factory.monitoring.prediction_log.files import RecordedBatch
    from factory.release.protocols import ServedReleases
    from factory.storage.lake_store import LakeStore

app = typer.Typer(name="records", no_args_is_help=True, help="What the gateway recorded, and the lake has taken in.")
_SECONDS = {"d": 86_400, "h": 3_600}


@app.callback()
def records() -> None:
    """What the gateway recorded, and the lake has taken in."""


def _age_s(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,6}[dh]", text, re.ASCII):
        raise typer.BadParameter(f"{text!r} is no age: write it as 30d or 12h")
    return text


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="Days or hours, as in 30d, 12h.", callback=_age_s)] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    home: HomeFolder = None,
) -> None:
    """Remove segments whose every row is in the lake of its line; show why the others of that age stay."""
    from factory.monitoring.prediction_log.pruning import judged
    from factory.storage.lake_store import LakeStore

    releases = Releases(home=home_at(home))
    lakes = LakeStore.at(releases.home)
    before = time.time() - int(older_than[:-1]) * _SECONDS[older_than[-1]]
    sizes = []
    for segment in judged(releases.home.prediction_log, before, lakes.of, trials_since(releases)):
        if segment.reasons_to_keep:
            say(f"{segment.segment.name} stays: {'; '.join(segment.reasons_to_keep)}")
            continue
        sizes.append(segment.size)
        if not dry_run:
            segment.segment.unlink(missing_ok=True)
    would = "would be removed" if dry_run else "removed"
    say(f"{len(sizes)} segments {would}, {sum(sizes) / 1e6:,.1f} MB")


def trials_since(releases: Releases) -> dict[str, float]:
    """Return the models with a trial that runs, and since when, as Unix time.

    Raises ModelRefused where a trial cannot be read.
    """
    running = [releases.repository.trial(model, releases.public_key()) for model in releases.repository.trial_tokens()]
    return {trial.model: datetime.fromisoformat(trial.since).timestamp() for trial in running if trial}


def taken_in(lakes: "LakeStore", repository: "ServedReleases") -> "Callable[[str], RecordedBatch | None]":
    """Return what finds a prediction in the lakes of the lines that the repository knows."""

    def find(prediction: str) -> "RecordedBatch | None":
        from factory.monitoring.prediction_log.rows import recorded_again

        lines = sorted({model_parts(model)[0] for model in repository.models()})
        return next((batch for line in lines if (batch := recorded_again(lakes.of(line), prediction))), None)

    return find

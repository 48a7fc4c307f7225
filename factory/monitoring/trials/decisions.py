"""What people do with a trial: look at it, begin one of a release that lies there, promote it.

Needs the model repository, its history, the release key and the gateway's records alone. The registry's champion alias
follows by the line's next run or by the sensor `<line>_champion_moved`, as after a rollback.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from factory.errors import ReleaseRefused
from factory.monitoring.trials.figures import Figures, figures
from factory.monitoring.trials.gathering import gathered, recorded_since
from factory.release import Manifest, Terms, Trial
from factory.release.protocols import ReleaseRepository
from factory.release.rollback import try_out

MIN_REQUESTS = 100
"""So many requests a trial must have answered before it is promoted, unless a person says `--anyway`."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A trial that runs, its figures, and what speaks against promoting it."""

    trial: Trial
    figures: Figures
    objections: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        trial = {name: value for name, value in asdict(self.trial).items() if name != "signature"}
        return {"trial": trial, "figures": asdict(self.figures), "objections": list(self.objections)}


def shown(repository: ReleaseRepository, model: str, records: Path, key: Ed25519PublicKey) -> Shown | None:
    """Return the trial that runs at a model with its figures, by the gateway's records in a folder; None without one.

    Raises ModelRefused where it may not be loaded.
    """
    trial = repository.trial(model, key)
    if trial is None:
        return None
    champion, challenger = (repository.manifest(model, sequence) for sequence in (trial.beside, trial.release))
    since = datetime.fromisoformat(trial.since).timestamp()
    answers = gathered(recorded_since(records, since), trial, champion.digest)
    compared = figures(answers, champion, challenger)
    return Shown(trial=trial, figures=compared, objections=objections(compared))


def objections(figures: Figures) -> list[str]:
    """Return every reason not to promote a trial yet; an empty list means that there is none."""
    reasons, side = [], figures.challenger
    if side.requests < MIN_REQUESTS:
        reasons.append(f"it was asked {side.requests} times, needs {MIN_REQUESTS}")
    if side.errors:
        reasons.append(f"{side.errors} of {side.requests} requests failed, the last one: {side.error}")
    return reasons


def begin(repository: ReleaseRepository, model: str, sequence: int, terms: Terms, *, key: Ed25519PrivateKey) -> Trial:
    """Put a release that lies in the repository on trial, once it was loaded and answered its example.

    Raises ReleaseRefused where there is no such release or it is not permitted, and ModelRefused where it may not be
    loaded; what runs then stays.
    """
    if sequence not in repository.sequences(model):
        lying = ", ".join(map(str, repository.sequences(model))) or "none"
        raise ReleaseRefused(f"{model} has no release {sequence}; there are {lying}")
    try_out(repository.released(model, sequence, key.public_key()))
    return repository.start_trial(model, sequence, terms, key=key)


def promote(
    repository: ReleaseRepository, on: Shown, *, by: str, reason: str, key: Ed25519PrivateKey, anyway: bool = False
) -> Manifest:
    """Make what is on trial what the site serves, once it was loaded and answered its example; return its manifest.

    Raises ReleaseRefused where something speaks against it, unless `anyway`, which goes on record with the reasons.
    """
    if on.objections and not anyway:
        raise ReleaseRefused(
            f"{on.trial.model}: release {on.trial.release} is not promoted: {'; '.join(on.objections)}; let it run on, "
            "or say --anyway"
        )
    said = f"{reason} (anyway, though {'; '.join(on.objections)})" if on.objections else reason
    try_out(repository.tried(on.trial, key.public_key()))
    return repository.promote_trial(on.trial, by=by, reason=said, key=key)

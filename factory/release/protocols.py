"""What others ask of releases, by what they do with them; a store of another kind than a folder keeps these.

    ServedReleases     the gateway: what is served, and what is on trial beside it
    ReleaseReader      pages, sensors and stages too: every release that lies there, and what its site permits
    ReleaseRepository  whoever releases, rolls back or tries out: reads and writes

`ModelRepository` is the one on a folder. What is signed and checked (`Manifest`, `Trial`, `Record`) is the same
wherever it is kept.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from factory.release.draft import Draft
from factory.release.history import Event, Kind, Permissions, Record, Written
from factory.release.manifest import Manifest
from factory.release.releases import Released
from factory.release.trial import Terms, Trial


class SiteHistories(Protocol):
    """What was done at each site, by whom and why: appended to, never changed."""

    def append(
        self, model: str, event: Event, key: Ed25519PrivateKey, *, once: bool = False, among: Collection[Kind] = ()
    ) -> Record | None:
        """Put the event on record for good; None where `once` is given and it is there already. Raises HistoryError."""
        ...

    def read(self, model: str) -> Written:
        """Return what is written, unchecked. Raises HistoryError."""
        ...

    def models(self) -> list[str]:
        """Return the models that have a history, sorted."""
        ...

    def highest_version(self, model: str) -> int:
        """Return the greatest number that a version of the model ever had, 0 for none. Raises HistoryError."""
        ...

    def note_version(self, model: str, version: int) -> None:
        """Remember that a version of the model has this number. Raises HistoryError."""
        ...


class ServedReleases(Protocol):
    """What is served and what is on trial."""

    @property
    def place(self) -> str:
        """Where the releases are, for messages."""
        ...

    def reachable(self) -> bool:
        """Whether the releases can be asked for at all; while they cannot, nothing is taken out of service."""
        ...

    def models(self) -> list[str]:
        """Return the names of all released models, sorted."""
        ...

    def marker(self, model: str) -> str | None:
        """Return a token that changes with every release, in microseconds; None where nothing is released."""
        ...

    def load(self, model: str, key: Ed25519PublicKey) -> Released:
        """Return what is served; raises ModelRefused unless digest, signature and verdict fit together."""
        ...

    def released(self, model: str, sequence: int, key: Ed25519PublicKey) -> Released:
        """Return one release, served or not; raises ModelRefused as `load` does."""
        ...

    def trial_tokens(self) -> Mapping[str, str]:
        """Return, for each model with a trial, a token that changes with every change of it."""
        ...

    def trial(self, model: str, key: Ed25519PublicKey) -> Trial | None:
        """Return the trial that runs at a model, or None; raises ModelRefused where it is not signed."""
        ...

    def tried(self, trial: Trial, key: Ed25519PublicKey) -> Released:
        """Return the release that is on trial; raises ModelRefused as `load` does."""
        ...


class ReleaseReader(ServedReleases, Protocol):
    """Every release that lies there."""

    def current(self, model: str) -> Manifest | None:
        """Return the manifest of what is served, unchecked, or None; raises ModelRefused if it cannot be read."""
        ...

    def sequences(self, model: str) -> list[int]:
        """Return the numbers of the model's releases, oldest first."""
        ...

    def history(self, model: str) -> list[Manifest]:
        """Return every release of the model, oldest first."""
        ...

    def manifest(self, model: str, sequence: int) -> Manifest:
        """Return a release's manifest, its signature unchecked; raises ModelRefused."""
        ...

    def manifest_of(self, model: str, digest: str) -> Manifest | None:
        """Return the manifest of the newest release of a file, unchecked, or None."""
        ...

    def release_of(self, model: str, digest: str, key: Ed25519PublicKey) -> Released | None:
        """Return the newest release of a file, checked as one that is served, or None."""
        ...

    def permissions(self, model: str, key: Ed25519PublicKey) -> Permissions:
        """Return what the model's history permits."""
        ...

    def unregistered(self, model: str, key: Ed25519PublicKey) -> Record | None:
        """Return the rollback or the promotion of a trial that the registry's champion has to follow, or None."""
        ...


class ReleaseRepository(ReleaseReader, Protocol):
    """Releases, read and written; nothing is written that the verdict and the site's history do not permit."""

    @property
    def site_history(self) -> SiteHistories:
        """What was done at the sites."""
        ...

    def serve(self, draft: Draft, *, by: str, key: Ed25519PrivateKey, approval_required: bool = False) -> Manifest:
        """Make a file what its site serves; raises ReleaseRefused."""
        ...

    def return_to(self, model: str, sequence: int, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest:
        """Make an earlier release what the site serves, and hold it there."""
        ...

    def retire(self, model: str, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest | None:
        """Take a site out of service, on record, until it is reinstated; return what it served."""
        ...

    def reinstate(self, model: str, *, by: str, reason: str, key: Ed25519PrivateKey) -> bool:
        """Let a retired site have releases again; return whether it was retired."""
        ...

    def try_out(self, draft: Draft, terms: Terms, *, key: Ed25519PrivateKey, approval_required: bool = False) -> Trial:
        """Release a file beside what its site serves; raises ReleaseRefused."""
        ...

    def start_trial(self, model: str, sequence: int, terms: Terms, *, key: Ed25519PrivateKey) -> Trial:
        """Put a release that lies there on trial; raises ModelRefused, ReleaseRefused."""
        ...

    def end_trial(self, model: str, *, by: str, reason: str, key: Ed25519PrivateKey) -> Trial | None:
        """End a model's trial; raises ReleaseRefused where there is none."""
        ...

    def promote_trial(self, trial: Trial, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest:
        """Make what is on trial what the site serves; raises ReleaseRefused, ModelRefused."""
        ...

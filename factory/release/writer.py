"""The steps of a writer in the folder of releases, each whole or not at all; permissions are checked by the caller."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import ModelRefused
from factory.release.draft import Draft
from factory.release.layout import RELEASES, TRIALS, target, trial_file
from factory.release.manifest import Manifest
from factory.release.releases import Releases
from factory.release.trial import Trial
from factory.storage.atomic_files import TEMPORARY, create_file, sync_folder, temporary_name
from factory.storage.locks import FileLocks, Locks


class ReleaseWriter(Releases):
    """What a writer sees of the folder, and does to it."""

    def __init__(self, root: Path, locks: Locks | None = None) -> None:
        """Take the folder, and the locks by which writers exclude one another; by default files in the folder."""
        super().__init__(root)
        self.locks = locks or FileLocks(root / RELEASES / ".locks")

    @contextmanager
    def only_writer(self, model: str) -> Iterator[None]:
        """Hold the model's lock, which ends with the process, and clear what a crashed writer left."""
        folder = self.root / RELEASES / model
        folder.mkdir(parents=True, exist_ok=True)
        with self.locks.hold(f"releases.{model}"):
            for leftover in folder.glob(f"{TEMPORARY}*"):
                shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
            yield

    def loadable(self, model: str, key: Ed25519PrivateKey) -> Manifest | None:
        """Return what is served if it may be loaded; None without one, or where only a new release can repair it."""
        try:
            return self.load(model, key.public_key()).manifest
        except ModelRefused:
            return None

    def readable(self, model: str) -> Manifest | None:
        """Return what the link points to, unchecked; None also where it cannot be read."""
        try:
            return self.current(model)
        except ModelRefused:
            return None

    def running(self, model: str, key: Ed25519PrivateKey) -> Trial | None:
        """Return the trial that runs; None also where its file cannot be read."""
        try:
            return self.trial(model, key.public_key())
        except ModelRefused:
            return None

    def existing(self, draft: Draft, key: Ed25519PrivateKey) -> Manifest | None:
        """Return the newest release of the same file in the same way that may be loaded; None without one."""
        for sequence in reversed(self.sequences(draft.model)):
            try:
                if draft.is_in(self.manifest(draft.model, sequence)):
                    return self.released(draft.model, sequence, key.public_key()).manifest
            except ModelRefused:
                continue
        return None

    def next_sequence(self, model: str) -> int:
        """Return the number of the release that comes next."""
        return max(self.sequences(model), default=0) + 1

    def put(self, draft: Draft, manifest: Manifest) -> None:
        """Write the release whole and give it its sequence; the rename fails where that is taken."""
        folder = self.root / RELEASES / manifest.model
        temporary = folder / temporary_name(str(manifest.sequence))
        draft.write(temporary, manifest)
        temporary.rename(folder / str(manifest.sequence))
        sync_folder(folder)

    def switch(self, model: str, sequence: int) -> None:
        """Point the model's link to a release in one rename, so that the link is there at every moment."""
        link = self.root / RELEASES / model / temporary_name("link")
        link.symlink_to(target(model, sequence))
        link.replace(self.root / model)
        sync_folder(self.root)

    def withdraw(self, model: str) -> None:
        """Remove the model's link, if it has one, and return once that is on the disk; its releases stay."""
        (self.root / model).unlink(missing_ok=True)
        sync_folder(self.root)

    def put_trial(self, trial: Trial) -> None:
        """Write the trial over the one there may be, in one rename."""
        draft = self.root / RELEASES / trial.model / temporary_name("trial")
        create_file(draft, trial.to_json(), mode=0o444)
        (self.root / TRIALS).mkdir(exist_ok=True)
        draft.replace(self.root / trial_file(trial.model))
        sync_folder(self.root / TRIALS)

    def drop_trial(self, model: str) -> None:
        """Remove the model's trial, and return once that is on the disk."""
        (self.root / trial_file(model)).unlink()
        sync_folder(self.root / TRIALS)

"""What lies in the model repository, read and checked; the gateway needs nothing else.

<root>/.releases/<model>/<sequence>/   config.pbtxt  manifest.json  <version>/model.onnx     never changed
<root>/<model>  ->  .releases/<model>/<sequence>                                             the one that is served
<root>/.trials/<model>.json                                                                  the one on trial, if any
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.verdict import digest_of, require_permission
from factory.release.draft import MANIFEST_FILE
from factory.release.layout import RELEASES, TRIALS, checked, is_model, target, trial_file
from factory.release.manifest import Manifest
from factory.release.trial import MAX_TRIAL_BYTES, Trial
from factory.release.triton import MODEL_FILE
from factory.storage.atomic_files import read_file

MAX_MANIFEST_BYTES = 4 * 1024**2
MAX_MODEL_BYTES = 2 * 1024**3
"""ONNX's own limit for a model in one file."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """A model that may be served: exactly the bytes that were checked."""

    manifest: Manifest
    content: bytes
    marker: str


class Releases:
    """Every site's releases and trials under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def place(self) -> str:
        """Where the releases are, for messages."""
        return str(self.root)

    def reachable(self) -> bool:
        """Whether the folder is there; a disk that is away for a moment takes nothing out of service."""
        return self.root.is_dir()

    def current(self, model: str) -> Manifest | None:
        """Return what the link points to, unchecked, or None; raises ModelRefused where it cannot be read."""
        marker = self.marker(model)
        return None if marker is None else self.manifest(model, self._sequence(model, marker))

    def models(self) -> list[str]:
        """Return the names of all released models, sorted; including those that must not be loaded."""
        return sorted(place.name for place in self.root.iterdir() if is_model(place.name)) if self.root.is_dir() else []

    def history(self, model: str) -> list[Manifest]:
        """Return every release of the model, oldest first, those on trial too."""
        return [self.manifest(model, sequence) for sequence in self.sequences(model)]

    def marker(self, model: str) -> str | None:
        """Return a token that changes with every release and costs one system call; None where nothing is released."""
        try:
            return str((self.root / checked(model)).readlink())
        except FileNotFoundError:
            return None
        except OSError:
            return "not a link"

    def load(self, model: str, key: Ed25519PublicKey) -> Released:
        """Return the served model's bytes and manifest; raises ModelRefused unless all of it fits together.

        The link must point to a release of this model, the manifest be signed, its verdict pass the very bytes that
        are returned: they are read once.
        """
        marker = self.marker(model)
        if marker is None:
            raise ModelRefused(f"{model} is not released in {self.root}; run its line first")
        return self.released(model, self._sequence(model, marker), key)

    def release_of(self, model: str, digest: str, key: Ed25519PublicKey) -> Released | None:
        """Return the newest release of a file with this digest, checked as one that is served; None without one.

        Raises ModelRefused where it may not be loaded.
        """
        manifest = self.manifest_of(model, digest)
        return self.released(model, manifest.sequence, key) if manifest else None

    def manifest_of(self, model: str, digest: str) -> Manifest | None:
        """Return the manifest of the newest release of a file with this digest, unchecked; None without one."""
        manifests = (self.manifest(model, sequence) for sequence in reversed(self.sequences(model)))
        return next((manifest for manifest in manifests if manifest.digest == digest), None)

    def released(self, model: str, sequence: int, key: Ed25519PublicKey) -> Released:
        """Return one release's bytes and manifest, served or not; raises ModelRefused as `load` does."""
        manifest = self.manifest(checked(model), sequence)
        manifest.require_signature(key)
        folder = self.folder(model, sequence)
        content = read_file(folder / str(manifest.version) / MODEL_FILE, at_most=MAX_MODEL_BYTES)
        digest = digest_of(content)
        if digest != manifest.digest:
            raise ModelRefused(
                f"{model}: {MODEL_FILE} of release {sequence} has digest {digest[:12]}, its manifest says "
                f"{manifest.digest[:12]}; the file was changed: release the model again"
            )
        try:
            require_permission(manifest.verdict, line=manifest.line, site=manifest.site, digest=digest)
        except ReleaseRefused as error:
            raise ModelRefused(str(error)) from error
        return Released(manifest=manifest, content=content, marker=target(model, sequence))

    def manifest(self, model: str, sequence: int) -> Manifest:
        """Return a release's manifest, which must be of this model and this sequence; its signature is not checked."""
        place = self.folder(model, sequence) / MANIFEST_FILE
        manifest = Manifest.from_json(read_file(place, at_most=MAX_MANIFEST_BYTES), str(place))
        if (manifest.model, manifest.sequence) != (model, sequence):
            raise ModelRefused(f"{place} is the manifest of {manifest.model}, release {manifest.sequence}")
        return manifest

    def folder(self, model: str, sequence: int) -> Path:
        """Return a release's folder, which must be a real one: no link on the way leads elsewhere."""
        folder = self.root / target(model, sequence)
        if folder.resolve() != self.root.resolve() / target(model, sequence):
            raise ModelRefused(f"{model}: release {sequence} lies outside the repository, at {folder.resolve()}")
        return folder

    def _sequence(self, model: str, marker: str) -> int:
        """Return the sequence a link's target names; raises ModelRefused on any target that `release` never writes."""
        match = re.fullmatch(re.escape(f"{RELEASES}/{model}/") + r"([1-9][0-9]{0,8})", marker, re.ASCII)
        if match is None:
            raise ModelRefused(
                f"{model}: {self.root / model} points to {marker!r}, which is no release of it; release the model again"
            )
        return int(match[1])

    def sequences(self, model: str) -> list[int]:
        """Return the numbers of the model's releases, oldest first."""
        folder = self.root / RELEASES / checked(model)
        places = folder.iterdir() if folder.is_dir() else ()
        return sorted(int(place.name) for place in places if re.fullmatch(r"[1-9][0-9]{0,8}", place.name, re.ASCII))

    def trial_tokens(self) -> Mapping[str, str]:
        """Return, for each model with a trial, a token that changes with every change of it."""
        folder = self.root / TRIALS
        names = [place.stem for place in folder.glob("*.json")] if folder.is_dir() else []
        tokens = {model: self.trial_token(model) for model in names if is_model(model)}
        return {model: token for model, token in tokens.items() if token is not None}

    def trial_token(self, model: str) -> str | None:
        """Return the token of the model's trial; None where it has none."""
        try:
            status = (self.root / trial_file(checked(model))).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return f"{status.st_ino}-{status.st_mtime_ns}"

    def trial(self, model: str, key: Ed25519PublicKey) -> Trial | None:
        """Return the trial that runs at a model; None without one, and where its time is over.

        It is over when another release is served than the one it runs beside. Raises ModelRefused where its file is not
        signed, or is another model's.
        """
        if self.trial_token(model) is None:
            return None
        place = self.root / trial_file(model)
        trial = Trial.from_json(read_file(place, at_most=MAX_TRIAL_BYTES), str(place))
        trial.require_signature(key)
        if trial.model != model:
            raise ModelRefused(f"{place} is the trial of {trial.model}; end it and start it again")
        return trial if self.marker(model) == target(model, trial.beside) else None

    def tried(self, trial: Trial, key: Ed25519PublicKey) -> Released:
        """Return the release that is on trial, which need not be served; raises ModelRefused as `load` does.

        It must be the very file that the trial names, and take and give what the release beside it does.
        """
        released = self.released(trial.model, trial.release, key)
        if released.manifest.digest != trial.digest:
            raise ModelRefused(
                f"{trial.model}: release {trial.release} has digest {released.manifest.digest[:12]}, on trial is "
                f"{trial.digest[:12]}; end the trial and start it again"
            )
        require_same_signature(released.manifest, self.manifest(trial.model, trial.beside))
        return released


def require_same_signature(tried: Manifest, served: Manifest) -> None:
    """Raise ModelRefused unless both can answer the same requests."""
    if tried.model_signature != served.model_signature:
        raise ModelRefused(
            f"{tried.model}: release {tried.sequence} takes or gives other than release {served.sequence}, which is "
            "served, so no request fits both: release it directly (`gates: promotion: direct`)"
        )

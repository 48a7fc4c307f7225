"""The folder of releases.

    <root>/.releases/<model>/<sequence>/   config.pbtxt  manifest.json  <version>/model.onnx     never changed
    <root>/<model>  ->  .releases/<model>/<sequence>                                             the one that is served

A release is written under a temporary name, renamed to its sequence, and then the link is renamed over the old one: a
crash at any point leaves the old release or the new one, whole.

Triton serves this folder with `--model-control-mode=explicit --load-model=<model>`. Without it Triton 2.51 was seen to
take `.releases` for a model that cannot be loaded: it stops, or with `--exit-on-error=false` serves but is never
ready.
"""

import fcntl
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from factory.durable import TEMPORARY, read_file, sync_folder, temporary_name
from factory.errors import ModelRefused, NameRefused, ReleaseRefused
from factory.names import checked_name
from factory.repository.draft import MANIFEST_FILE, Draft
from factory.repository.guard import Guard
from factory.repository.manifest import Manifest
from factory.repository.triton import MODEL_FILE
from factory.signature import Signature
from factory.verdict import Verdict, digest_of, require_permission

RELEASES = ".releases"
NO_GUARD = Guard()
MAX_MANIFEST_BYTES = 4 * 1024**2
MAX_MODEL_BYTES = 2 * 1024**3
"""ONNX's own limit for a model in one file."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """A model that may be served: exactly the bytes that were checked."""

    manifest: Manifest
    content: bytes
    marker: str


class ModelRepository:
    """Every site's releases under one folder, in the layout of a Triton model repository."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def release(  # noqa: PLR0913  what a manifest says, each by its name
        self,
        content: bytes,
        *,
        line: str,
        site: str,
        version: int,
        verdict: Verdict,
        signature: Signature,
        threshold: float,
        provenance: Mapping[str, str],
        example: Sequence[float | None],
        key: Ed25519PrivateKey,
        guard: Guard = NO_GUARD,
    ) -> Manifest:
        """Make this ONNX file what the site serves, and return its manifest.

        `example` is one row of input, flattened to `signature.input_size` numbers. Raises ReleaseRefused, with nothing
        written, unless the verdict passed exactly these bytes for this site. What is served already, unharmed, with
        the same version, signature, threshold and guard, stays as it is.
        """
        draft = Draft(
            content=content,
            line=line,
            site=site,
            version=version,
            verdict=verdict,
            signature=signature,
            threshold=threshold,
            provenance=provenance,
            example=example,
            guard=guard,
        )
        # Before anything is written: is it permitted, and could it be read back?
        draft.manifest(key, sequence=1, previous=None)
        with self._only_writer(draft.model):
            return self._released(draft, key)

    def current(self, model: str) -> Manifest | None:
        """Return what the link points to, unchecked, or None; raises ModelRefused where it cannot be read."""
        marker = self.marker(model)
        return None if marker is None else self._manifest(model, self._sequence(model, marker))

    def models(self) -> list[str]:
        """Return the names of all released models, sorted; those that must not be loaded too."""
        return (
            sorted(place.name for place in self.root.iterdir() if _is_model(place.name)) if self.root.is_dir() else []
        )

    def history(self, model: str) -> list[Manifest]:
        """Return every release of the model, oldest first: what it served, since when, and after which one."""
        return [self._manifest(model, sequence) for sequence in self._sequences(model)]

    def marker(self, model: str) -> str | None:
        """Return a token that changes with every release and costs one system call; None where nothing is released."""
        try:
            return str((self.root / _checked(model)).readlink())
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
        return self._checked_release(model, self._sequence(model, marker), key)

    def reload(self, model: str, sequence: int, key: Ed25519PublicKey) -> Released:
        """Return one release of the model, served or not, checked as `load` checks; raises ModelRefused."""
        return self._checked_release(_checked(model), sequence, key)

    def _checked_release(self, model: str, sequence: int, key: Ed25519PublicKey) -> Released:
        manifest = self._manifest(model, sequence)
        manifest.require_signature(key)
        folder = self._folder(model, sequence)
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
        return Released(manifest=manifest, content=content, marker=_target(model, sequence))

    def _manifest(self, model: str, sequence: int) -> Manifest:
        """Return a release's manifest, which must be of this model and this sequence."""
        place = self._folder(model, sequence) / MANIFEST_FILE
        manifest = Manifest.from_json(read_file(place, at_most=MAX_MANIFEST_BYTES), str(place))
        if (manifest.model, manifest.sequence) != (model, sequence):
            raise ModelRefused(f"{place} is the manifest of {manifest.model}, release {manifest.sequence}")
        return manifest

    def _folder(self, model: str, sequence: int) -> Path:
        """Return a release's folder, which must be a real one: no link on the way leads elsewhere."""
        folder = self.root / _target(model, sequence)
        if folder.resolve() != self.root.resolve() / _target(model, sequence):
            raise ModelRefused(f"{model}: release {sequence} lies outside the repository, at {folder.resolve()}")
        return folder

    def _sequence(self, model: str, marker: str) -> int:
        """Return the sequence a link's target names; raises ModelRefused on any target that `release` never writes."""
        found = re.fullmatch(re.escape(f"{RELEASES}/{model}/") + r"([1-9][0-9]{0,8})", marker, re.ASCII)
        if found is None:
            raise ModelRefused(
                f"{model}: {self.root / model} points to {marker!r}, which is no release of it; release the model again"
            )
        return int(found[1])

    def _sequences(self, model: str) -> list[int]:
        folder = self.root / RELEASES / _checked(model)
        places = folder.iterdir() if folder.is_dir() else ()
        return sorted(int(place.name) for place in places if re.fullmatch(r"[1-9][0-9]{0,8}", place.name, re.ASCII))

    @contextmanager
    def _only_writer(self, model: str) -> Iterator[None]:
        """Hold the model's lock, which ends with the process, and clear what a crashed writer left."""
        folder = self.root / RELEASES / model
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for leftover in folder.glob(f"{TEMPORARY}*"):
                leftover.unlink() if leftover.is_symlink() else shutil.rmtree(leftover)
            yield

    def _released(self, draft: Draft, key: Ed25519PrivateKey) -> Manifest:
        served = self._unharmed(draft.model, key)
        if served and draft.is_in(served):
            return served
        sequence = max(self._sequences(draft.model), default=0) + 1
        manifest = draft.manifest(key, sequence=sequence, previous=served.sequence if served else None)
        self._put(draft, manifest)
        self._switch(draft.model, sequence)
        return manifest

    def _unharmed(self, model: str, key: Ed25519PrivateKey) -> Manifest | None:
        """Return what is served if it may be loaded; None also where only a new release can mend it."""
        try:
            return self.load(model, key.public_key()).manifest
        except ModelRefused:
            return None

    def _put(self, draft: Draft, manifest: Manifest) -> None:
        """Write the release whole and give it its sequence, which nothing can have taken: the rename would fail."""
        folder = self.root / RELEASES / manifest.model
        temporary = folder / temporary_name(str(manifest.sequence))
        draft.write(temporary, manifest)
        temporary.rename(folder / str(manifest.sequence))
        sync_folder(folder)

    def _switch(self, model: str, sequence: int) -> None:
        """Point the model's link to a release in one rename; never is there none."""
        link = self.root / RELEASES / model / temporary_name("link")
        link.symlink_to(_target(model, sequence))
        link.replace(self.root / model)
        sync_folder(self.root)


def _target(model: str, sequence: int) -> str:
    return f"{RELEASES}/{model}/{sequence}"


def _is_model(name: str) -> bool:
    try:
        return bool(_checked(name))
    except ModelRefused:
        return False


def _checked(model: str) -> str:
    """Return the name unchanged, or raise ModelRefused: `<line>.<site>`, each a checked name."""
    line, _, site = model.partition(".")
    try:
        checked_name(line, "line")
        checked_name(site)
    except NameRefused as error:
        raise ModelRefused(f"model name {model[:80]!r} is not <line>.<site>: {error}") from error
    return model

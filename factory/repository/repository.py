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
from factory.errors import ModelRefused, ReleaseRefused
from factory.history import Event, History, Standing, standing, verdict_digest
from factory.repository.draft import MANIFEST_FILE, Draft
from factory.repository.guard import Guard
from factory.repository.manifest import Manifest
from factory.repository.places import RELEASES, checked, is_model, target
from factory.repository.triton import MODEL_FILE
from factory.signature import Signature
from factory.verdict import Verdict, digest_of, require_permission

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

    def __init__(self, root: Path, history: Path | None = None) -> None:
        self.root = root
        self.site_history = History(history or root.parent / "history")

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
        by: str = "factory",
        approval_required: bool = False,
    ) -> Manifest:
        """Make this ONNX file what the site serves, and return its manifest.

        `example` is one row of input, flattened to `signature.input_size` numbers. Raises ReleaseRefused, with nothing
        written, unless the verdict passed exactly these bytes for this site and the site's history permits them; `by`
        goes on record there. What is served already, unharmed, with the same version, signature, threshold and guard,
        stays as it is.
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
            return self._released(draft, key, by, approval_required=approval_required)

    def return_to(self, model: str, sequence: int, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest:
        """Make an earlier release what the site serves, and hold it there: nothing replaces it until somebody allows.

        Raises ModelRefused unless all of that release fits together, as in `load`.
        """
        self._folder(model, sequence)  # before anything is written: a name that is none is refused
        with self._only_writer(model):
            manifest = self.released(model, sequence, key.public_key()).manifest
            event = Event(
                kind="rollback",
                actor=by,
                reason=reason,
                version=manifest.version,
                release=sequence,
                digest=manifest.digest,
                verdict=verdict_digest(manifest.verdict),
                withdrawn=self._replaced(model, manifest),
            )
            self.site_history.append(model, event, key)
            self._switch(model, sequence)
        return manifest

    def standing(self, model: str, key: Ed25519PublicKey) -> Standing:
        """Return what the model's history permits; what is served and not on record there breaks it."""
        served = self._readable(model)
        releases = {served.sequence: served.digest} if served else {}
        return standing(self.site_history.read(model), key, releases=releases)

    def current(self, model: str) -> Manifest | None:
        """Return what the link points to, unchecked, or None; raises ModelRefused where it cannot be read."""
        marker = self.marker(model)
        return None if marker is None else self.manifest(model, self._sequence(model, marker))

    def models(self) -> list[str]:
        """Return the names of all released models, sorted; those that must not be loaded too."""
        return sorted(place.name for place in self.root.iterdir() if is_model(place.name)) if self.root.is_dir() else []

    def history(self, model: str) -> list[Manifest]:
        """Return every release of the model, oldest first: what it served, since when, and after which one."""
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

    def found(self, model: str, digest: str, key: Ed25519PublicKey) -> Released | None:
        """Return the newest release of a file with this digest, checked as one that is served; None without one.

        Raises ModelRefused where it may not be loaded.
        """
        for sequence in reversed(self.sequences(model)):
            if self.manifest(model, sequence).digest == digest:
                return self.released(model, sequence, key)
        return None

    def released(self, model: str, sequence: int, key: Ed25519PublicKey) -> Released:
        """Return one release's bytes and manifest, served or not; raises ModelRefused as `load` does."""
        manifest = self.manifest(model, sequence)
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
        return Released(manifest=manifest, content=content, marker=target(model, sequence))

    def manifest(self, model: str, sequence: int) -> Manifest:
        """Return a release's manifest, which must be of this model and this sequence; its signature is not checked."""
        place = self._folder(model, sequence) / MANIFEST_FILE
        manifest = Manifest.from_json(read_file(place, at_most=MAX_MANIFEST_BYTES), str(place))
        if (manifest.model, manifest.sequence) != (model, sequence):
            raise ModelRefused(f"{place} is the manifest of {manifest.model}, release {manifest.sequence}")
        return manifest

    def _folder(self, model: str, sequence: int) -> Path:
        """Return a release's folder, which must be a real one: no link on the way leads elsewhere."""
        folder = self.root / target(model, sequence)
        if folder.resolve() != self.root.resolve() / target(model, sequence):
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

    def sequences(self, model: str) -> list[int]:
        """Return the numbers of the model's releases, oldest first."""
        folder = self.root / RELEASES / checked(model)
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

    def _released(self, draft: Draft, key: Ed25519PrivateKey, by: str, *, approval_required: bool) -> Manifest:
        served = self._unharmed(draft.model, key)
        if served and draft.is_in(served):
            return served
        permitted = self.standing(draft.model, key.public_key())
        permitted.require(digest_of(draft.content), approval_required=approval_required)
        sequence = max(self.sequences(draft.model), default=0) + 1
        manifest = draft.manifest(key, sequence=sequence, previous=served.sequence if served else None)
        self._record(manifest, key, by)  # first: no release lies here that is not on record
        self._put(draft, manifest)
        self._switch(draft.model, sequence)
        return manifest

    def _unharmed(self, model: str, key: Ed25519PrivateKey) -> Manifest | None:
        """Return what is served if it may be loaded; None also where only a new release can mend it."""
        try:
            return self.load(model, key.public_key()).manifest
        except ModelRefused:
            return None

    def _record(self, manifest: Manifest, key: Ed25519PrivateKey, by: str) -> None:
        event = Event(
            kind="release",
            actor=by,
            reason=f"release {manifest.sequence} after {manifest.previous or 'none'}",
            version=manifest.version,
            release=manifest.sequence,
            digest=manifest.digest,
            verdict=verdict_digest(manifest.verdict),
        )
        self.site_history.append(manifest.model, event, key, once=True)

    def _readable(self, model: str) -> Manifest | None:
        try:
            return self.current(model)
        except ModelRefused:
            return None

    def _replaced(self, model: str, manifest: Manifest) -> str | None:
        """Return the digest of what a rollback takes out of service; None where it stays the same file."""
        served = self._readable(model)
        return served.digest if served and served.digest != manifest.digest else None

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
        link.symlink_to(target(model, sequence))
        link.replace(self.root / model)
        sync_folder(self.root)

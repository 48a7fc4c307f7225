"""One release on its way to the disk: checked, signed, written whole under a name of its own, then put in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.payoff import Payoff
from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of, require_permission
from factory.names import model_name
from factory.release.guard import Guard
from factory.release.manifest import Manifest, known
from factory.release.triton import MODEL_FILE, triton_config
from factory.storage.atomic_files import create_file, sync_folder

MANIFEST_FILE, CONFIG_FILE = "manifest.json", "config.pbtxt"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A model file with all that its manifest will say except when and as which release."""

    content: bytes
    line: str
    site: str
    version: int
    verdict: Verdict
    signature: Signature
    threshold: float
    provenance: Mapping[str, str]
    example: Sequence[float | None]
    guard: Guard
    stakes: Payoff | None = None
    constant: float = 0.0

    @classmethod
    def again(cls, content: bytes, manifest: Manifest) -> "Draft":
        """Return what a release was made of, to release it once more."""
        return cls(
            content=content,
            line=manifest.line,
            site=manifest.site,
            version=manifest.version,
            verdict=manifest.verdict,
            signature=manifest.model_signature,
            threshold=manifest.threshold,
            provenance=manifest.provenance,
            example=manifest.example,
            guard=manifest.guard,
            stakes=manifest.stakes,
            constant=manifest.constant,
        )

    @property
    def model(self) -> str:
        """The model's name; raises NameRefused."""
        return model_name(self.line, self.site)

    def require_permission(self) -> str:
        """Return the digest of the file, or raise ReleaseRefused: the verdict must be a passing one on exactly it."""
        digest = digest_of(self.content)
        require_permission(self.verdict, line=self.line, site=self.site, digest=digest)
        return digest

    def is_in(self, manifest: Manifest) -> bool:
        """Whether a release serves the same file in the same way; when it was judged does not matter."""
        theirs = (manifest.digest, manifest.version, manifest.model_signature, manifest.threshold)
        mine = (digest_of(self.content), self.version, self.signature, float(self.threshold))
        return (*theirs, manifest.guard, manifest.stakes, manifest.constant) == (
            *mine,
            self.guard,
            self.stakes,
            self.constant,
        )

    def manifest(self, key: Ed25519PrivateKey, *, sequence: int, previous: int | None) -> Manifest:
        """Return the signed manifest, released now.

        Raises ReleaseRefused without a passing verdict for exactly this file, or if `load` could not read it back.
        """
        try:
            signed = Manifest(
                line=self.line,
                site=self.site,
                model=self.model,
                version=self.version,
                digest=self.require_permission(),
                verdict=self.verdict,
                model_signature=self.signature,
                threshold=float(self.threshold),
                released_at=datetime.now(UTC).isoformat(timespec="microseconds"),
                provenance=dict(self.provenance),
                example=known(self.example),
                sequence=sequence,
                previous=previous,
                guard=self.guard,
                stakes=self.stakes,
                constant=self.constant,
            ).signed(key)
            Manifest.from_json(signed.to_json()).require_signature(key.public_key())
        except (ValueError, TypeError, ModelRefused) as error:
            raise ReleaseRefused(f"{self.line}.{self.site}: its manifest cannot be written: {error}") from error
        return signed

    def write(self, folder: Path, manifest: Manifest) -> None:
        """Write the release into a new folder and return once it is on the disk; the files cannot be written again."""
        inner = folder / str(manifest.version)
        inner.mkdir(parents=True)
        config = triton_config(manifest.model, manifest.version, manifest.model_signature)
        create_file(inner / MODEL_FILE, self.content, mode=0o444)
        create_file(folder / CONFIG_FILE, config.encode(), mode=0o444)
        create_file(folder / MANIFEST_FILE, manifest.to_json(), mode=0o444)
        sync_folder(inner)
        sync_folder(folder)

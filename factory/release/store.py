"""What sites serve, and the key that signs it, as the stages and sensors are given them."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.names import line_and_site
from factory.release.protocols import ReleaseRepository, SiteHistories
from factory.release.repository import ModelRepository
from factory.release.signing import signing_key


@dataclass(frozen=True, kw_only=True)
class ModelStore:
    """A Triton model repository in a folder; releases are signed with a key that never leaves its folder."""

    root: Path
    key_folder: Path
    history: SiteHistories | None = None
    """The sites' histories; by default in a folder beside `root`."""

    def repository(self) -> ReleaseRepository:
        """Return the repository."""
        return ModelRepository(self.root, self.history)

    def key(self) -> Ed25519PrivateKey:
        """Return the signing key, made on first use."""
        return signing_key(self.key_folder)

    def removed_sites(self, line: str) -> dict[str, str]:
        """Return the sites that somebody removed from a line: who did, why, and how one comes back."""
        repository = self.repository()
        models = [model for model in repository.site_history.models() if line_and_site(model)[0] == line]
        if not models:
            return {}
        key = self.key().public_key()
        removals = {line_and_site(model)[1]: repository.permissions(model, key).removal() for model in models}
        return {site: removal for site, removal in removals.items() if removal}

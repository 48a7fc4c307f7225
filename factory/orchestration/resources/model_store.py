"""The model repository as a resource: what sites serve, and the key that signs it."""

from pathlib import Path

import dagster as dg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from factory.release import ModelRepository
from factory.release.signing import signing_key


class ModelStore(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """A Triton model repository in a folder; releases are signed with a key that never leaves its folder."""

    root: str = Field(description="folder of the model repository")
    key_folder: str = Field(description="folder of the release key; only the public half is for the gateway")

    def repository(self) -> ModelRepository:
        """Return the repository."""
        return ModelRepository(Path(self.root))

    def key(self) -> Ed25519PrivateKey:
        """Return the signing key, made on first use."""
        return signing_key(Path(self.key_folder))

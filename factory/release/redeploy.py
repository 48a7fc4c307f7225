"""A release once more: the file and everything its manifest says, as the site's newest release."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import ReleaseRefused
from factory.names import line_and_site
from factory.release import Draft, Manifest
from factory.release.protocols import ReleaseRepository


def redeploy(repository: ReleaseRepository, model: str, digest: str, *, by: str, key: Ed25519PrivateKey) -> Manifest:
    """Release again what was released before with this digest, and return the new manifest.

    The site's history must permit it as any other release. Raises ReleaseRefused where no such release lies in the
    repository, and ModelRefused where it was changed since.
    """
    line, site = line_and_site(model)
    sequence = next((n for n in reversed(repository.sequences(model)) if _is(repository, model, n, digest)), None)
    if sequence is None:
        raise ReleaseRefused(
            f"{model}: file {digest[:12]} was never released, so how to serve it is not known; "
            f"release it with its line: factory run {line} --sites {site}"
        )
    before = repository.released(model, sequence, key.public_key())
    return repository.serve(Draft.again(before.content, before.manifest), by=by, key=key)


def _is(repository: ReleaseRepository, model: str, sequence: int, digest: str) -> bool:
    return repository.manifest(model, sequence).digest == digest

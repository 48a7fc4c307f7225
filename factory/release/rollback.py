"""An earlier release again: rolled back to by a person, or redeployed because the registry's champion moved to it.

A rollback is tried out first, goes on record, and holds the site there until somebody allows other releases. It needs
the model repository, its history and the release key alone. The registry's champion alias is put right by the next run
of the line, whose release stage meets the hold.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.session import OnnxSession
from factory.names import line_and_site
from factory.release import Draft, Manifest, Released
from factory.release.protocols import ReleaseRepository


def roll_back(
    repository: ReleaseRepository, model: str, *, to: int | None, by: str, reason: str, key: Ed25519PrivateKey
) -> Manifest:
    """Make the release `to`, or the one before what is served, the site's again; return its manifest.

    Its digest, signature and verdict are checked, ONNX Runtime loads it and answers its example; only then is the link
    switched. Going back to what is served already only adds the hold. Raises ReleaseRefused where there is no such
    release and ModelRefused where it may not be served; what is served then stays.
    """
    sequence = _before(repository, model) if to is None else _known(repository, model, to, key.public_key())
    try_out(repository.released(model, sequence, key.public_key()))
    return repository.return_to(model, sequence, by=by, reason=reason, key=key)


def try_out(released: Released) -> None:
    """Raise ModelRefused unless ONNX Runtime loads the release and it answers its own example."""
    manifest = released.manifest
    try:
        session = OnnxSession(released.content).require(manifest.model_signature)
        session.try_example(manifest.example, manifest.model_signature)
    except ModelRefused as error:
        raise ModelRefused(f"{manifest.model} version {manifest.version}: {error}") from error


def redeploy(repository: ReleaseRepository, model: str, digest: str, *, by: str, key: Ed25519PrivateKey) -> Manifest:
    """Release again what was released before with this digest, and return the new manifest.

    The site's history must permit it as any other release. Raises ReleaseRefused where no such release lies in the
    repository, and ModelRefused where it was changed since.
    """
    line, site = line_and_site(model)
    manifest = repository.manifest_of(model, digest)
    if manifest is None:
        raise ReleaseRefused(
            f"{model}: file {digest[:12]} was never released, so how to serve it is not known; "
            f"release it with its line: factory run {line} --sites {site}"
        )
    before = repository.released(model, manifest.sequence, key.public_key())
    return repository.serve(Draft.again(before.content, before.manifest), by=by, key=key)


def _before(repository: ReleaseRepository, model: str) -> int:
    try:
        served = repository.current(model)
    except ModelRefused as error:
        raise ReleaseRefused(f"{error}; say which release with --to: {_all(repository, model)}") from error
    if served is None or served.previous is None:
        what = "nothing is served" if served is None else f"release {served.sequence} was its first"
        raise ReleaseRefused(f"{model}: {what}, so there is none before it to go back to")
    return served.previous


def _known(repository: ReleaseRepository, model: str, sequence: int, key: Ed25519PublicKey) -> int:
    if sequence not in repository.sequences(model):
        raise ReleaseRefused(f"{model} has no release {sequence}; there are {_all(repository, model)}")
    if sequence in repository.permissions(model, key).only_tried:
        raise ReleaseRefused(
            f"{model}: release {sequence} was on trial and never served, so there is no going back to it; put it on "
            f"trial: factory trial start {model.partition('.')[2]} --release {sequence} --as … --by NAME --reason …"
        )
    return sequence


def _all(repository: ReleaseRepository, model: str) -> str:
    return ", ".join(map(str, repository.sequences(model))) or "none"

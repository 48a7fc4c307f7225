"""A site's history in plain JSON types, for a screen or a program."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused
from factory.release.history.head import Head
from factory.release.history.verify import findings
from factory.release.protocols import ReleaseRepository


def told_of(repository: ReleaseRepository, model: str, key: Ed25519PublicKey) -> dict[str, Any]:
    """Return `{"model", "records": […], "hold", "wait", "head", "findings": […]}`, records oldest first."""
    written = repository.site_history.read(model)
    permissions = repository.permissions(model, key)
    return {
        "model": model,
        "records": [asdict(record) for record in written.records()],
        "hold": asdict(permissions.hold) if permissions.hold else None,
        "wait": asdict(permissions.wait) if permissions.wait else None,
        **_verified(repository, model, key, None),
    }


def verified(
    repository: ReleaseRepository, models: Iterable[str], key: Ed25519PublicKey, kept: Mapping[str, tuple[int, str]]
) -> dict[str, Any]:
    """Return `{"sites": {model: {"head": {"count", "hash"}, "findings": […]}}}`; `kept` are heads from elsewhere."""
    everybody = sorted({*models, *kept})
    return {"sites": {model: _verified(repository, model, key, kept.get(model)) for model in everybody}}


def _verified(
    repository: ReleaseRepository, model: str, key: Ed25519PublicKey, kept: tuple[int, str] | None
) -> dict[str, Any]:
    written = repository.site_history.read(model)
    elsewhere = Head(model=model, count=kept[0], hash=kept[1]) if kept else None
    found = findings(written, key, releases=_releases(repository, model), witness=elsewhere)
    head = Head.of(model, written.lines) if written.lines else None
    return {
        "head": {"count": head.count, "hash": head.hash} if head else None,
        "findings": [finding.what for finding in found],
    }


def _releases(repository: ReleaseRepository, model: str) -> dict[int, str]:
    """Return the releases that lie in the repository; one whose manifest cannot be read cannot be served either."""
    found = {}
    for sequence in repository.sequences(model):
        try:
            found[sequence] = repository.manifest(model, sequence).digest
        except ModelRefused:
            continue
    return found

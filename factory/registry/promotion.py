"""Promotion: a registered version becomes champion by its verdict, on record, and stays so only as that very file."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.verdict import Verdict, digest_of, require_permission
from factory.registry.connection import Connection
from factory.registry.record import MODEL_FILE, WEIGHTS_FILE
from factory.registry.site_record import SiteRecord
from factory.release.history import Record

ModelVersion = Any


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What a site serves: the exact file, and the verdict by which it was promoted."""

    model: str
    version: int
    run_id: str
    digest: str
    onnx: bytes
    verdict: Verdict


def registered_file(mlflow: Connection, registered: ModelVersion, file: str = MODEL_FILE) -> bytes:
    """Return a file of the version as it is now. Raises ModelRefused if it is gone."""
    try:
        return mlflow.file(f"{registered.source}/{file}")
    except OSError as error:
        raise ModelRefused(f"{registered.name} version {registered.version}: {file} cannot be read: {error}") from error


def verified_file(mlflow: Connection, registered: ModelVersion) -> bytes:
    """Return the version's ONNX file. Raises ModelRefused unless it is the one that was registered."""
    return _verified(mlflow, registered, MODEL_FILE, "digest")


def verified_weights(mlflow: Connection, registered: ModelVersion) -> bytes:
    """Return the version's safetensors file. Raises ModelRefused unless it is the one that was registered."""
    return _verified(mlflow, registered, WEIGHTS_FILE, "weights_digest")


def why_not_whole(mlflow: Connection, registered: ModelVersion) -> str | None:
    """Return which of the version's files is gone or changed, and how; None where none is.

    Files that are not on a disk of this machine are looked at when they are needed.
    """
    if not mlflow.is_on_disk(registered.source):
        return None
    try:
        verified_file(mlflow, registered)
        verified_weights(mlflow, registered)
    except ModelRefused as error:
        return str(error)
    return None


def _verified(mlflow: Connection, registered: ModelVersion, file: str, tag: str) -> bytes:
    content = registered_file(mlflow, registered, file)
    digest, expected = digest_of(content), registered.tags.get(tag, "unknown")
    if digest != expected:
        raise ModelRefused(
            f"{registered.name} version {registered.version}: {file} is {digest[:12]}, registered was {expected[:12]}; "
            "somebody changed it: train and register the model anew"
        )
    return content


def promote(
    mlflow: Connection,
    record: SiteRecord,
    registered: ModelVersion,
    verdict: Verdict | None,
    *,
    by: str,
    approval_required: bool,
) -> None:
    """Give the version the alias `champion` if it may have it; see `Registry.promote`, which holds the model's lock."""
    model, version = registered.name, int(registered.version)
    digest = digest_of(registered_file(mlflow, registered))
    approval = record.permission(model, version, digest, verdict, by=by, approval_required=approval_required)
    if "champion" not in registered.aliases or "promotion" not in registered.tags:
        record.promoted(model, version, verdict, by=by)
        _write_promotion(mlflow, registered, verdict, by, approval)
        mlflow.models.set_registered_model_alias(model, "champion", str(version))
    if "challenger" in registered.aliases:
        mlflow.models.delete_registered_model_alias(model, "challenger")


def _write_promotion(
    mlflow: Connection, registered: ModelVersion, verdict: Verdict | None, by: str, approval: Record | None = None
) -> None:
    """Keep who promoted the version, who approved it, when, and by which verdict; earlier promotions stay on record."""
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    file = f"promotions/{at.replace(':', '')}.json"
    mlflow.put_record(registered, {"by": by, "at": at, "verdict": verdict and verdict.to_dict()}, file)
    approved = {"approved_by": approval.actor, "approved_at": approval.at} if approval else {}
    for tag, value in {**approved, "promoted_by": by, "promoted_at": at, "promotion": file}.items():
        mlflow.models.set_model_version_tag(registered.name, str(registered.version), tag, value)


def checked_champion(mlflow: Connection, registered: ModelVersion) -> Champion:
    """Return the champion if its file is the registered one and its promotion permits exactly that file."""
    who, onnx = f"{registered.name} version {registered.version}", verified_file(mlflow, registered)
    digest = digest_of(onnx)
    if "promotion" not in registered.tags:
        raise ModelRefused(f"{who} is champion but was never promoted: the alias was moved by hand; promote it instead")
    line, site = registered.name.split(".", 1)
    try:
        verdict = Verdict.from_dict(json.loads(mlflow.record_text(registered, registered.tags["promotion"]))["verdict"])
        require_permission(verdict, line=line, site=site, digest=digest)
    except (ReleaseRefused, KeyError, TypeError, ValueError, OSError) as error:
        raise ModelRefused(f"{who}: the promotion on record does not permit it: {error}") from error
    return Champion(
        model=registered.name,
        version=int(registered.version),
        run_id=registered.run_id,
        digest=digest,
        onnx=onnx,
        verdict=verdict,
    )

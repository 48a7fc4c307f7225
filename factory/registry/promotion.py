"""Promotion: a registered version becomes champion by its verdict, on record, and stays so only as that very file."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.candidate import MODEL_FILE, REFERENCE_FILE
from factory.model.verdict import Verdict, digest_of, require_permission
from factory.names import model_parts
from factory.registry.connection import Connection
from factory.registry.site_record import SiteRecord
from factory.release.history import Record

ModelVersion = Any
_DIGEST = ".digest"


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


def verified_file(mlflow: Connection, registered: ModelVersion, file: str = MODEL_FILE) -> bytes:
    """Return a file of the version, by default its ONNX file. Raises ModelRefused unless it is as registered."""
    expected = registered.tags.get(digest_tag(file))
    if expected is None and file != MODEL_FILE:
        raise ModelRefused(_lacking(registered, file))
    content = registered_file(mlflow, registered, file)
    digest = digest_of(content)
    if digest != expected:
        raise ModelRefused(
            f"{registered.name} version {registered.version}: {file} is {digest[:12]}, registered was "
            f"{(expected or 'unknown')[:12]}; somebody changed it: train and register the model anew"
        )
    return content


def digest_tag(file: str) -> str:
    """Return the tag of a version that has a file's digest."""
    return "digest" if file == MODEL_FILE else f"{file}{_DIGEST}"


def why_not_whole(mlflow: Connection, registered: ModelVersion) -> str | None:
    """Return which of the version's files is gone, changed, or was never kept, and how; None where none is.

    Files that are not on a disk of this machine are looked at when they are needed.
    """
    if digest_tag(REFERENCE_FILE) not in registered.tags:
        return _lacking(registered, REFERENCE_FILE)
    if not mlflow.is_on_disk(registered.source):
        return None
    try:
        for file in (MODEL_FILE, *(tag.removesuffix(_DIGEST) for tag in registered.tags if tag.endswith(_DIGEST))):
            verified_file(mlflow, registered, file)
    except ModelRefused as error:
        return str(error)
    return None


def _lacking(registered: ModelVersion, file: str) -> str:
    line, _ = model_parts(registered.name)
    return (
        f"{registered.name} version {registered.version} was registered without {file}, as an earlier version of the "
        f"factory did; what is served goes on. Make it anew: factory run {line} --from base_model"
    )


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

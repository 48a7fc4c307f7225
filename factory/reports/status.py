"""What each site has, its last verdict and what it serves, read from the lake and the model repository alone.

Neither the orchestrator nor the registry need be up.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import HistoryError, ModelRefused, SnapshotRefused
from factory.evaluation.findings import rows
from factory.features.online.store import Snapshots
from factory.line.site_names import UNKNOWN
from factory.model.verdict import Verdict
from factory.monitoring.findings import FINDINGS, standing
from factory.names import LINE_SITE, model_name, model_parts
from factory.release import ModelRepository
from factory.release.history import Permissions, Record
from factory.release.protocols import ReleaseReader
from factory.release.signing import public_key
from factory.reports.folder import LineReports
from factory.storage.home import Home
from factory.storage.journal import Journal
from factory.storage.lake_store import LakeStore

ROWS = ("raw", "clean", "quarantine", "superseded", "withdrawn")


def status(home: Home) -> dict[str, Any]:
    """Return `{"lines": {line: {"sites": {site: {…}}, "findings", "page"}}}`, plain JSON types.

    A site's keys are as in `line_status`; `findings` is what is to be known of tables that all sites share. A page is
    where the report lies, null where none was written yet.
    """
    lines = LakeStore.at(home).lines()
    if lines is None:  # in an object store: the lines that ever judged a candidate
        lines = sorted({model_parts(model)[0] for model in ModelRepository.at(home).site_history.models()})
    return {
        "lines": {
            line: {
                "sites": line_status(home, line),
                "findings": _findings(LakeStore.at(home).journal(line), LINE_SITE),
                "page": _page(home, line, LINE_SITE),
            }
            for line in lines
        }
    }


def line_status(home: Home, line: str) -> dict[str, Any]:
    """Return `{site: {"rows", "verdict", "serving", "hold", "held_back", "door_shut", "findings", "page"}}`.

    What there is none of is null.

    `verdict` is about the newest candidate; `serving` has the figures of the verdict that released what serves. `hold`
    is the rollback that holds the site, `held_back` why a candidate that passed is not released, `door_shut` why the
    gateway answers no business rows of it, `findings` what is to be known of its data. A site that was removed from the
    line also has `removed`: who did it, why, and how it comes back. Sites whose rows came in for the sake of others'
    features are none of the line's.
    """
    journal, repository = LakeStore.at(home).journal(line), ModelRepository.at(home)
    cleaned, verdicts = journal.latest("clean"), journal.latest("verdict")
    ran = journal.begun("features") or set(cleaned)
    sites = sorted(({*cleaned} & ran | {*verdicts} | {*journal.latest(FINDINGS)}) - {LINE_SITE, UNKNOWN})
    key = _key(home)
    shut = _doors_shut(home, line)
    return {
        site: {
            "rows": _rows(cleaned[site].figures) if site in cleaned else None,
            "verdict": _verdict(verdicts[site].figures) if site in verdicts else None,
            **_released(repository, model_name(line, site), key, verdicts[site].figures if site in verdicts else {}),
            "door_shut": shut.get(site),
            "findings": _findings(journal, site),
            "page": _page(home, line, site),
        }
        for site in sites
    }


def _findings(journal: Journal, site: str) -> list[str]:
    found = journal.latest(FINDINGS, [site])
    return standing(found[site].figures) if found else []


def _doors_shut(home: Home, line: str) -> Mapping[str, str]:
    """Return why the gateway answers no business rows, by site."""
    try:
        snapshot = Snapshots(home.models).current(line)
    except SnapshotRefused:
        return {}  # the gateway uses none of it, and says so
    return snapshot.shut if snapshot else {}


def _page(home: Home, line: str, site: str) -> str | None:
    place = LineReports(home.reports, line).place(site)
    return str(place) if place.is_file() else None


def _rows(figures: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(figures.get(name, 0)) for name in ROWS}


def _verdict(figures: Mapping[str, Any]) -> dict[str, Any]:
    verdict = Verdict.from_dict(figures["verdict"])
    return {
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "checks": rows(verdict.checks),
        "figures": dict(verdict.figures),
        "digest": verdict.digest,
    }


def _key(home: Home) -> Ed25519PublicKey | None:
    try:
        return public_key(home.public_key)
    except ModelRefused:
        return None  # nothing was released or decided here yet, or nothing of it can be trusted


def _released(
    repository: ReleaseReader, model: str, key: Ed25519PublicKey | None, judged: Mapping[str, Any]
) -> dict[str, Any]:
    if key is None:
        return {"serving": None, "hold": None, "held_back": None}
    serving = _serving(repository, model, key)
    try:
        permissions = repository.permissions(model, key)
    except HistoryError as error:  # nothing is promoted or released past a history that cannot be read
        return {"serving": serving, "hold": None, "held_back": str(error)}
    removal = permissions.removal()
    return {
        "serving": serving,
        **({"removed": removal} if removal else {}),
        "hold": _hold(permissions.hold) if permissions.hold else None,
        "held_back": _held_back(permissions, judged, serving["digest"] if serving else None),
    }


def _hold(rollback: Record) -> dict[str, Any]:
    return {
        "release": rollback.release,
        "version": rollback.version,
        "by": rollback.actor,
        "since": rollback.at,
        "reason": rollback.reason,
    }


def _held_back(permissions: Permissions, judged: Mapping[str, Any], served: str | None) -> str | None:
    if not judged or not judged["verdict"]["passed"] or judged["verdict"]["digest"] == served:
        return None
    digest, wanted = judged["verdict"]["digest"], judged.get("approval") == "required"
    return permissions.obstacle(digest, approval_required=wanted)


def _serving(repository: ReleaseReader, model: str, key: Ed25519PublicKey) -> dict[str, Any] | None:
    try:
        manifest = repository.load(model, key).manifest
    except (ModelRefused, OSError):
        return None  # nothing released, or a release that the gateway would refuse
    return {
        "version": manifest.version,
        "digest": manifest.digest,
        "since": manifest.released_at,
        "as_of": manifest.provenance.get("as_of"),
        "figures": dict(manifest.verdict.figures),
    }

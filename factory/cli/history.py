"""A site's history: in plain JSON types for a program, and as a person reads it in a terminal."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.text import Text

from factory.cli.screen import Column, say, show_table
from factory.errors import ModelRefused
from factory.release.history.head import Head
from factory.release.history.verify import findings
from factory.release.protocols import ReleaseRepository

COLUMNS = ("", "when (UTC)", "what", "who", "version", "release", "model", "why")


def site_history(repository: ReleaseRepository, model: str, key: Ed25519PublicKey) -> dict[str, Any]:
    """Return `{"model", "records": […], "hold", "removed", "wait", "head", "findings": […]}`, records oldest first."""
    written = repository.site_history.read(model)
    permissions = repository.permissions(model, key)
    return {
        "model": model,
        "records": [asdict(record) for record in written.records()],
        "hold": asdict(permissions.hold) if permissions.hold else None,
        "removed": asdict(permissions.removed) if permissions.removed else None,
        "wait": asdict(permissions.wait) if permissions.wait else None,
        **_checked(repository, model, key, None),
    }


def verified(
    repository: ReleaseRepository, models: Iterable[str], key: Ed25519PublicKey, heads: Mapping[str, tuple[int, str]]
) -> dict[str, Any]:
    """Return `{"sites": {model: {"head": {"count", "hash"}, "findings": […]}}}`; `heads` are kept elsewhere."""
    every_model = sorted({*models, *heads})
    return {"sites": {model: _checked(repository, model, key, heads.get(model)) for model in every_model}}


def _checked(
    repository: ReleaseRepository, model: str, key: Ed25519PublicKey, head_elsewhere: tuple[int, str] | None
) -> dict[str, Any]:
    written = repository.site_history.read(model)
    witness = None
    if head_elsewhere:
        witness = Head(model=model, count=head_elsewhere[0], hash=head_elsewhere[1])
    faults = findings(written, key, releases=_releases(repository, model), witness=witness)
    head = Head.of(model, written.lines) if written.lines else None
    return {
        "head": {"count": head.count, "hash": head.hash} if head else None,
        "findings": [finding.what for finding in faults],
    }


def _releases(repository: ReleaseRepository, model: str) -> dict[int, str]:
    """Return the releases that lie in the repository; one whose manifest cannot be read cannot be served either."""
    digests = {}
    for sequence in repository.sequences(model):
        try:
            digests[sequence] = repository.manifest(model, sequence).digest
        except ModelRefused:
            continue
    return digests


def show_history(history: Mapping[str, Any]) -> None:
    """Print a site's records, oldest first, whether a rollback holds it, and every fault in them."""
    columns = [Column(heading=heading) for heading in COLUMNS]
    show_table(columns, [_cells(record) for record in history["records"]], title=history["model"], heads=3)
    if hold := history["hold"]:
        say(f"Held on release {hold['release']} by {hold['actor']}, since {hold['at'][:16]}: {hold['reason']}")
    if removed := history["removed"]:
        say(f"Removed from its line by {removed['actor']}, on {removed['at'][:16]}: {removed['reason']}")
    if wait := history["wait"]:
        say(f"Waits for its turn in the rollout by {wait['actor']}, since {wait['at'][:16]}: {wait['reason']}")
    _print_findings({history["model"]: history["findings"]})


def _cells(record: Mapping[str, Any]) -> list[str | Text]:
    known = [record["sequence"], record["at"][:19].replace("T", " "), record["kind"], record["actor"]]
    numbers = [record["version"], record["release"], (record["digest"] or "")[:12], record["reason"]]
    return [_plain(value) for value in (*known, *numbers)]


def _plain(value: object) -> str:
    """Return the text with nothing in it that the terminal would take for a command."""
    text = "" if value is None else str(value)
    return "".join(letter for letter in text if letter.isprintable())


def show_verified(report: Mapping[str, Any]) -> None:
    """Print whether the histories are as they were written, and every fault."""
    findings = {model: site["findings"] for model, site in report["sites"].items()}
    unchanged = sum(not faults for faults in findings.values())
    say(f"{unchanged} of {len(findings)} histories are as they were written.")
    _print_findings(findings)


def _print_findings(findings: Mapping[str, list[str]]) -> None:
    for model, faults in findings.items():
        for fault in faults:
            say(f"  {model}: {fault}", "red")

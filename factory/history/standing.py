"""What a site's history permits.

No release while a rollback holds, of a withdrawn file, before its turn in a rollout, or without approval. The promoting
and the releasing function both ask; who calls them does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import HistoryError, ReleaseRefused
from factory.history.files import Written
from factory.history.record import Record
from factory.history.verify import Finding, findings


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a site stands after everything on record."""

    model: str
    hold: Record | None
    """The rollback that nothing may undo until somebody allows it."""
    withdrawn: Mapping[str, Record]
    """The files that were rolled back from, and by which record; only another rollback brings one back."""
    wait: Record | None
    """The rollout that has not come to the site yet, with what it served then; only its turn ends it, no allowance."""
    approvals: Mapping[str, Record]
    """The newest approval of each file, by its digest."""
    broken: tuple[Finding, ...]
    """What is wrong with the history since somebody last allowed releases."""

    def obstacle(self, digest: str, *, approval_required: bool = False) -> str | None:
        """Return why this file may not become what the site serves, and what to do; None if it may."""
        site = self.model.partition(".")[2]
        if self.broken:
            return (
                f"its history was changed: {self.broken[0].what} (`factory history verify` tells all); "
                f"when somebody has looked into it: factory allow {site} --by NAME --reason …"
            )
        if self.hold and self.hold.digest != digest:
            return (
                f"{_told(self.hold)} holds it on release {self.hold.release}; "
                f"let the next release through with: factory allow {site} --by NAME --reason …"
            )
        if digest in self.withdrawn:
            told = self.withdrawn[digest]
            return f"{_told(told)} took this very file out of service; factory rollback {site} --to … brings it back"
        if self.wait and self.wait.digest != digest:
            return (
                f"the rollout of {self.wait.at[:16]} by {self.wait.actor} ({self.wait.reason}) has not come to it; "
                f"how far it is: factory rollout status {self.model.partition('.')[0]}"
            )
        if approval_required and digest not in self.approvals:
            return f"its line wants a person's approval: factory approve {site} VERSION --by NAME --reason …"
        return None

    def require(self, digest: str, *, approval_required: bool = False) -> None:
        """Raise ReleaseRefused if there is an obstacle to this file."""
        why = self.obstacle(digest, approval_required=approval_required)
        if why:
            raise ReleaseRefused(f"{self.model}: model {digest[:12]} may not be served: {why}")


def standing(written: Written, key: Ed25519PublicKey, *, releases: Mapping[int, str] | None = None) -> Standing:
    """Read where a model stands from its history. Only records that are signed and its own count."""
    genuine = [record for record in written.records() if _is_genuine(record, written.model, key)]
    allowed = max((record.sequence for record in genuine if record.kind == "allowance"), default=0)
    rollbacks = [record for record in genuine if record.kind == "rollback"]
    found = findings(written, key, releases=releases)
    return Standing(
        model=written.model,
        hold=next((record for record in reversed(rollbacks) if record.sequence > allowed), None),
        withdrawn=_withdrawn(rollbacks),
        wait=_wait(genuine),
        approvals={str(record.digest): record for record in genuine if record.kind == "approval"},
        broken=tuple(finding for finding in found if finding.after >= allowed),
    )


def _wait(genuine: list[Record]) -> Record | None:
    newest = next((record for record in reversed(genuine) if record.kind in ("wait", "turn")), None)
    return newest if newest and newest.kind == "wait" else None


def _withdrawn(rollbacks: list[Record]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for record in rollbacks:
        if record.withdrawn:
            found[record.withdrawn] = record
        found.pop(str(record.digest), None)
    return found


def _told(record: Record) -> str:
    return f"the rollback of {record.at[:16]} by {record.actor} ({record.reason})"


def _is_genuine(record: Record, model: str, key: Ed25519PublicKey) -> bool:
    try:
        record.require_signature(key)
    except HistoryError:
        return False
    return record.model == model

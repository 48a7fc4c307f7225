"""What a site's history permits.

No file is released while a rollback holds the site, while the site is removed from its line, while the file is
withdrawn, before the site's turn in a rollout, or without a required approval. The same holds for a trial, except that
a person may try a file again whose trial a person ended. The promoting and the releasing function both check this,
whoever calls them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import HistoryError, ReleaseRefused
from factory.names import model_parts
from factory.release.history.files import Written
from factory.release.history.record import Kind, Record
from factory.release.history.verify import Finding, findings


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """Where a site stands after everything on record."""

    model: str
    hold: Record | None
    """The rollback that nothing may undo until somebody allows it."""
    withdrawn: Mapping[str, Record]
    """The files that were rolled back from, or whose trial a person ended, and by which record."""
    removed: Record | None
    """The removal of the site from its line; only its return ends that."""
    wait: Record | None
    """The rollout that has not come to the site yet, with what it served then; only the site's turn ends the wait."""
    approvals: Mapping[str, Record]
    """The newest approval of each file, by its digest."""
    promoted_trial: Record | None
    """The newest promotion of a trial, as long as the registry has recorded no promotion since."""
    only_tried: frozenset[int]
    """The releases that were on trial and never served."""
    broken: tuple[Finding, ...]
    """What is wrong with the history since somebody last allowed releases."""

    def obstacle(self, digest: str, *, approval_required: bool = False, retrying: bool = False) -> str | None:
        """Return why this file may not become what the site serves, and what to do; None if it may.

        With `retrying`, a person begins its trial anew, so that the end of an earlier trial is no obstacle.
        """
        return (
            self._broken()
            or self.removal()
            or self._held(digest)
            or self._rolled_back(digest)
            or self._waiting(digest)
            or (None if retrying else self._ended(digest))
            or (self._unapproved(digest) if approval_required else None)
        )

    def _broken(self) -> str | None:
        if not self.broken:
            return None
        return (
            f"its history was changed: {self.broken[0].what} (`factory history verify` lists every change); "
            f"when somebody has looked into it: factory allow {self._site} --by NAME --reason …"
        )

    def removal(self) -> str | None:
        """Return who removed the site from its line, why, and what to do; None while it is there."""
        if self.removed is None:
            return None
        line, _ = model_parts(self.model)
        return (
            f"{self.removed.actor} removed it from line {line} on {self.removed.at[:16]} ({self.removed.reason}); "
            f"bring it back with: factory site add {line} {self._site}"
        )

    def _held(self, digest: str) -> str | None:
        if self.hold is None or self.hold.digest == digest:
            return None
        return (
            f"{_description(self.hold)} holds it on release {self.hold.release}; "
            f"let the next release through with: factory allow {self._site} --by NAME --reason …"
        )

    def _rolled_back(self, digest: str) -> str | None:
        record = self.withdrawn.get(digest)
        if record is None or record.kind != "rollback":
            return None
        back = f"factory rollback {self._site} --to …"
        return f"{_description(record)} took this very file out of service; {back} brings it back"

    def _waiting(self, digest: str) -> str | None:
        if self.wait is None or self.wait.digest == digest:
            return None
        return (
            f"the rollout of {self.wait.at[:16]} by {self.wait.actor} ({self.wait.reason}) has not come to it; "
            f"how far it is: factory rollout status {self.model.partition('.')[0]}"
        )

    def _ended(self, digest: str) -> str | None:
        record = self.withdrawn.get(digest)
        if record is None or record.kind == "rollback":
            return None
        again = f"factory trial start {self._site} --release {record.release} --as … --by NAME --reason …"
        return f"{_description(record)} was of this very file; try it again with: {again}"

    def _unapproved(self, digest: str) -> str | None:
        if digest in self.approvals:
            return None
        return f"its line wants a person's approval: factory approve {self._site} VERSION --by NAME --reason …"

    @property
    def _site(self) -> str:
        return model_parts(self.model)[1]

    def require(self, digest: str, *, approval_required: bool = False, retrying: bool = False) -> None:
        """Raise ReleaseRefused if there is an obstacle to this file."""
        why = self.obstacle(digest, approval_required=approval_required, retrying=retrying)
        if why:
            raise ReleaseRefused(f"{self.model}: model {digest[:12]} may not be served: {why}")


def permissions_of(
    written: Written, key: Ed25519PublicKey, *, releases: Mapping[int, str] | None = None
) -> Permissions:
    """Read where a model stands from its history. Only records that are signed and its own count.

    `releases` is what is served, sequence → digest.
    """
    genuine = [record for record in written.records() if _is_genuine(record, written.model, key)]
    allowed = max((record.sequence for record in genuine if record.kind == "allowance"), default=0)
    rollbacks = [record for record in genuine if record.kind == "rollback"]
    faults = findings(written, key, served=releases)
    return Permissions(
        model=written.model,
        hold=next((record for record in reversed(rollbacks) if record.sequence > allowed), None),
        withdrawn=_withdrawn(genuine),
        removed=_begun(genuine, "removal", "return"),
        wait=_begun(genuine, "wait", "turn"),
        approvals={str(record.digest): record for record in genuine if record.kind == "approval"},
        promoted_trial=_promoted_trial(genuine),
        only_tried=_releases(genuine, "trial") - _releases(genuine, "release"),
        broken=tuple(finding for finding in faults if finding.after >= allowed),
    )


def _begun(genuine: list[Record], begin: Kind, end: Kind) -> Record | None:
    """Return the newest record of a kind that nothing has ended since."""
    newest = next((record for record in reversed(genuine) if record.kind in (begin, end)), None)
    return newest if newest and newest.kind == begin else None


def _withdrawn(records: list[Record]) -> dict[str, Record]:
    withdrawn: dict[str, Record] = {}
    for record in records:
        if record.kind in ("rollback", "trial"):
            withdrawn.pop(str(record.digest), None)
        if record.withdrawn:
            withdrawn[record.withdrawn] = record
    return withdrawn


def _promoted_trial(records: list[Record]) -> Record | None:
    newest = next(
        (record for record in reversed(records) if record.kind in ("promotion", "trial_promotion", "rollback")), None
    )
    return newest if newest and newest.kind == "trial_promotion" else None


def _releases(records: list[Record], kind: Kind) -> frozenset[int]:
    return frozenset(record.release for record in records if record.kind == kind and record.release)


def _description(record: Record) -> str:
    what = "rollback" if record.kind == "rollback" else "end of the trial"
    return f"the {what} of {record.at[:16]} by {record.actor} ({record.reason})"


def _is_genuine(record: Record, model: str, key: Ed25519PublicKey) -> bool:
    try:
        record.require_signature(key)
    except HistoryError:
        return False
    return record.model == model

"""How the registry puts on record what it promotes and what it refuses, and asks what a site's history permits."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import ReleaseRefused
from factory.model.verdict import Verdict, require_permission
from factory.names import line_and_site
from factory.release.history import Event, Kind, Record, permissions_of, verdict_digest
from factory.release.protocols import SiteHistories


@dataclass(frozen=True, kw_only=True)
class SiteRecord:
    """The histories of all sites, and the key that signs them."""

    history: SiteHistories
    key: Ed25519PrivateKey

    def permission(
        self, model: str, version: int, digest: str, verdict: Verdict | None, *, by: str, approval_required: bool
    ) -> Record | None:
        """Return the file's approval, if there is one; raise ReleaseRefused, on record, if it may not be promoted."""
        line, site = line_and_site(model)
        current = permissions_of(self.history.read(model), self.key.public_key())
        try:
            require_permission(verdict, line=line, site=site, digest=digest)
            current.require(digest, approval_required=approval_required)
        except ReleaseRefused as error:
            self._note("refusal", model, version, digest, verdict, by=by, reason=str(error))
            raise
        return current.approvals.get(digest)

    def promoted(self, model: str, version: int, verdict: Verdict | None, *, by: str) -> None:
        """Put a promotion on record."""
        digest = verdict.digest if verdict else None
        self._note("promotion", model, version, digest, verdict, by=by, reason="its verdict passed")

    def judged(self, model: str, version: int, verdict: Verdict) -> None:
        """Put a verdict on record that refuses the version; a passing verdict shows in the promotion that follows."""
        if not verdict.passed:
            reason = "; ".join(verdict.reasons)
            self._note("refusal", model, version, verdict.digest, verdict, by="gates", reason=reason)

    def _note(  # an event's facts, each by its name
        self,
        kind: Kind,
        model: str,
        version: int,
        digest: str | None,
        verdict: Verdict | None,
        *,
        by: str,
        reason: str,
    ) -> None:
        event = Event(
            kind=kind,
            actor=by,
            reason=reason,
            version=version,
            digest=digest,
            verdict=verdict_digest(verdict),
        )
        self.history.append(model, event, self.key, once=True)

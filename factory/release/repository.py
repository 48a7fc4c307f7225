"""The folder of releases, written: what a site serves, and what is on trial beside it.

A release is written under a temporary name, renamed to its sequence, and then the link is renamed over the old one: a
crash at any point leaves the old release or the new one, whole. A trial is a release whose link nobody moved, and a
signed file that says so. A release and a rollback end the trial that runs, and a trial replaces the one before it.

Triton serves this folder with `--model-control-mode=explicit --load-model=<model>`. Without it Triton 2.51 was seen to
take `.releases` for a model that cannot be loaded: it stops, or with `--exit-on-error=false` serves but is never
ready.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.payoff import Payoff
from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of
from factory.release.draft import Draft
from factory.release.guard import Guard
from factory.release.history import Event, History, Kind, Permissions, Record, permissions_of, verdict_digest
from factory.release.manifest import Manifest
from factory.release.protocols import SiteHistories
from factory.release.releases import require_same_signature
from factory.release.trial import Terms, Trial
from factory.release.writer import ReleaseWriter
from factory.storage.home import Home, history_beside
from factory.storage.locks import Locks

NO_GUARD = Guard()
_TURNS: tuple[Kind, ...] = ("trial", "trial_end", "trial_promotion", "release", "rollback")
"""What can begin or end a trial: the newest of these says whether a crashed writer has recorded this one already."""


class Facts(TypedDict, total=False):
    """What a record says of a release."""

    version: int
    release: int
    digest: str
    verdict: str | None


class ModelRepository(ReleaseWriter):
    """Every site's releases under one folder, in the layout of a Triton model repository."""

    def __init__(self, root: Path, history: SiteHistories | None = None, locks: Locks | None = None) -> None:
        """Take the folder, the sites' histories, by default in a folder beside it, and the locks of its writers."""
        super().__init__(root, locks)
        self.site_history: SiteHistories = history or History(history_beside(root))

    @classmethod
    def at(cls, home: Home) -> "ModelRepository":
        """Return the repository of a home."""
        return cls(home.models, History(home.history))

    def release(  # noqa: PLR0913  what a manifest says, each by its name
        self,
        content: bytes,
        *,
        line: str,
        site: str,
        version: int,
        verdict: Verdict,
        signature: Signature,
        threshold: float,
        provenance: Mapping[str, str],
        example: Sequence[float | None],
        key: Ed25519PrivateKey,
        guard: Guard = NO_GUARD,
        stakes: Payoff | None = None,
        constant: float = 0.0,
        by: str = "factory",
        approval_required: bool = False,
    ) -> Manifest:
        """Make this ONNX file what the site serves, and return its manifest.

        `example` is one row of input, flattened to `signature.input_size` numbers. Raises ReleaseRefused, with nothing
        written, unless the verdict passed exactly these bytes for this site and the site's history permits them; `by`
        goes on record there. What is served already and loadable, with the same version, signature, threshold, guard
        and stakes, stays as it is.
        """
        draft = Draft(
            content=content,
            line=line,
            site=site,
            version=version,
            verdict=verdict,
            signature=signature,
            threshold=threshold,
            provenance=provenance,
            example=example,
            guard=guard,
            stakes=stakes,
            constant=constant,
        )
        return self.serve(draft, by=by, key=key, approval_required=approval_required)

    def serve(self, draft: Draft, *, by: str, key: Ed25519PrivateKey, approval_required: bool = False) -> Manifest:
        """Do what `release` does."""
        # Before anything is written: is it permitted, and could it be read back?
        draft.manifest(key, sequence=1, previous=None)
        with self.only_writer(draft.model):
            return self._released(draft, key, by, approval_required=approval_required)

    def return_to(self, model: str, sequence: int, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest:
        """Make an earlier release what the site serves, and hold it there: nothing replaces it until somebody allows.

        Raises ModelRefused unless all of that release fits together, as in `load`, and ReleaseRefused where the site is
        removed from its line.
        """
        self.folder(model, sequence)  # before anything is written: an invalid name is refused
        with self.only_writer(model):
            if why := self.permissions(model, key.public_key()).removal():
                raise ReleaseRefused(f"{model}: {why}")
            manifest = self.released(model, sequence, key.public_key()).manifest
            withdrawn = self._replaced(model, manifest)
            event = Event(kind="rollback", actor=by, reason=reason, withdrawn=withdrawn, **_facts(manifest))
            self.site_history.append(model, event, key)
            self._end(model, by, f"release {sequence} is served again", key)
            self.switch(model, sequence)
        return manifest

    def retire(self, model: str, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest | None:
        """Take a site out of service for good, and return what it served, if that can be read.

        Its releases and its history stay; nothing is released or tried there until `reinstate`. It may be done twice.
        """
        with self.only_writer(model):
            served = self.readable(model)
            event = Event(kind="removal", actor=by, reason=reason, **(_facts(served) if served else Facts()))
            if self.permissions(model, key.public_key()).removed is None:
                self.site_history.append(model, event, key)
            self._end(model, by, "its site is removed from the line", key)
            self.withdraw(model)
        return served

    def reinstate(self, model: str, *, by: str, reason: str, key: Ed25519PrivateKey) -> bool:
        """Let a site that was retired have releases again; return whether it was. What it serves comes by a release."""
        if self.permissions(model, key.public_key()).removed is None:
            return False
        self.site_history.append(model, Event(kind="return", actor=by, reason=reason), key)
        return True

    def try_out(self, draft: Draft, terms: Terms, *, key: Ed25519PrivateKey, approval_required: bool = False) -> Trial:
        """Release a file beside what its site serves, which stays as it is, and return its trial.

        Permitted is what may be released. A trial of this very file that runs already stays as it is, whatever its
        terms; any other one ends. Raises ReleaseRefused, with nothing written, without permission, or where nothing
        whole is served that answers the same requests.
        """
        draft.manifest(key, sequence=1, previous=None)
        with self.only_writer(draft.model):
            digest, served = digest_of(draft.content), self.loadable(draft.model, key)
            permitted = self.permissions(draft.model, key.public_key())
            permitted.require(digest, approval_required=approval_required)
            running, existing = self.running(draft.model, key), self.existing(draft, key)
            if running and existing and running.release == existing.sequence:
                return running
            previous = served.sequence if served else None
            manifest = existing or draft.manifest(key, sequence=self._next_sequence(draft), previous=previous)
            return self._begin(manifest, _rival(manifest, served), terms, key, None if existing else draft)

    def start_trial(self, model: str, sequence: int, terms: Terms, *, key: Ed25519PrivateKey) -> Trial:
        """Put a release that lies here on trial, or the one on trial on other terms, and return the trial.

        Raises ModelRefused unless all of that release fits together, as in `load`, and ReleaseRefused as `try_out`.
        """
        self.folder(model, sequence)  # before anything is written: an invalid name is refused
        with self.only_writer(model):
            manifest = self.released(model, sequence, key.public_key()).manifest
            self.permissions(model, key.public_key()).require(manifest.digest, retrying=True)
            return self._begin(manifest, _rival(manifest, self.loadable(model, key)), terms, key)

    def end_trial(self, model: str, *, by: str, reason: str, key: Ed25519PrivateKey) -> Trial | None:
        """End a model's trial; nothing but `start_trial` brings that file back. Return what it was, if it is readable.

        Raises ReleaseRefused where there is none.
        """
        if self.trial_token(model) is None:
            raise ReleaseRefused(f"{model} has no trial that could be ended")
        with self.only_writer(model):
            return self._end(model, by, reason, key, withdraw=True)

    def promote_trial(self, trial: Trial, *, by: str, reason: str, key: Ed25519PrivateKey) -> Manifest:
        """Make what is on trial the site's newest release, and return its manifest.

        Raises ReleaseRefused where that trial no longer runs or its file may not be served, ModelRefused where the
        file was changed.
        """
        with self.only_writer(trial.model):
            if self.running(trial.model, key) != trial:
                raise ReleaseRefused(f"{trial.model}: the trial of release {trial.release} is over; look at it again")
            tried = self.tried(trial, key.public_key())
            self.permissions(trial.model, key.public_key()).require(trial.digest)
            event = Event(kind="trial_promotion", actor=by, reason=reason, **_facts(tried.manifest))
            self.site_history.append(trial.model, event, key, once=True, among=_TURNS)
            draft = Draft.again(tried.content, tried.manifest)
            return self._released(draft, key, by, approval_required=False)

    def unregistered(self, model: str, key: Ed25519PublicKey) -> Record | None:
        """Return the rollback or the promotion of a trial that the registry's champion has to follow; None for none."""
        permissions, served = self.permissions(model, key), self.readable(model)
        if permissions.hold:
            return permissions.hold
        promoted = permissions.promoted_trial
        return promoted if promoted and served and served.digest == promoted.digest else None

    def permissions(self, model: str, key: Ed25519PublicKey) -> Permissions:
        """Return what the model's history permits; a served release without a record there breaks it."""
        served = self.readable(model)
        releases = {served.sequence: served.digest} if served else {}
        return permissions_of(self.site_history.read(model), key, releases=releases)

    def _released(self, draft: Draft, key: Ed25519PrivateKey, by: str, *, approval_required: bool) -> Manifest:
        served = self.loadable(draft.model, key)
        if served and draft.is_in(served):
            return served
        permitted = self.permissions(draft.model, key.public_key())
        permitted.require(digest_of(draft.content), approval_required=approval_required)
        sequence = self._next_sequence(draft)
        manifest = draft.manifest(key, sequence=sequence, previous=served.sequence if served else None)
        self._record(manifest, key, by)  # first: no release lies here that is not on record
        self.put(draft, manifest)
        self._end(draft.model, by, f"release {sequence} is served instead", key)
        self.switch(draft.model, sequence)
        return manifest

    def _next_sequence(self, draft: Draft) -> int:
        """Return the number of the release that comes next: none that lies here, and none that was ever on record.

        Releases may have been brought back from an older backup than the history. A writer that died after it had put
        this very file on record is repeated under the same number.
        """
        records = self.site_history.read(draft.model).records()
        recorded = {record.release: record.digest for record in records if record.kind in ("release", "trial")}
        newest = max((release for release in recorded if release), default=0)
        lying = self.next_sequence(draft.model)
        if newest < lying:
            return lying
        return newest if recorded[newest] == digest_of(draft.content) else newest + 1

    def _record(self, manifest: Manifest, key: Ed25519PrivateKey, by: str) -> None:
        reason = f"release {manifest.sequence} after {manifest.previous or 'none'}"
        event = Event(kind="release", actor=by, reason=reason, **_facts(manifest))
        self.site_history.append(manifest.model, event, key, once=True)

    def _begin(
        self, manifest: Manifest, served: Manifest, terms: Terms, key: Ed25519PrivateKey, draft: Draft | None = None
    ) -> Trial:
        """Put a release on trial beside the served one; with a draft the release is written first."""
        self._end(manifest.model, terms.by, f"release {manifest.sequence} is on trial instead", key)
        trial = Trial(
            **asdict(terms),
            model=manifest.model,
            release=manifest.sequence,
            version=manifest.version,
            digest=manifest.digest,
            beside=served.sequence,
            since=datetime.now(UTC).isoformat(timespec="microseconds"),
        ).signed(key)
        reason = f"{terms.mode}, {terms.share:.4g} of requests, beside release {trial.beside}: {terms.reason}"
        event = Event(kind="trial", actor=terms.by, reason=reason, **_facts(manifest))
        self.site_history.append(trial.model, event, key, once=True, among=_TURNS)
        if draft:
            self.put(draft, manifest)
        self.put_trial(trial)
        return trial

    def _end(self, model: str, by: str, reason: str, key: Ed25519PrivateKey, *, withdraw: bool = False) -> Trial | None:
        """End the model's trial, if it has one, readable or not; `withdraw` keeps the tried file from coming back."""
        if self.trial_token(model) is None:
            return None
        trial = self.running(model, key)
        about = Facts(version=trial.version, release=trial.release, digest=trial.digest) if trial else Facts()
        withdrawn = trial.digest if trial and withdraw else None
        event = Event(kind="trial_end", actor=by, reason=reason, withdrawn=withdrawn, **about)
        self.site_history.append(model, event, key, once=True, among=_TURNS)
        self.drop_trial(model)
        return trial

    def _replaced(self, model: str, manifest: Manifest) -> str | None:
        """Return the digest of what a rollback takes out of service; None where it stays the same file."""
        served = self.readable(model)
        return served.digest if served and served.digest != manifest.digest else None


def _rival(manifest: Manifest, served: Manifest | None) -> Manifest:
    """Return what is served; raises ReleaseRefused unless the release can be on trial beside it."""
    who = f"{manifest.model}: model {manifest.digest[:12]} cannot be on trial:"
    if served is None:
        raise ReleaseRefused(f"{who} nothing whole is served beside which it could be; release it")
    if served.digest == manifest.digest:
        raise ReleaseRefused(f"{who} it is what is served, as release {served.sequence}")
    try:
        require_same_signature(manifest, served)
    except ModelRefused as error:
        raise ReleaseRefused(f"{who} {error}") from error
    return served


def _facts(manifest: Manifest) -> Facts:
    return Facts(
        version=manifest.version,
        release=manifest.sequence,
        digest=manifest.digest,
        verdict=verdict_digest(manifest.verdict),
    )

"""A person's consent to one candidate, on record for the promoting function to find."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import ReleaseRefused
from factory.model.verdict import Verdict
from factory.names import line_and_site
from factory.release.history import Event, Record, verdict_digest
from factory.release.protocols import SiteHistories
from factory.storage.journal import Journal


def approve(
    history: SiteHistories, journal: Journal, model: str, version: int, *, by: str, reason: str, key: Ed25519PrivateKey
) -> Record | None:
    """Put the approval of the site's newest candidate on record; None if it was approved just so before.

    The approval is of the file, by its digest. Raises ReleaseRefused if that version is not the newest candidate or has
    no passing verdict: a person's consent comes on top of the gates and never in their place. It is refused as well
    where the line asks for none.
    """
    digest, verdict = _candidate(journal, model, version)
    event = Event(
        kind="approval",
        actor=by,
        reason=reason,
        version=version,
        digest=digest,
        verdict=verdict_digest(verdict),
    )
    return history.append(model, event, key, once=True)


def _candidate(journal: Journal, model: str, version: int) -> tuple[str, Verdict]:
    line, site = line_and_site(model)
    candidate, judged = (journal.latest(stage, [site]).get(site) for stage in ("site_model", "verdict"))
    newest = candidate and int(candidate.figures["version"])
    if candidate is None or newest != version:
        raise ReleaseRefused(
            f"{model}: version {version} is not its newest candidate, which is {newest or 'none'}; approve that one"
        )
    digest = str(candidate.figures["digest"])
    verdict = Verdict.from_dict(judged.figures["verdict"]) if judged else None
    if verdict is None or verdict.digest != digest or not verdict.passed:
        why = "; ".join(verdict.reasons) if verdict and verdict.digest == digest else "it was not judged yet"
        raise ReleaseRefused(f"{model}: version {version} cannot be approved, for it has not passed its gates: {why}")
    if judged and judged.figures.get("approval") == "none":
        raise ReleaseRefused(
            f"{model}: its line asks for no approval (`gates: approval: none`), so nothing waits for yours; "
            f"what passes is released by: factory run {line} --sites {site}"
        )
    return digest, verdict

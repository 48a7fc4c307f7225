"""The registry's champion follows what a person made a site serve while the registry was down or not asked."""

from factory.pipeline.ports import Registry, ReleaseStore
from factory.release.history import Record


def follow_person(model: str, due: Record, registry: Registry, store: ReleaseStore) -> str:
    """Promote in the registry what a rollback or the promotion of a trial made a site serve; return what was done.

    Raises ModelRefused or ReleaseRefused where that may not be.
    """
    release = int(due.release or 0)
    served = store.repository().manifest(model, release)
    if due.kind == "rollback":
        registry.promote(model, served.version, served.verdict, by=f"rollback by {due.actor}")
        return f"{model}: a rollback holds release {release}; the alias was put back to version {served.version}"
    registry.promote(model, served.version, served.verdict, by=f"trial promoted by {due.actor}")
    return f"{model}: the trial of release {release} was promoted; the alias was moved to version {served.version}"

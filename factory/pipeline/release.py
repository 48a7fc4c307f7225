"""The stage `release`: a candidate that passed is promoted and served, or put on trial; others change nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from factory.compute.isolation import Isolated, one_by_one
from factory.errors import ModelRefused, ReleaseRefused
from factory.model.verdict import Verdict
from factory.names import LINE_SITE, model_name
from factory.pipeline.champion import follow_person
from factory.pipeline.line_run import LineRun, registered_version
from factory.pipeline.serving import champion_of
from factory.pipeline.verdict import VERDICT
from factory.pipeline.work import CHANGED, Figures, Work
from factory.release import Draft, Guard, Terms

if TYPE_CHECKING:
    from factory.release import Trial
    from factory.release.history import Record

RELEASE = "release"


def release(run: LineRun) -> Work:
    """Return what promotes and releases; a site whose candidate was refused goes on serving what it served."""

    def do(sites: Sequence[str]) -> Isolated[Figures]:
        return one_by_one(sites, lambda site: _released(run, site))

    return Work(do=do)


def _released(run: LineRun, site: str) -> Figures:
    verdict = Verdict.from_dict(run.entry(VERDICT, site).figures["verdict"])
    repository, model, key = run.store.repository(), model_name(run.line.name, site), run.store.key().public_key()
    before, permissions = repository.marker(model), repository.permissions(model, key)
    obstacle = permissions.obstacle(verdict.digest, approval_required=run.line.gates.approval_required)
    if due := repository.unregistered(model, key):
        _follow_person(run, site, due)
    trial = _promote_or_try(run, site, verdict) if verdict.passed and not obstacle else None
    now = repository.current(model)
    return {
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "held_back": obstacle if verdict.passed and (now is None or now.digest != verdict.digest) else None,
        "trial": f"{trial.description}, since {trial.since}" if trial else None,
        "serves": f"release {now.sequence} since {now.released_at}"
        if now
        else "nothing: no candidate was released yet",
        "serving_version": now.version if now else None,
        "serving_digest": now.digest if now else None,
        "since": now.released_at if now else None,
        CHANGED: repository.marker(model) != before,
    }


def _follow_person(run: LineRun, site: str, due: "Record") -> None:
    """Make what a person made the site serve the registry's champion too: it may have been down at the time."""
    try:
        follow_person(model_name(run.line.name, site), due, run.registry, run.store)
    except (ModelRefused, ReleaseRefused) as error:
        run.warn(f"{RELEASE}: {site} serves release {due.release}, but not as the registry's champion: {error}")


def _promote_or_try(run: LineRun, site: str, verdict: Verdict) -> "Trial | None":
    """Promote the candidate, or put it on trial beside its champion and return the trial, as the line's file says.

    A champion stays the registry's during a trial, and the candidate its challenger, as registering made it.
    """
    draft, gates, repository = _draft(run, site, verdict), run.line.gates, run.store.repository()
    by, approval = f"line {run.line.name}", gates.approval_required
    champion = champion_of(run, site)
    if gates.promotion == "direct" or champion is None or champion.manifest.digest == verdict.digest:
        # Champion in the registry first, and only then what the gateway serves.
        run.registry.promote(draft.model, draft.version, verdict, by=by, approval_required=approval)
        repository.serve(draft, by=by, key=run.store.key(), approval_required=approval)
        return None
    share = gates.canary_share if gates.promotion == "canary" else 1.0
    terms = Terms(mode=gates.promotion, share=share, by=by, reason="its verdict passed")
    return repository.try_out(draft, terms, key=run.store.key(), approval_required=approval)


def _draft(run: LineRun, site: str, verdict: Verdict) -> Draft:
    """Return the candidate with all that its release says."""
    candidate, seen = run.entry("site_model", site), run.entry("base_model", LINE_SITE).figures
    model, version = registered_version(run.line.name, candidate)
    ranges = {name: (low, high) for name, (low, high) in seen["ranges"].items()}
    return Draft(
        content=run.registry.onnx(model, version),
        line=run.line.name,
        site=site,
        version=version,
        verdict=verdict,
        signature=run.line.signature,
        threshold=float(verdict.figures["threshold"] or 0.0),
        provenance=candidate.figures["provenance"],
        example=tuple(candidate.figures["example"]),
        # As pairs, which the journal keeps as lists: a guard equal to the one that is served is no new release.
        guard=Guard(ranges=ranges, typical=seen.get("typical", {})),
        stakes=run.line.value.stakes,
        # An estimate's door tells no money: what is acted on there would be no place among the answers.
        constant=float(verdict.figures.get("constant_before") or 0.0) if run.line.value.stakes else 0.0,
    )

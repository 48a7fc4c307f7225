"""What the models op does for its sites: fine-tune and register, judge, release."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.compute.isolation import Isolated, one_by_one, together
from factory.errors import ModelRefused, ReleaseRefused, TableMissing
from factory.features.sampling import samples
from factory.line.split import DECIDED_AT, LABEL, Parts
from factory.model.candidate import Candidate
from factory.model.verdict import Verdict
from factory.names import LINE_SITE, model_name
from factory.orchestration.resources.model_store import ModelStore
from factory.orchestration.walk import Figures
from factory.pipeline.base_model import BASELINE
from factory.pipeline.champion import settle
from factory.pipeline.tools import Tools
from factory.release import Draft, Guard, Terms
from factory.storage.journal import Entry, fingerprint, next_moment
from factory.storage.lake import SITE

if TYPE_CHECKING:
    from factory.evaluation.judging import Exhibits
    from factory.release import Released, Trial
    from factory.release.history import Record

VERDICT, RELEASE = "verdict", "release"


class ModelStages:
    """The stages of one run's site models, bound to what they work with."""

    def __init__(self, tools: Tools, store: ModelStore, until: datetime) -> None:
        self.tools = tools
        self.line = tools.line
        self.store = store
        self.until = until

    def site_marks(self, sites: Sequence[str]) -> dict[str, str]:
        """Return what each site model depends on: the base model, the site's features, the split and the code."""
        base, features = self.entry("base_model", LINE_SITE).fingerprint, self.tools.journal.latest("features", sites)
        split = self.line.split.mark(self.until)
        made = {site: features[site].fingerprint if site in features else None for site in sites}
        return {site: fingerprint(base, mark, split, self.tools.code) for site, mark in made.items()}

    def fine_tune(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Fine-tune the sites together in one training, and register each one's candidate."""
        return together(sites, self._fine_tune)

    def _fine_tune(self, sites: Sequence[str]) -> Mapping[str, Figures]:
        from factory.training.candidates import site_candidates

        candidates = site_candidates(
            self.line,
            self.tools.registry.weights(*registered_version(self.line.name, self.entry("base_model", LINE_SITE))),
            self.parts(sites),
            sites,
            device=self.tools.compute.device,
            provenance=self.tools.provenance(self.until),
        )
        return {site: self._register(candidates[site]) for site in sites}

    def _register(self, candidate: Candidate) -> Figures:
        registered = self.tools.registry.register(candidate)
        return {
            "version": registered.version,
            "digest": candidate.digest,
            "fine_tuned": candidate.fine_tuned,
            "why": candidate.why,
            "registry": registered.url,
            "provenance": dict(candidate.provenance),
            "example": [None if np.isnan(value) else float(value) for value in candidate.example[-1].ravel()],
            "epochs": [dict(epoch) for epoch in candidate.epochs],
            **candidate.metrics,
        }

    def verdict_marks(self, sites: Sequence[str]) -> dict[str, str]:
        """Return what each verdict depends on: the candidate, its rivals, the rows, the gates and the money."""
        models = self.tools.journal.latest("site_model", sites)
        cleaned = self.tools.journal.latest("clean", sites)
        rules = [asdict(self.line.gates), asdict(self.line.value)]
        return {
            site: fingerprint(
                models[site].fingerprint if site in models else None,
                self._rival_digest(site, models[site]) if site in models else None,
                cleaned[site].fingerprint if site in cleaned else None,
                rules,
                self.tools.code,
            )
            for site in sites
        }

    def judge(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Judge each site's candidate on its holdout; keep the verdict in the lake and on the registered version."""
        parts = self.parts(sites)
        found = one_by_one(sites, lambda site: self._judge(site, parts.of(site)))
        kept = together(list(found.done), lambda some: self._keep({site: found.done[site] for site in some}))
        return Isolated(done=kept.done, failed={**found.failed, **kept.failed})

    def _judge(self, site: str, parts: Parts) -> Verdict:
        from factory.evaluation.judging import judged

        verdict = judged(self.line, site, self._exhibits(site, parts))
        self.tools.registry.record_verdict(*registered_version(self.line.name, self.entry("site_model", site)), verdict)
        return verdict

    def _exhibits(self, site: str, parts: Parts) -> "Exhibits":
        from factory.evaluation.judging import Exhibits

        candidate, base = self.entry("site_model", site), self.entry("base_model", LINE_SITE)
        cleaned, champion = self.entry("clean", site).figures, self._champion(site)
        return Exhibits(
            train=self.line.task.codes(parts.train[LABEL]),
            validation=samples(self.line, parts.validation, parts.rows),
            holdout=samples(self.line, parts.holdout, parts.rows),
            candidate=self.tools.registry.onnx(*registered_version(self.line.name, candidate)),
            safetensors=self.tools.registry.weights(*registered_version(self.line.name, candidate)),
            fine_tuned=bool(candidate.figures["fine_tuned"]),
            base=self.tools.registry.onnx(*registered_version(self.line.name, base)),
            champion=champion.content if champion else None,
            champion_threshold=champion.manifest.threshold if champion else 0.0,
            baseline_on_validation=self.baseline(parts.validation),
            baseline_on_holdout=self.baseline(parts.holdout),
            contract_share=float(cleaned["contract_share"]),
            contract_failures=tuple(cleaned["table_failures"]),
        )

    def _champion(self, site: str) -> "Released | None":
        """Return what the site serves; a release that the gateway would refuse is no champion to measure against."""
        model = model_name(self.line.name, site)
        if self.store.repository().marker(model) is None:
            return None
        try:
            return self.store.repository().load(model, self.store.key().public_key())
        except (ModelRefused, OSError) as error:
            self.tools.warn(f"{VERDICT}: {site} is judged without its champion: {error}")
            return None

    def baseline(self, rows: pl.DataFrame) -> NDArray[np.float32]:
        """Return what the baseline answered to these rows, in their order; NaN for a row it never saw."""
        keys = [SITE, *self.line.features.key, DECIDED_AT]
        scores = self.tools.lake.scan(BASELINE, rows[SITE].unique().to_list()).collect()
        joined = rows.select(keys).join(scores, on=keys, how="left", nulls_equal=True, maintain_order="left")
        answers = [f"{BASELINE}_{column}" for column in range(len(self.line.task.answers))]
        return joined.select(pl.col(answers).fill_null(float("nan"))).to_numpy()

    def _keep(self, verdicts: Mapping[str, Verdict]) -> Mapping[str, Figures]:
        """Add the verdicts to the lake, unless a run that died had added them already."""
        lake, marks = self.tools.lake, self.verdict_marks(list(verdicts))
        seen = lake.site_versions(VERDICT, verdicts)
        at = next_moment(lake, VERDICT, verdicts, self.tools.journal.clock())
        rows = pl.DataFrame([self._row(verdict, marks[verdict.site], at) for verdict in verdicts.values()])
        if lake.has(VERDICT):
            newest = lake.scan(VERDICT, list(verdicts)).sort("at").unique(SITE, keep="last").collect()
            rows = rows.join(newest, on=[SITE, "mark"], how="anti")
        if len(rows):
            # Tables from before checks were kept lack their column.
            lake.append(VERDICT, rows, {site: seen[site] for site in rows[SITE]}, widen=True)
        candidates = self.tools.journal.latest("site_model", list(verdicts))
        return {
            site: {
                **_told(verdict, candidates[site]),
                "rival": self._rival_digest(site, candidates[site]),
                "approval": self.line.gates.approval,
            }
            for site, verdict in verdicts.items()
        }

    def _row(self, verdict: Verdict, mark: str, at: datetime) -> dict[str, object]:
        return {
            SITE: verdict.site,
            "mark": mark,
            "digest": verdict.digest,
            "as_of": f"{self.until:%Y-%m-%d}",
            "passed": verdict.passed,
            "reasons": json.dumps(verdict.reasons),
            "figures": json.dumps(dict(verdict.figures)),
            "checks": json.dumps([asdict(check) for check in verdict.checks]),
            "at": at,
        }

    def release(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Promote and release what passed; a site whose candidate was refused goes on serving what it served."""
        return one_by_one(sites, self._release)

    def _release(self, site: str) -> Figures:
        verdict = Verdict.from_dict(self.entry(VERDICT, site).figures["verdict"])
        repository, model = self.store.repository(), model_name(self.line.name, site)
        before, permissions = repository.marker(model), repository.permissions(model, self.store.key().public_key())
        obstacle = permissions.obstacle(verdict.digest, approval_required=self.line.gates.approval_required)
        if due := repository.unregistered(model, self.store.key().public_key()):
            self._settle(site, due)
        trial = None
        if verdict.passed and not obstacle:
            trial = self._let_through(site, verdict)
        now = repository.current(model)
        return {
            "passed": verdict.passed,
            "reasons": list(verdict.reasons),
            "held_back": obstacle if verdict.passed and (now is None or now.digest != verdict.digest) else None,
            "trial": f"{trial.told}, since {trial.since}" if trial else None,
            "serving_version": now.version if now else None,
            "serving_digest": now.digest if now else None,
            "since": now.released_at if now else None,
            "changed": repository.marker(model) != before,
        }

    def _settle(self, site: str, due: "Record") -> None:
        """Make what a person made the site serve the registry's champion too: it may have been down at the time."""
        try:
            settle(model_name(self.line.name, site), due, self.tools.registry, self.store)
        except (ModelRefused, ReleaseRefused) as error:
            self.tools.warn(
                f"{RELEASE}: {site} serves release {due.release}, but not as the registry's champion: {error}"
            )

    def _let_through(self, site: str, verdict: Verdict) -> "Trial | None":
        """Put the candidate on trial and return the trial, or promote it: as the line says, and where there is a rival.

        A champion stays the registry's during a trial, and the candidate its challenger, as registering made it.
        """
        draft, mode = self._draft(site, verdict), self.line.gates.promotion
        by, approval = f"line {self.line.name}", self.line.gates.approval_required
        champion = self._champion(site)
        if mode == "direct" or champion is None or champion.manifest.digest == verdict.digest:
            # Champion in the registry first, and only then what the gateway serves.
            self.tools.registry.promote(draft.model, draft.version, verdict, by=by, approval_required=approval)
            self.store.repository().serve(draft, by=by, key=self.store.key(), approval_required=approval)
            return None
        share = self.line.gates.canary_share if mode == "canary" else 1.0
        terms = Terms(mode=mode, share=share, by=by, reason="its verdict passed")
        return self.store.repository().try_out(draft, terms, key=self.store.key(), approval_required=approval)

    def _draft(self, site: str, verdict: Verdict) -> Draft:
        """Return the candidate with all that its release says."""
        candidate = self.entry("site_model", site)
        model, version = registered_version(self.line.name, candidate)
        seen = self.entry("base_model", LINE_SITE).figures
        ranges = {name: (low, high) for name, (low, high) in seen["ranges"].items()}
        return Draft(
            content=self.tools.registry.onnx(model, version),
            line=self.line.name,
            site=site,
            version=version,
            verdict=verdict,
            signature=self.line.signature,
            threshold=float(verdict.figures["threshold"] or 0.0),
            provenance=candidate.figures["provenance"],
            example=tuple(candidate.figures["example"]),
            # As pairs, which the journal keeps as lists: a guard equal to the one that is served is no new release.
            guard=Guard(ranges=ranges, typical=seen.get("typical", {})),
            stakes=self.line.value.stakes,
        )

    def entry(self, stage: str, site: str) -> Entry:
        """Return what a stage last did for a site; raises TableMissing where it has done nothing."""
        found = self.tools.journal.latest(stage, [site])
        if site not in found:
            raise TableMissing(
                f"line {self.line.name}, site {site}: stage {stage} has not been done; run it first: "
                f"factory run {self.line.name} --sites {site}"
            )
        return found[site]

    def parts(self, sites: Sequence[str]) -> Parts:
        """Return the sites' rows, divided as of this run's moment."""
        return self.line.parts(self.tools.feature_rows(sites), self.until)

    def _rival_digest(self, site: str, candidate: Entry) -> str | None:
        """Return the digest of what the candidate is measured against; None where there is nothing.

        A candidate that has become champion was measured against the one before it, and need not be judged anew.
        """
        champion, mine = self._champion(site), candidate.figures["digest"]
        if champion and champion.manifest.digest != mine:
            return champion.manifest.digest
        told = self.tools.journal.latest(VERDICT, [site]).get(site)
        return told.figures["rival"] if told and told.figures["verdict"]["digest"] == mine else None


def registered_version(line: str, entry: Entry) -> tuple[str, int]:
    """Return the registered model and version that a stage's entry speaks of."""
    return model_name(line, entry.site), int(entry.figures["version"])


def _told(verdict: Verdict, candidate: Entry) -> Figures:
    """Return a verdict for people, reasons first and figures that plot over time, and whole for the release."""
    return {
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "registry": candidate.figures["registry"],
        **verdict.figures,
        "verdict": verdict.to_dict(),
    }

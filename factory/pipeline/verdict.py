"""The stage `verdict`: each site's candidate judged on its holdout, against champion and baseline."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.compute.isolation import Isolated, one_by_one, together
from factory.errors import LineError, TrainingError
from factory.features.samples import network_input, samples
from factory.line.alike import blocks
from factory.line.line import Line
from factory.line.recipe import BASELINE
from factory.line.split import DECIDED_AT, LABEL, Parts
from factory.model.candidate import REFERENCE_FILE
from factory.model.provider import installed_providers
from factory.model.reference_answers import ReferenceAnswers
from factory.model.session import Latencies
from factory.model.signature import Signature
from factory.model.verdict import Verdict
from factory.names import LINE_SITE
from factory.pipeline.base_model import POOLED_ANSWERS, answer_columns
from factory.pipeline.line_run import LineRun, registered_version
from factory.pipeline.serving import champion_of
from factory.pipeline.work import Figures, Work
from factory.storage.journal import Entry, fingerprint, next_moment
from factory.storage.lake import SITE

if TYPE_CHECKING:
    from factory.evaluation.judging import JudgingInputs
    from factory.evaluation.leaks import Learnt
    from factory.release import Released

VERDICT = "verdict"


def verdict(run: LineRun) -> Work:
    """Return what judges the sites, and keeps each verdict in the lake and on the registered version."""
    judging = Judging(run)
    return Work(do=judging.judge, inputs=judging.inputs)


class Judging:
    """The judging of one run's candidates; what a site serves is looked up once."""

    def __init__(self, run: LineRun) -> None:
        self.run = run
        self.line = run.line
        self._champion = functools.cache(self._looked_up)
        # Measured on the device that will serve: a GPU where frames and tensors have one.
        self.latencies = Latencies(installed_providers("cuda" if run.compute.resolved == "gpu" else "cpu"))

    def inputs(self, sites: Sequence[str]) -> Mapping[str, str]:
        """Return what each verdict depends on: the candidate, its rivals, the rows, and what the contract found.

        The candidate's number is among it, for a verdict is kept on the registered version, too; and its threshold,
        which may change where its file does not.
        """
        journal, base = self.run.journal, self.run.entry("base_model", LINE_SITE)
        models, rows, cleaned = (journal.latest(stage, sites) for stage in ("site_model", "features", "clean"))
        # The base model's fingerprint stands for its baseline, too.
        shared = [base.fingerprint, self.run.division().fingerprint]
        return {
            site: fingerprint(
                shared,
                _candidate_of(models.get(site)),
                self._rival_digest(site, models[site]) if site in models else None,
                rows[site].content if site in rows else None,
                _contract_of(cleaned.get(site)),
            )
            for site in sites
        }

    def judge(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Judge each site's candidate on its holdout; keep the verdict in the lake and on the registered version."""
        from factory.evaluation.leaks import learnt_from, site_suspect

        parts = self.run.parts(sites)
        learnt, suspect = learnt_from(self.line, parts), site_suspect(parts)
        judged = one_by_one(sites, lambda site: self._judge(site, parts.of(site), learnt, suspect))
        written = together(list(judged.done), lambda some: self._keep({site: judged.done[site] for site in some}))
        return Isolated(done=written.done, failed={**judged.failed, **written.failed})

    def _judge(self, site: str, parts: Parts, learnt: "Learnt", suspect: str | None) -> Verdict:
        from factory.evaluation.judging import judged
        from factory.evaluation.leaks import leak_figures

        suspected = [self.run.entry("features", site).figures.get("leak_suspects"), suspect]
        leaks = leak_figures(self.line, parts, learnt, suspected)
        inputs = replace(self._judging_inputs(site, parts), leaks=leaks)
        verdict = judged(self.line, site, inputs, self.latencies)
        self.run.registry.record_verdict(*self.run.registered("site_model", site), verdict)
        return verdict

    def _judging_inputs(self, site: str, parts: Parts) -> "JudgingInputs":
        from factory.evaluation.judging import JudgingInputs

        candidate, base = self.run.entry("site_model", site), self.run.entry("base_model", LINE_SITE)
        cleaned, champion = self.run.entry("clean", site).figures, self._champion(site)
        registry, registered = self.run.registry, registered_version(self.line.name, candidate)
        self._require_unseen(site, parts.holdout, candidate)
        if champion:
            self._require_comparable(site, champion.manifest.model_signature)
        return JudgingInputs(
            train=self.line.task.codes(parts.train[LABEL]),
            validation=samples(self.line, parts.validation, parts.rows),
            holdout=samples(self.line, parts.holdout, parts.rows),
            blocks=blocks(self.line, parts),
            candidate=registry.onnx(*registered),
            reference=ReferenceAnswers.from_bytes(registry.file(*registered, REFERENCE_FILE)),
            threshold=float(candidate.figures["threshold"]),
            fine_tuned=bool(candidate.figures["fine_tuned"]),
            base=registry.onnx(*registered_version(self.line.name, base)),
            champion=champion.content if champion else None,
            champion_threshold=champion.manifest.threshold if champion else 0.0,
            new_to_champion=self._new_to(champion, parts.holdout),
            champion_rows=as_taken_by(champion.manifest.model_signature, self.line, parts) if champion else None,
            base_on_validation=pooled_answers(self.run, base.figures["rung"], parts.validation),
            baseline_on_validation=pooled_answers(self.run, BASELINE, parts.validation),
            baseline_on_holdout=pooled_answers(self.run, BASELINE, parts.holdout),
            baseline_digest=base.figures["plain"].get(BASELINE),
            rung=candidate.figures["rung"],
            rungs=candidate.figures["rungs"],
            contract_share=float(cleaned["contract_share"]),
            contract_failures=tuple(cleaned["table_failures"]),
        )

    def _require_unseen(self, site: str, holdout: pl.DataFrame, candidate: Entry) -> None:
        """Raise TrainingError where the candidate learnt from rows that would judge it: its stage was left out."""
        learnt = int(self.line.learnt_from(holdout, candidate.figures["provenance"]).sum())
        if learnt:
            raise TrainingError(
                f"line {self.line.name}, site {site}: its candidate learnt from {learnt} of the {len(holdout)} rows "
                f"that would judge it as of {self.run.as_of}; make it anew: factory run {self.line.name} --sites {site}"
            )

    def _require_comparable(self, site: str, champion: Signature) -> None:
        """Raise LineError where what the site serves answers another question than the line asks by now."""
        mine, line = self.line.signature, self.line.name
        if (champion.task, champion.answers) != (mine.task, mine.answers):
            raise LineError(
                f"line {line}, site {site}: it serves a model of the task {champion.task}, which answers "
                f"{', '.join(champion.answers)}, and the line's task is {mine.task} now, with "
                f"{', '.join(mine.answers)}: the two cannot be compared, and whoever asks the site expects the old "
                "answers. Give the changed line a name of its own, which is its folder's, and end this one with: "
                f"factory site remove {line} {site}"
            )

    def _new_to(self, champion: "Released | None", holdout: pl.DataFrame) -> NDArray[np.bool_]:
        """Return which rows the champion neither learnt from nor was chosen by; all where nothing is served."""
        if champion is None:
            return np.ones(len(holdout), np.bool_)
        return ~self.line.learnt_from(holdout, champion.manifest.provenance).to_numpy()

    def _looked_up(self, site: str) -> "Released | None":
        return champion_of(self.run, site)

    def _keep(self, verdicts: Mapping[str, Verdict]) -> Mapping[str, Figures]:
        """Add the verdicts to the lake, unless a run that died has added them already."""
        lake, made_from = self.run.lake, self.inputs(list(verdicts))
        code = self.run.code.of(("gates", "value", "figures"), ("evaluation", "tasks"))
        seen = lake.site_versions(VERDICT, verdicts)
        at = next_moment(lake, VERDICT, verdicts, self.run.journal.clock())
        rows = pl.DataFrame(
            [self._row(verdict, fingerprint(made_from[verdict.site], code), at) for verdict in verdicts.values()]
        )
        if lake.has(VERDICT):
            newest = lake.scan(VERDICT, list(verdicts)).sort("at").unique(SITE, keep="last").collect()
            rows = rows.join(newest, on=[SITE, "mark"], how="anti")
        if len(rows):
            written = {site: seen[site] for site in rows[SITE]}
            # Tables from before checks were kept lack their column.
            lake.append(VERDICT, rows, written, widen=True, partitioned=False)
        candidates = self.run.journal.latest("site_model", list(verdicts))
        return {
            site: {
                **_figures(verdict, candidates[site]),
                "rival": self._rival_digest(site, candidates[site]),
                "approval": self.line.gates.approval,
            }
            for site, verdict in verdicts.items()
        }

    def _row(self, verdict: Verdict, made_from: str, at: datetime) -> dict[str, object]:
        return {
            SITE: verdict.site,
            "mark": made_from,
            "digest": verdict.digest,
            "as_of": self.run.as_of,
            "passed": verdict.passed,
            "reasons": json.dumps(verdict.reasons),
            "figures": json.dumps(dict(verdict.figures)),
            "checks": json.dumps([asdict(check) for check in verdict.checks]),
            "at": at,
        }

    def _rival_digest(self, site: str, candidate: Entry) -> str | None:
        """Return the digest of what the candidate is measured against; None where there is nothing.

        A candidate that has become champion was measured against the champion before it, and need not be judged anew.
        """
        champion, mine = self._champion(site), candidate.figures["digest"]
        if champion and champion.manifest.digest != mine:
            return champion.manifest.digest
        entry = self.run.journal.latest(VERDICT, [site]).get(site)
        return entry.figures["rival"] if entry and entry.figures["verdict"]["digest"] == mine else None


def as_taken_by(signature: Signature, line: Line, parts: Parts) -> NDArray[np.float32]:
    """Return the holdout as a model takes it that was made before the line's features were these.

    A feature that the line has no more is unknown (NaN), as it would be from now on if that model went on serving.
    """

    def with_all(rows: pl.DataFrame) -> pl.DataFrame:
        gone = [name for name in signature.features if name not in rows.columns]
        return rows.with_columns(pl.lit(None, pl.Float32).alias(name) for name in gone)

    return network_input(
        with_all(parts.holdout),
        with_all(parts.rows),
        columns=signature.features,
        entity=line.features.entity,
        steps=signature.steps,
    )


def pooled_answers(run: LineRun, rung: str, rows: pl.DataFrame) -> NDArray[np.float32]:
    """Return what a pooled rung answered to these rows, in their order; NaN for a row it was not asked about."""
    keys, columns = [SITE, *run.line.features.key, DECIDED_AT], answer_columns(rung, len(run.line.task.answers))
    scores = run.lake.scan(POOLED_ANSWERS, rows[SITE].unique().to_list()).select(*keys, *columns).collect()
    joined = rows.select(keys).join(scores, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined.select(pl.col(columns).fill_null(float("nan"))).to_numpy()


def _candidate_of(entry: Entry | None) -> object:
    return [entry.content, entry.figures["version"], entry.figures.get("threshold")] if entry else None


def _contract_of(cleaned: Entry | None) -> object:
    return [cleaned.figures["contract_share"], cleaned.figures["table_failures"]] if cleaned else None


def _figures(verdict: Verdict, candidate: Entry) -> Figures:
    """Return a verdict for people, reasons first and figures that plot over time, and whole for the release."""
    return {
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "registry": candidate.figures["registry"],
        **verdict.figures,
        "verdict": verdict.to_dict(),
    }

"""What the base model's op does: pooled features in; base model, baseline scores and a registry entry out."""

from datetime import datetime

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.errors import TrainingError
from factory.features.sampling import samples
from factory.line.split import DECIDED_AT, Parts
from factory.names import LINE_SITE
from factory.orchestration.walk import Figures
from factory.pipeline.tools import Tools
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE
from factory.training.epoch import Epoch

BASELINE = "baseline"


class BaseStages:
    """The base model's stage, bound to what it works with."""

    def __init__(self, tools: Tools, until: datetime) -> None:
        self.tools = tools
        self.line = tools.line
        self.until = until

    def mark(self) -> str:
        """Return what the base model depends on: every site's features, the split, task, recipe and the code."""
        features = {site: entry.fingerprint for site, entry in self.tools.journal.latest("features").items()}
        split, recipe = self.line.split.mark(self.until), f"{self.line.task} {self.line.recipe}"
        return fingerprint(features, split, recipe, self.tools.code)

    def train(self) -> Isolated[Figures]:
        """Train the base model and the baseline on the pooled sites, and register the base model."""
        return together([LINE_SITE], lambda _: {LINE_SITE: self._train()})

    def _train(self) -> Figures:
        from factory.training.candidates import base_candidate

        parts = self.line.parts(self.tools.feature_rows(), self.until)
        if parts.train.is_empty() or parts.validation.is_empty():
            raise TrainingError(
                f"line {self.line.name}: {len(parts.train)} training and {len(parts.validation)} validation rows with "
                f"a known outcome before {self.until:%Y-%m-%d}; both must have some: load more, or change `split`"
            )
        candidate = base_candidate(
            self.line,
            parts,
            device=self.tools.compute.device,
            checkpoint=self.tools.workbench.checkpoint(self.line.name, "base_model", self.mark()),
            report=self._report,
            provenance=self.tools.provenance(self.until),
        )
        registered = self.tools.registry.register(candidate)
        self._keep_baseline(parts)
        return {
            "holdout_rows": len(parts.holdout),
            "version": registered.version,
            "digest": candidate.digest,
            "registry": registered.url,
            "why": candidate.why,
            "ranges": {feature: list(ends) for feature, ends in candidate.ranges.items()},
            "typical": dict(candidate.typical),
            "epochs": [dict(epoch) for epoch in candidate.epochs],
            **candidate.metrics,
        }

    def _report(self, epoch: Epoch) -> None:
        self.tools.say(
            f"base_model: epoch {epoch.number} of {self.line.recipe.epochs}, "
            f"validation {self.line.task.headline.replace('_', ' ')} {epoch.validation_headline:.3f}"
        )

    def _keep_baseline(self, parts: Parts) -> None:
        """Write what the baseline says of every row that the gates look at; the baseline itself is never saved."""
        from factory.training.baseline import fit_baseline

        line = self.line
        baseline = fit_baseline(
            samples(line, parts.train, parts.rows), line.recipe, line.task, self.tools.compute.resolved
        )
        rows = pl.concat([parts.validation, parts.holdout])
        answer = baseline.answer(samples(line, rows, parts.rows).features)
        scores = rows.select(SITE, *line.features.key, DECIDED_AT).with_columns(
            pl.Series(f"{BASELINE}_{column}", answer[:, column], dtype=pl.Float32) for column in range(answer.shape[1])
        )
        lake = self.tools.lake
        before = lake.scan(BASELINE).select(SITE).unique().collect()[SITE].to_list() if lake.has(BASELINE) else []
        lake.replace(BASELINE, scores, lake.site_versions(BASELINE, {*scores[SITE], *before}))

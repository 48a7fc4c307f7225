"""Judging: one site's rows and the models in question in; a verdict, and the threshold it was judged at, out.

The candidate comes with the threshold that was chosen when it was trained, on rows that it had not learnt from; those
of base model and baseline are chosen on the validation window. The holdout is scored once, by every model, on the same
rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from factory.evaluation.evidence import Evidence
from factory.evaluation.gates import judge
from factory.features.samples import Samples
from factory.line.line import Line
from factory.model.check import Figure
from factory.model.reference_answers import ReferenceAnswers
from factory.model.session import Latencies, onnx_answer
from factory.model.verdict import Verdict, digest_of
from factory.tasks.holdout import Scored
from factory.tasks.intervals import Blocks


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgingInputs:
    """Everything that one site's candidate is judged by."""

    train: NDArray[np.float32]
    """Labels of the training window: what could be known without a model."""
    validation: Samples
    holdout: Samples
    blocks: Blocks
    """Which holdout rows are alike."""
    candidate: bytes
    """The candidate's ONNX file."""
    reference: ReferenceAnswers
    """What the trained candidate itself answered to some rows, to compare the file with."""
    threshold: float
    """What the candidate decides by."""
    fine_tuned: bool
    rung: str
    """Which rung of the ladder the candidate is."""
    rungs: Mapping[str, Mapping[str, float]]
    """What each rung was worth on validation rows and costs, by its name."""
    base: bytes
    base_on_validation: NDArray[np.float32]
    """Before the base model learnt from these rows, as the baseline's answers."""
    champion: bytes | None
    champion_threshold: float
    """What the champion decides by at the site, as released; of no meaning without a champion."""
    new_to_champion: NDArray[np.bool_]
    """`[holdout rows]`: whether the champion neither learnt from a row nor was chosen by it."""
    champion_rows: NDArray[np.float32] | None
    """The holdout as the champion takes it: by the features that it was trained on, not by those that the line has."""
    baseline_on_validation: NDArray[np.float32]
    baseline_on_holdout: NDArray[np.float32]
    baseline_digest: str | None
    """SHA-256 of the baseline's file; None where it has none."""
    contract_share: float
    contract_failures: tuple[str, ...]
    leaks: Mapping[str, Figure] = field(default_factory=dict)
    """What looks like a leak in the rows; see factory/evaluation/leaks.py."""


def judged(line: Line, site: str, inputs: JudgingInputs, latencies: Latencies) -> Verdict:
    """Return the verdict on the candidate, bound to its digest; one graph is timed once for all its sites."""
    return judge(evidence(line, site, inputs, latencies), line.gates)


def evidence(line: Line, site: str, inputs: JudgingInputs, latencies: Latencies) -> Evidence:
    """Return what the gates look at: every model scored on the holdout."""
    candidate = Scored(
        answer=onnx_answer(inputs.candidate, inputs.holdout.features),
        threshold=inputs.threshold,
        digest=digest_of(inputs.candidate),
    )
    keeps_base = inputs.base == inputs.candidate
    return Evidence(
        line=line.name,
        site=site,
        digest=digest_of(inputs.candidate),
        task=line.task,
        label=inputs.holdout.label,
        blocks=inputs.blocks,
        candidate=candidate,
        base=candidate if keeps_base else _base(line, inputs),
        baseline=_baseline(line, inputs),
        champion=_champion(inputs),
        new_to_champion=inputs.new_to_champion,
        value=line.value,
        constant_before=line.task.without_model(np.concatenate([inputs.train, inputs.validation.label]), line.value),
        own_figures=line.figures,
        contract_share=inputs.contract_share,
        contract_failures=inputs.contract_failures,
        leaks=inputs.leaks,
        training_rows=len(inputs.train),
        fine_tuned=inputs.fine_tuned,
        rung=inputs.rung,
        rungs=inputs.rungs,
        parity_error=inputs.reference.parity_error(inputs.candidate),
        latency_ms=latencies.of(inputs.candidate, line.signature),
        latency_provider=latencies.providers[0],
        size_mb=len(inputs.candidate) / 1e6,
    )


def _base(line: Line, inputs: JudgingInputs) -> Scored:
    """Score the holdout with the base model, at the threshold that earns most on the validation window."""
    threshold = line.task.best_threshold(inputs.validation.label, inputs.base_on_validation, line.value)
    answer = onnx_answer(inputs.base, inputs.holdout.features)
    return Scored(answer=answer, threshold=threshold, digest=digest_of(inputs.base))


def _champion(inputs: JudgingInputs) -> Scored | None:
    """Score the holdout with what the site serves, at the threshold it serves with."""
    if inputs.champion is None or inputs.champion_rows is None:
        return None
    return Scored(
        answer=onnx_answer(inputs.champion, inputs.champion_rows),
        threshold=inputs.champion_threshold,
        digest=digest_of(inputs.champion),
    )


def _baseline(line: Line, inputs: JudgingInputs) -> Scored:
    before = inputs.baseline_on_validation
    threshold = line.task.best_threshold(inputs.validation.label, before, line.value)
    return Scored(answer=inputs.baseline_on_holdout, threshold=threshold, digest=inputs.baseline_digest)

"""Judging: one site's rows and the models in question in; a verdict, and the threshold it was judged at, out.

Thresholds are chosen on the validation window. The holdout is scored once, by every model, on the same rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.evaluation.evidence import Evidence
from factory.evaluation.gates import judge
from factory.features.samples import Samples
from factory.line.line import Line
from factory.model.session import Latencies, onnx_answer
from factory.model.verdict import Verdict, digest_of
from factory.tasks.holdout import Scored
from factory.training.onnx_export import parity_error
from factory.training.weights import from_bytes

PARITY_ROWS = 1000
"""Rows on which the served file is compared with the trained network; the graph is the same for all of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibits:
    """Everything that is laid before the gates for one site."""

    train: NDArray[np.float32]
    """Labels of the training window: what could be known without a model."""
    validation: Samples
    holdout: Samples
    candidate: bytes
    """The candidate's ONNX file."""
    safetensors: bytes
    """The candidate's weights, to compare the file with."""
    fine_tuned: bool
    base: bytes
    champion: bytes | None
    champion_threshold: float
    """What the champion decides by at the site, as released; of no meaning without a champion."""
    baseline_on_validation: NDArray[np.float32]
    baseline_on_holdout: NDArray[np.float32]
    contract_share: float
    contract_failures: tuple[str, ...]


def judged(line: Line, site: str, exhibits: Exhibits, latencies: Latencies) -> Verdict:
    """Return the verdict on the candidate, bound to its digest; one graph is timed once for all its sites."""
    return judge(evidence(line, site, exhibits, latencies), line.gates)


def evidence(line: Line, site: str, exhibits: Exhibits, latencies: Latencies) -> Evidence:
    """Return what the gates look at: every model scored on the holdout."""
    weights, rows = from_bytes(exhibits.safetensors), exhibits.holdout.features
    idle = line.task.without_model(exhibits.train, line.value)
    candidate = _scored(line, exhibits, exhibits.candidate, idle)
    keeps_base = exhibits.base == exhibits.candidate
    return Evidence(
        line=line.name,
        site=site,
        digest=digest_of(exhibits.candidate),
        task=line.task,
        label=exhibits.holdout.label,
        candidate=candidate,
        base=candidate if keeps_base else _scored(line, exhibits, exhibits.base, idle),
        baseline=_baseline(line, exhibits, idle),
        champion=_champion(exhibits),
        value=line.value,
        idle=idle,
        own_figures=line.figures,
        contract_share=exhibits.contract_share,
        contract_failures=exhibits.contract_failures,
        training_rows=len(exhibits.train),
        fine_tuned=exhibits.fine_tuned,
        parity_error=parity_error(exhibits.candidate, weights, line.recipe, line.task, rows[:PARITY_ROWS]),
        latency_ms=latencies.of(exhibits.candidate, line.signature),
        latency_provider=latencies.providers[0],
        size_mb=len(exhibits.candidate) / 1e6,
    )


def _scored(line: Line, exhibits: Exhibits, model: bytes, idle: float) -> Scored:
    """Score the holdout with a model file, at the threshold that earns most on the validation window."""
    before = onnx_answer(model, exhibits.validation.features)
    threshold = line.task.best_threshold(exhibits.validation.label, before, line.value, idle)
    answer = onnx_answer(model, exhibits.holdout.features)
    return Scored(answer=answer, threshold=threshold, digest=digest_of(model))


def _champion(exhibits: Exhibits) -> Scored | None:
    """Score the holdout with what the site serves, at the threshold it serves with."""
    if exhibits.champion is None:
        return None
    return Scored(
        answer=onnx_answer(exhibits.champion, exhibits.holdout.features),
        threshold=exhibits.champion_threshold,
        digest=digest_of(exhibits.champion),
    )


def _baseline(line: Line, exhibits: Exhibits, idle: float) -> Scored:
    before = exhibits.baseline_on_validation
    threshold = line.task.best_threshold(exhibits.validation.label, before, line.value, idle)
    return Scored(answer=exhibits.baseline_on_holdout, threshold=threshold)

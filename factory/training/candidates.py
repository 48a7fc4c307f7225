"""Candidates from rows: the base model of a line, and the site models fine-tuned from it.

Divided feature rows come in; models ready to be registered go out, each with the record of its training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory.features.samples import Samples, samples
from factory.line.line import Line
from factory.line.split import Parts
from factory.model.candidate import Candidate
from factory.model.reference_answers import MAX_ROWS, ReferenceAnswers
from factory.model.signature import Signature
from factory.model.verdict import digest_of
from factory.names import LINE_SITE
from factory.tasks.task import Floats
from factory.training.epoch import Epoch
from factory.training.fine_tune import SiteModel, fine_tune
from factory.training.loop import train_base
from factory.training.onnx_export import export_onnx
from factory.training.predict import answers
from factory.training.weights import Weights, from_bytes, to_bytes

EXAMPLE_ROWS = 3


def base_candidate(
    line: Line,
    parts: Parts,
    *,
    device: str,
    checkpoint: Path,
    report: Callable[[Epoch], None],
    provenance: Mapping[str, str],
) -> Candidate:
    """Train the base model on the pooled rows; an interrupted training continues from its checkpoint."""
    began = datetime.now(UTC)
    train, validation = _windows(line, parts)
    trained = train_base(
        train, validation, line.recipe, task=line.task, device=device, checkpoint=checkpoint, report=report
    )
    why = f"base model of {len(set(train.site))} sites: best of {len(trained.history)} epochs was {trained.best_epoch}"
    model = SiteModel(
        site=LINE_SITE, weights=trained.weights, fine_tuned=False, why=why, history=tuple(trained.history)
    )
    return _candidates(line, {LINE_SITE: model}, {LINE_SITE: (train, validation)}, provenance, began)[LINE_SITE]


def site_candidates(
    line: Line, base: bytes, parts: Parts, sites: Sequence[str], *, device: str, provenance: Mapping[str, str]
) -> dict[str, Candidate]:
    """Fine-tune all the sites in one training from the base model's safetensors bytes.

    A site that is too small, or that fine-tuning does not improve, gets the base model and its record says so.
    """
    began = datetime.now(UTC)
    train, validation = _windows(line, parts)
    models = fine_tune(from_bytes(base), train, validation, line.recipe, task=line.task, sites=sites, device=device)
    windows = {site: (train.of(site), validation.of(site)) for site in models}
    return _candidates(line, models, windows, provenance, began)


def _windows(line: Line, parts: Parts) -> tuple[Samples, Samples]:
    return samples(line, parts.train, parts.rows), samples(line, parts.validation, parts.rows)


def _candidates(
    line: Line,
    models: Mapping[str, SiteModel],
    windows: Mapping[str, tuple[Samples, Samples]],
    provenance: Mapping[str, str],
    began: datetime,
) -> dict[str, Candidate]:
    """Return each model as a candidate, with its training and its validation window."""
    weights: dict[str, Weights] = {site: model.weights for site, model in models.items()}
    contents = export_onnx(weights, line.recipe, line.task, line.signature)
    return {
        site: _candidate(line, model, contents[site], *windows[site], provenance, began)
        for site, model in models.items()
    }


def _candidate(
    line: Line,
    model: SiteModel,
    content: bytes,
    train: Samples,
    validation: Samples,
    provenance: Mapping[str, str],
    began: datetime,
) -> Candidate:
    judged = validation.labelled()
    reference = latest_rows(train, validation, line.signature, MAX_ROWS)
    best = min(model.history, key=lambda epoch: epoch.validation_loss, default=None)
    known = _known(train)
    return Candidate(
        line=line.name,
        site=model.site,
        onnx=content,
        reference=ReferenceAnswers(rows=reference, answers=answers(model.weights, line.recipe, line.task, reference)),
        threshold=chosen_threshold(
            line, train.labelled(), judged.label, answers(model.weights, line.recipe, line.task, judged.features)
        ),
        safetensors=to_bytes(model.weights),
        digest=digest_of(content),
        signature=line.signature,
        example=latest_rows(train, validation, line.signature, EXAMPLE_ROWS),
        ranges={name: (float(values.min()), float(values.max())) for name, values in known.items()},
        typical={name: _median(values) for name, values in known.items()},
        params=asdict(line.recipe),
        metrics={
            "training_rows": float(len(train)),
            "validation_rows": float(len(validation)),
            **({"validation_loss": best.validation_loss} if best else {}),
            **({f"validation_{line.task.headline}": best.validation_headline} if best else {}),
        },
        epochs=[_figures(epoch, line.task.headline) for epoch in model.history],
        provenance=provenance,
        fine_tuned=model.fine_tuned,
        why=model.why,
        began=began,
        ended=datetime.now(UTC),
    )


def _figures(epoch: Epoch, headline: str) -> dict[str, float]:
    return {
        "training_loss": epoch.training_loss,
        "validation_loss": epoch.validation_loss,
        f"validation_{headline}": epoch.validation_headline,
    }


def latest_rows(train: Samples, validation: Samples, signature: Signature, most: int) -> NDArray[np.float32]:
    """Return at most so many real rows of the site, its latest ones; one row of unknowns where it has none."""
    rows = np.concatenate([train.features[-most:], validation.features[-most:]])[-most:]
    return rows if len(rows) else np.full((1, *signature.input_shape), np.nan, np.float32)


def chosen_threshold(line: Line, train: Samples, label: Floats, answer: Floats) -> float:
    """Return the threshold that is worth most on validation rows, by a model's answers to them from before it saw them.

    `train` are the labelled rows that show what would be decided without a model.
    """
    idle = line.task.without_model(train.label, line.value)
    return line.task.best_threshold(label, answer, line.value, idle)


def _known(train: Samples) -> dict[str, NDArray[np.float32]]:
    """Return the finite values of each feature that has one."""
    flat = train.features.reshape(-1, len(train.columns))
    known = {name: column[np.isfinite(column)] for name, column in zip(train.columns, flat.T, strict=True)}
    return {name: values for name, values in known.items() if values.size}


def _median(values: NDArray[np.float32]) -> float:
    """Return the median; of two in the middle the lower one, so that it is a value of the data."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))

"""Candidates: what was trained as it goes into the registry, with its files, its record and answers to compare with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.features.samples import Samples
from factory.line.line import Line
from factory.model.candidate import Candidate
from factory.model.reference_answers import ReferenceAnswers, Rows
from factory.model.signature import Signature
from factory.model.verdict import digest_of
from factory.training.checkpoint import Epoch
from factory.training.fine_tune import SiteModel
from factory.training.weights import to_bytes

EXAMPLE_ROWS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel:
    """A model as it came of training."""

    site: str
    onnx: bytes
    reference: ReferenceAnswers
    on_validation: Rows
    """Its answers to the labelled validation rows, from before it learnt from them."""
    rung: str
    why: str
    network: SiteModel | None
    """The network that is in it, if one is."""
    metrics: Mapping[str, float] = field(default_factory=dict)


def candidate(
    line: Line,
    model: FittedModel,
    train: Samples,
    validation: Samples,
    provenance: Mapping[str, str],
    began: datetime,
    **more: Any,
) -> Candidate:
    """Return a model as a candidate, with its windows; `more` are other fields of a candidate."""
    history = model.network.history if model.network else ()
    best = min(history, key=lambda epoch: epoch.validation_loss, default=None)
    known = _known(train)
    return Candidate(
        line=line.name,
        site=model.site,
        onnx=model.onnx,
        digest=digest_of(model.onnx),
        reference=model.reference,
        # By answers from before the validation rows were learnt from.
        threshold=line.task.best_threshold(validation.labelled().label, model.on_validation, line.value),
        safetensors=to_bytes(model.network.weights) if model.network else None,
        signature=line.signature,
        example=latest_rows(train, validation, line.signature, EXAMPLE_ROWS),
        ranges={name: (float(values.min()), float(values.max())) for name, values in known.items()},
        typical={name: _median(values) for name, values in known.items()},
        params={name: str(value) if isinstance(value, tuple) else value for name, value in asdict(line.recipe).items()},
        metrics={
            "training_rows": float(len(train)),
            "validation_rows": float(len(validation)),
            **({"validation_loss": best.validation_loss} if best else {}),
            **({f"validation_{line.task.headline}": best.validation_headline} if best else {}),
            **model.metrics,
        },
        epochs=[_figures(epoch, line.task.headline) for epoch in history],
        provenance=provenance,
        fine_tuned=bool(model.network and model.network.fine_tuned),
        why=model.why,
        rung=model.rung,
        began=began,
        ended=datetime.now(UTC),
        **more,
    )


def latest_rows(train: Samples, validation: Samples, signature: Signature, most: int) -> Rows:
    """Return at most so many real rows, the latest ones; one row of unknowns where there is none."""
    rows = np.concatenate([train.features[-most:], validation.features[-most:]])[-most:]
    return rows if len(rows) else np.full((1, *signature.input_shape), np.nan, np.float32)


def _figures(epoch: Epoch, headline: str) -> dict[str, float]:
    return {
        "training_loss": epoch.training_loss,
        "validation_loss": epoch.validation_loss,
        f"validation_{headline}": epoch.validation_headline,
    }


def _known(train: Samples) -> dict[str, NDArray[np.float32]]:
    """Return the finite values of each feature that has one."""
    flat = train.features.reshape(-1, len(train.columns))
    known = {name: column[np.isfinite(column)] for name, column in zip(train.columns, flat.T, strict=True)}
    return {name: values for name, values in known.items() if values.size}


def _median(values: NDArray[np.float32]) -> float:
    """Return the median; of two in the middle the lower one, so that it is a value of the data."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))

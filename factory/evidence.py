"""What the gates look at: models' probabilities on the same holdout rows come in, every figure goes out."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from factory import metrics
from factory.value import Value, row_values_eur
from factory.verdict import Figure

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One model on the holdout: its probability for each row, [rows], and the threshold that it decides by."""

    probability: Floats
    threshold: float
    digest: str | None = None
    """SHA-256 of the model file, where the model is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """All that is known about one candidate; the arrays hold the same holdout rows in the same order."""

    line: str
    site: str
    digest: str
    label: Floats
    candidate: Scored
    base: Scored | None
    baseline: Scored | None
    champion: Scored | None
    value: Value
    contract_share: float
    """Share of the site's raw rows that satisfied the contract."""
    contract_failures: tuple[str, ...] = ()
    """Expectations about whole tables that failed; no row can be blamed for these."""
    training_rows: int
    fine_tuned: bool
    parity_error: float
    """Largest difference between the served file's and the trained network's probability on the same rows."""
    latency_ms: float
    size_mb: float

    def __post_init__(self) -> None:
        """Raise ValueError where the arrays cannot be about the same rows."""
        for name, model in self.models().items():
            if model is not None and model.probability.shape != self.label.shape:
                raise ValueError(
                    f"{self.line}.{self.site}: {name} has probabilities of shape {model.probability.shape}, "
                    f"the labels have {self.label.shape}; score all models on the same rows"
                )
        if not np.isin(self.label, (0, 1)).all():
            raise ValueError(f"{self.line}.{self.site}: labels must be 0 or 1; leave out rows with unknown outcome")

    def models(self) -> dict[str, Scored | None]:
        """Return the models by role; None where a role is vacant."""
        return {"candidate": self.candidate, "base": self.base, "baseline": self.baseline, "champion": self.champion}

    @property
    def rival(self) -> Scored | None:
        """The champion to compare with: none where there is none, or where the candidate is the champion itself."""
        return None if self.champion is None or self.champion.digest == self.digest else self.champion


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Every figure a gate may ask for. None: not defined here, such as a ranking of one class or an absent champion.

    `probability_…` is the share of paired bootstrap resamples of the holdout. Values are above deciding nothing.
    """

    rows: int
    positives: int
    training_rows: int
    fine_tuned: bool
    not_probabilities: int
    """How many of the candidate's answers are not numbers between 0 and 1."""
    average_precision: float | None
    average_precision_low: float | None
    average_precision_high: float | None
    roc_auc: float | None
    log_loss: float | None
    calibration_error: float | None
    base_average_precision: float | None
    base_roc_auc: float | None
    baseline_average_precision: float | None
    baseline_roc_auc: float | None
    champion_average_precision: float | None
    champion_roc_auc: float | None
    change_vs_baseline: float | None
    probability_better_than_baseline: float | None
    compared_with_champion: bool
    change_vs_champion: float | None
    probability_better_than_champion: float | None
    probability_earns_less_than_champion: float | None
    threshold: float
    alarms: int
    value_eur: float
    value_per_decision_eur: float | None
    base_value_eur: float | None
    baseline_value_eur: float | None
    champion_value_eur: float | None
    contract_share: float | None
    contract_failures: str | None
    parity_error: float | None
    latency_ms: float | None
    size_mb: float | None

    def to_dict(self) -> dict[str, Figure]:
        """Return plain JSON types by name."""
        return asdict(self)


def measured(evidence: Evidence, *, baseline_margin: float = 0.0, champion_margin: float = 0.0) -> Figures:
    """Return every figure. The margins are by how much an average precision must be exceeded to count as better."""
    return Figures(
        **_holdout(evidence),
        **_others(evidence),
        **_comparisons(evidence, baseline_margin, champion_margin),
        **_money(evidence),
        **_running(evidence),
    )


def _holdout(evidence: Evidence) -> dict[str, Any]:
    label, probability = evidence.label, evidence.candidate.probability
    interval = metrics.Interval.of(metrics.bootstrap_average_precision(label, probability))
    return {
        "rows": len(label),
        "positives": int(label.sum()),
        "training_rows": evidence.training_rows,
        "fine_tuned": evidence.fine_tuned,
        "not_probabilities": int((~((probability >= 0) & (probability <= 1))).sum()),
        "average_precision": _known(metrics.average_precision(label, probability)),
        "average_precision_low": _known(interval.low),
        "average_precision_high": _known(interval.high),
        "roc_auc": _known(metrics.roc_auc(label, probability)),
        "log_loss": _known(metrics.log_loss(label, probability)),
        "calibration_error": _known(metrics.expected_calibration_error(label, probability)),
    }


def _others(evidence: Evidence) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in ("base", "baseline", "champion"):
        model = evidence.models()[name]
        for figure, measure in (("average_precision", metrics.average_precision), ("roc_auc", metrics.roc_auc)):
            known = None if model is None else _known(measure(evidence.label, model.probability))
            figures[f"{name}_{figure}"] = known
    return figures


def _comparisons(evidence: Evidence, baseline_margin: float, champion_margin: float) -> dict[str, Any]:
    baseline_change, baseline_share = _against(evidence, evidence.baseline, baseline_margin)
    champion_change, champion_share = _against(evidence, evidence.rival, champion_margin)
    return {
        "change_vs_baseline": baseline_change,
        "probability_better_than_baseline": baseline_share,
        "compared_with_champion": evidence.rival is not None,
        "change_vs_champion": champion_change,
        "probability_better_than_champion": champion_share,
        "probability_earns_less_than_champion": _earns_less(evidence),
    }


def _against(evidence: Evidence, other: Scored | None, margin: float) -> tuple[float | None, float | None]:
    """Return the change in average precision, and in which share of paired resamples it exceeds the margin."""
    if other is None:
        return None, None
    label, ours, theirs = evidence.label, evidence.candidate.probability, other.probability
    change = metrics.average_precision(label, ours) - metrics.average_precision(label, theirs)
    share = metrics.share_above(metrics.paired_bootstrap(label, ours, theirs), margin)
    return _known(change), _known(share)


def _earns_less(evidence: Evidence) -> float | None:
    """Return in which share of resamples the champion's decisions, at its own threshold, earn more than ours."""
    if evidence.rival is None:
        return None
    lost = _row_values(evidence, evidence.rival) - _row_values(evidence, evidence.candidate)
    return _known(metrics.share_above(metrics.bootstrap_sum(lost), 0.0))


def _money(evidence: Evidence) -> dict[str, Any]:
    rows = len(evidence.label)
    worth = {name: _row_values(evidence, model).sum() for name, model in evidence.models().items() if model}
    return {
        "threshold": evidence.candidate.threshold,
        "alarms": int((evidence.candidate.probability >= evidence.candidate.threshold).sum()),
        "value_eur": float(worth["candidate"]),
        "value_per_decision_eur": float(worth["candidate"]) / rows if rows else None,
        **{f"{name}_value_eur": _known(worth.get(name)) for name in ("base", "baseline", "champion")},
    }


def _row_values(evidence: Evidence, model: Scored) -> npt.NDArray[np.float64]:
    return row_values_eur(evidence.label, model.probability >= model.threshold, evidence.value)


def _running(evidence: Evidence) -> dict[str, Any]:
    return {
        "contract_share": _known(evidence.contract_share),
        "contract_failures": "; ".join(evidence.contract_failures) or None,
        "parity_error": _known(evidence.parity_error),
        "latency_ms": _known(evidence.latency_ms),
        "size_mb": _known(evidence.size_mb),
    }


def _known(figure: float | None) -> float | None:
    """Return the figure as JSON can hold it: None instead of what is not a finite number."""
    return None if figure is None or not math.isfinite(figure) else float(figure)

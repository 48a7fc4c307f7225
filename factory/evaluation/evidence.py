"""What the gates look at: models' answers to the same holdout rows come in, every figure goes out.

The line's task says which figures of merit there are; everything here is the same for every task.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from factory.line.recipe import BASELINE
from factory.model.check import Figure
from factory.tasks.holdout import Scored
from factory.tasks.intervals import Blocks
from factory.tasks.task import Task, Value

Floats = npt.NDArray[np.floating[Any]]
Figures = Mapping[str, Figure]
"""Every figure a gate may ask for, by name. None: not defined here, such as a ranking of one class, or no champion.

Of a model's figures the candidate's have the bare name, the others' the role before it: `baseline_rmse`.
`probability_…` is how sure that is, by the holdout's witnesses, as which rows that are alike count once; None where
they are too few to tell, which `independent_witnesses` says. Values are above the best constant decision on the very
rows, known with hindsight: `constant` says which, `constant_value_eur` what it is worth by itself.
All of the champion and all that compares with it is of the rows that are new to it, `rows_new_to_champion`; on these
the candidate earns `value_eur_beside_champion`.
Of all figures only `probability_better_than_…` depend on the gates, by the margin that is `margin_vs_…`, and all that
compare with a model are None where the comparison with it is disabled.
"""

LEAK_FIGURES = ("leaks", "leak_suspects", "copied_share")
"""Figures of what looks like a leak (factory/evaluation/leaks.py); None where nothing does, or nobody looked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """All that is known about one candidate; the arrays hold the same holdout rows in the same order."""

    line: str
    site: str
    digest: str
    task: Task
    label: Floats
    """As the task computes with them; all known."""
    blocks: Blocks
    """Which rows are alike, and so one witness together."""
    candidate: Scored
    base: Scored | None
    baseline: Scored | None
    champion: Scored | None
    new_to_champion: npt.NDArray[np.bool_] | None = None
    """`[rows]`: the rows it is compared on, for it neither learnt from them nor was chosen by them. None: all."""
    value: Value
    constant_before: float
    """The constant decision that was best on the rows that the candidate was made of: what door and monitoring count
    above, since they cannot know better."""
    own_figures: Mapping[str, Callable[[Floats, Floats], float]] = field(default_factory=dict)
    """The line's own figures of merit."""
    contract_share: float
    """Share of the site's raw rows that satisfied the contract."""
    contract_failures: tuple[str, ...] = ()
    """Expectations about whole tables that failed; no row can be blamed for these."""
    leaks: Mapping[str, Figure] = field(default_factory=dict)
    """What looks like a leak in the rows; see factory/evaluation/leaks.py."""
    training_rows: int
    fine_tuned: bool
    rung: str = ""
    """Which rung of the ladder the candidate is."""
    rungs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What each rung was worth on validation rows and what it costs, by the rung's name."""
    parity_error: float
    """Largest difference between the served file's and the trained network's answer to the same rows."""
    latency_ms: float
    latency_provider: str
    """What the latency was measured on, as ONNX Runtime names it."""
    size_mb: float

    def __post_init__(self) -> None:
        """Raise ValueError where the arrays cannot be about the same rows, or a label is not known."""
        expected = (len(self.label), len(self.task.answers))
        for name, model in self.models().items():
            if model is not None and model.answer.shape != expected:
                raise ValueError(
                    f"{self.line}.{self.site}: {name} has answers of shape {model.answer.shape}, expected {expected}; "
                    "score all models on the same rows"
                )
        if self.blocks.of_row.shape != self.label.shape:
            raise ValueError(
                f"{self.line}.{self.site}: {len(self.blocks.of_row)} rows have a block, {len(self.label)} a label"
            )
        if not np.isfinite(self.label).all():
            raise ValueError(f"{self.line}.{self.site}: {self.task.kind} labels must be known; leave out the others")

    def models(self) -> dict[str, Scored | None]:
        """Return the models by role; None where a role is vacant."""
        return {"candidate": self.candidate, "base": self.base, "baseline": self.baseline, "champion": self.champion}

    @property
    def rival(self) -> Scored | None:
        """The champion to compare with: none where there is none, or where the candidate is the champion itself."""
        return None if self.champion is None or self.champion.digest == self.digest else self.champion

    @property
    def is_baseline(self) -> bool:
        """Whether the candidate is the baseline itself, with which nothing can then be compared."""
        return self.baseline is not None and self.baseline.digest == self.digest

    def rows_for(self, role: str) -> npt.NDArray[np.bool_]:
        """Return the holdout rows, `[rows]`, that a model may be measured on: those it has not seen."""
        if role == "champion" and self.new_to_champion is not None and self.rival is not None:
            return self.new_to_champion
        return np.ones(len(self.label), np.bool_)

    def blocks_for(self, role: str) -> Blocks:
        """Return which of the rows that a model may be measured on are alike."""
        return self.blocks.where(self.rows_for(role))


def measured(
    evidence: Evidence, *, baseline_margin: float | None = 0.0, champion_margin: float | None = 0.0
) -> dict[str, Figure]:
    """Return every figure. The margins are by how much the headline must be exceeded to count as better.

    With None there is no comparison with that model, and its figures say so; its own figures of merit stay.
    """
    return {
        "task": evidence.task.kind,
        "headline": evidence.task.headline,
        **_holdout(evidence),
        **_others(evidence),
        **_comparisons(evidence, baseline_margin, champion_margin),
        **_without_model(evidence),
        **_money(evidence),
        **_running(evidence),
        **dict.fromkeys(LEAK_FIGURES),
        **evidence.leaks,
        **_ladder(evidence),
    }


def _holdout(evidence: Evidence) -> dict[str, Figure]:
    task, label, candidate = evidence.task, evidence.label, evidence.candidate
    interval = task.estimated(label, candidate.answer, evidence.blocks).interval()
    return {
        "rows": len(label),
        "witnesses": evidence.blocks.count,
        "witnesses_are": evidence.blocks.what,
        "training_rows": evidence.training_rows,
        "fine_tuned": evidence.fine_tuned,
        **task.counts(label, candidate.answer, candidate.threshold),
        "decided_otherwise": _decided_otherwise(task.decisions(candidate.answer, candidate.threshold)),
        **_of_merit(evidence, candidate, task.gateable, evidence.rows_for("candidate")),
        f"{task.headline}_low": _known(interval.low),
        f"{task.headline}_high": _known(interval.high),
    }


def _others(evidence: Evidence) -> dict[str, Figure]:
    """Return what is compared, of each other model; None throughout where a role is vacant."""
    names = (*evidence.task.compared, *evidence.own_figures)
    figures: dict[str, Figure] = {}
    for role in ("base", "baseline", "champion"):
        model = evidence.models()[role]
        merits = _of_merit(evidence, model, names, evidence.rows_for(role)) if model else {}
        figures |= {f"{role}_{name}": merits.get(name) for name in names}
    return figures


def _of_merit(
    evidence: Evidence, model: Scored, names: tuple[str, ...], rows: npt.NDArray[np.bool_]
) -> dict[str, Figure]:
    if not rows.any() and len(rows):
        return {}
    label, answer = evidence.label[rows], model.answer[rows]
    of_task = evidence.task.figures(label, answer)
    own = {name: figure(label, answer) for name, figure in evidence.own_figures.items()}
    return {name: _known(value) for name, value in {**of_task, **own}.items() if name in (*names, *own)}


def _comparisons(evidence: Evidence, baseline_margin: float | None, champion_margin: float | None) -> dict[str, Figure]:
    rival = None if champion_margin is None else evidence.rival
    bar = None if evidence.is_baseline else evidence.baseline
    baseline_change, baseline_share = _against(evidence, "baseline", bar, baseline_margin)
    champion_change, champion_share = _against(evidence, "champion", rival, champion_margin)
    return {
        "margin_vs_baseline": baseline_margin,
        "is_baseline": evidence.is_baseline,
        "baseline_is_a_rung": BASELINE in evidence.rungs,
        "change_vs_baseline": baseline_change,
        "probability_better_than_baseline": baseline_share,
        "margin_vs_champion": champion_margin,
        "compared_with_champion": rival is not None,
        "rows_new_to_champion": int(evidence.rows_for("champion").sum()) if rival else None,
        "witnesses_new_to_champion": evidence.blocks_for("champion").count if rival else None,
        "change_vs_champion": champion_change,
        "probability_better_than_champion": champion_share,
        "probability_earns_less_than_champion": _earns_less(evidence, rival),
    }


def _against(
    evidence: Evidence, role: str, other: Scored | None, margin: float | None
) -> tuple[float | None, float | None]:
    """Return the headline's change, and how sure it is that it is better by more than the margin.

    Pairing cancels what both owe to easy or hard rows, so far smaller differences show than in two intervals.
    """
    rows = evidence.rows_for(role)
    if other is None or margin is None or not rows.any():
        return None, None
    task, label = evidence.task, evidence.label[rows]
    ours, theirs = evidence.candidate.answer[rows], other.answer[rows]
    change = task.headline_of(label, ours) - task.headline_of(label, theirs)
    blocks = evidence.blocks_for(role)
    difference = task.estimated(label, ours, blocks) - task.estimated(label, theirs, blocks)
    better = difference if task.greater_is_better else -difference
    return _known(change), _known(better.certainty_above(margin))


def _earns_less(evidence: Evidence, rival: Scored | None) -> float | None:
    """Return how sure it is that the champion's decisions, at its own threshold, earn more than ours."""
    rows = evidence.rows_for("champion")
    if rival is None or not rows.any():
        return None
    lost = (_decided_eur(evidence, rival) - _decided_eur(evidence, evidence.candidate))[rows]
    return _known(evidence.blocks_for("champion").sum(lost).certainty_above(0.0))


def _without_model(evidence: Evidence) -> dict[str, Figure]:
    """Return how the candidate, and the baseline, stand to what can be decided and answered without a model."""
    task, label, blocks = evidence.task, evidence.label, evidence.blocks
    decided, loss = _decided_eur(evidence, evidence.candidate), _losses(evidence, evidence.candidate)
    constants = task.constants(label, evidence.value) if len(label) else ()
    earns = [blocks.sum(decided - task.constant_eur(label, one.decision, evidence.value)) for one in constants]
    answer = np.repeat(task.constant_answer(label), len(label), axis=0)
    constant_loss = task.row_losses(label, answer)
    below = blocks.mean(constant_loss - loss)
    baseline = _mean(_losses(evidence, evidence.baseline)) if evidence.baseline else None
    constant = _mean(constant_loss)
    return {
        "probability_earns_more_than_constant": _known(min(one.certainty_above(0.0) for one in earns))
        if earns
        else None,
        "probability_loss_below_constant": _known(below.certainty_above(0.0)),
        "independent_witnesses": _known(min(one.witnesses for one in (*earns, below))),
        "loss": _mean(loss),
        "constant_loss": constant,
        "baseline_loss": baseline,
        "baseline_beats_constant": None if baseline is None or constant is None else baseline < constant,
    }


def _losses(evidence: Evidence, model: Scored) -> npt.NDArray[np.float64]:
    return evidence.task.row_losses(evidence.label, model.answer)


def _mean(losses: npt.NDArray[np.float64]) -> float | None:
    return _known(float(losses.mean())) if len(losses) else None


def _decided_otherwise(decisions: npt.NDArray[np.float64]) -> int:
    """Return how many rows are decided otherwise than most: none by a model that decides like a constant."""
    return len(decisions) - int(np.unique(decisions, return_counts=True)[1].max(initial=0))


def _money(evidence: Evidence) -> dict[str, Figure]:
    task, label, rows = evidence.task, evidence.label, len(evidence.label)
    worth = {role: _above_constant(evidence, model, role) for role, model in evidence.models().items() if model}
    beside = _above_constant(evidence, evidence.candidate, "champion") if evidence.champion else None
    constant = task.best_constant(label, evidence.value)
    interval = evidence.blocks.sum(_row_values(evidence, evidence.candidate, "candidate")).interval()
    return {
        "threshold": evidence.candidate.threshold,
        "value_eur": _known(worth["candidate"]),
        "value_eur_low": _known(interval.low),
        "value_eur_high": _known(interval.high),
        "value_per_decision_eur": _known(worth["candidate"] / rows)
        if rows and worth["candidate"] is not None
        else None,
        "value_eur_beside_champion": _known(beside),
        "constant": constant.name,
        "constant_value_eur": _known(float(task.constant_eur(label, constant.decision, evidence.value).sum())),
        "constant_before": _known(evidence.constant_before),
        **{f"{name}_value_eur": _known(worth.get(name)) for name in ("base", "baseline", "champion")},
        **{f"{name}_threshold": _threshold(evidence.models()[name]) for name in ("base", "baseline", "champion")},
    }


def _above_constant(evidence: Evidence, model: Scored, role: str) -> float | None:
    """Return what a model's decisions are worth on the rows that `role` may be measured on; None without any."""
    rows = evidence.rows_for(role)
    return float(_row_values(evidence, model, role)[rows].sum()) if rows.any() or not len(rows) else None


def _threshold(model: Scored | None) -> float | None:
    return model.threshold if model else None


def _row_values(evidence: Evidence, model: Scored, role: str) -> npt.NDArray[np.float64]:
    """Return what each decision is worth above the best constant one on the rows that `role` may be measured on."""
    task, label, value = evidence.task, evidence.label, evidence.value
    constant = task.without_model(label[evidence.rows_for(role)], value)
    return task.row_values_eur(label, model.answer, model.threshold, value, constant)


def _decided_eur(evidence: Evidence, model: Scored) -> npt.NDArray[np.float64]:
    """Return what each decision is worth by itself."""
    decisions = evidence.task.decisions(model.answer, model.threshold)
    return evidence.task.decided_values_eur(evidence.label, decisions, evidence.value)


def _running(evidence: Evidence) -> dict[str, Figure]:
    return {
        "contract_share": _known(evidence.contract_share),
        "contract_failures": "; ".join(evidence.contract_failures) or None,
        "parity_error": _known(evidence.parity_error),
        "latency_ms": _known(evidence.latency_ms),
        "latency_provider": evidence.latency_provider,
        "size_mb": _known(evidence.size_mb),
    }


def _ladder(evidence: Evidence) -> dict[str, Figure]:
    """Return which rung the candidate is, and what each is worth and costs: `trees_training_s`, and so on."""
    return {
        "rung": evidence.rung or None,
        "rungs": ", ".join(evidence.rungs) or None,
        "is_base": evidence.base is not None and evidence.base.digest == evidence.digest,
        **{
            f"{rung.replace(' ', '_')}_{name}": _known(figure)
            for rung, figures in evidence.rungs.items()
            for name, figure in figures.items()
        },
    }


def _known(figure: float | None) -> float | None:
    """Return the figure as JSON can hold it: None instead of what is not a finite number."""
    return None if figure is None or not math.isfinite(figure) else float(figure)

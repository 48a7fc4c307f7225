"""Made holdouts whose truth is known: answers that know nothing of the outcome, or as much as can be known."""

import numpy as np

from factory.evaluation.evidence import Evidence
from factory.line.gates import Comparison, Gates
from factory.tasks import Binary, Multiclass, Regression
from factory.tasks.binary import BinaryValue
from factory.tasks.holdout import Scored
from factory.tasks.intervals import Blocks
from factory.tasks.multiclass import MulticlassValue
from factory.tasks.regression import RegressionValue

TASKS = {"binary": Binary(), "multiclass": Multiclass(classes=("a", "b", "c")), "regression": Regression()}
VALUES = {
    "binary": BinaryValue(caught_eur=350, missed_eur=-100, false_alarm_eur=-150),
    "multiclass": MulticlassValue(right_eur=10, wrong_eur=-8),
    "regression": RegressionValue(under_unit_eur=-1, over_unit_eur=-2),
}
NOTHING = Comparison(mode="disabled")
GATES = Gates(
    min_rows=2, min_contract_share=0.0, against_baseline=NOTHING, against_champion=NOTHING, max_latency_ms=1e9
)
"""Only what no line can do without: that a candidate beats what needs no model."""


def made(kind, *, blocks=300, rows=1, likeness=0.0, signal=0.0, rate=0.3, heavy=False, value=None, seed=0):
    """Return the evidence about a candidate, whose threshold is chosen on as many rows before those judged.

    Rows of one block share an effect on outcome and answer, which are independent of each other but for `signal`;
    `likeness` is that of a block with the one before it. `rate` is the share of the rarest class. With `heavy`,
    outcomes of a regression have a heavy tail.
    """
    chance = np.random.default_rng(seed)
    task, money = TASKS[kind], value or VALUES[kind]
    codes = np.repeat(np.arange(2 * blocks), rows)
    truth, said = (_effects(chance, 2 * blocks, rows, likeness) for _ in range(2))
    known = signal * truth + np.sqrt(1 - signal**2) * said
    label = _outcomes(kind, truth, rate, heavy, chance)
    answer = _answers(kind, known, label, signal, rate, chance)
    before = codes < blocks
    threshold = task.best_threshold(label[before], answer[before], money)
    found = Blocks(of_row=codes[~before] - blocks, in_time=likeness > 0, what="blocks")
    candidate = Scored(answer=answer[~before], threshold=threshold)
    return about(task, money, label[~before], found, candidate, label[before])


def about(task, value, label, blocks, candidate, before):
    """Return the evidence about a candidate alone; `before` are the labels that it was made of."""
    return Evidence(
        line="made",
        site="one",
        digest="d" * 64,
        task=task,
        label=label,
        blocks=blocks,
        candidate=candidate,
        base=None,
        baseline=None,
        champion=None,
        value=value,
        constant_before=task.without_model(before, value),
        contract_share=1.0,
        training_rows=len(before),
        fine_tuned=False,
        parity_error=0.0,
        latency_ms=0.1,
        latency_provider="CPUExecutionProvider",
        size_mb=0.1,
    )


def _effects(chance, blocks, rows, likeness):
    """Return standard normal numbers, of which half the variance is the block's where blocks have several rows."""
    shared = np.zeros(blocks)
    for block, fresh in enumerate(chance.normal(size=blocks)):
        shared[block] = likeness * shared[block - 1] + np.sqrt(1 - likeness**2) * fresh if block else fresh
    share = 0.5 if rows > 1 or likeness else 0.0
    return np.sqrt(share) * np.repeat(shared, rows) + np.sqrt(1 - share) * chance.normal(size=blocks * rows)


def _outcomes(kind, truth, rate, heavy, chance):
    if kind == "regression":
        return (np.exp(1.2 * truth) if heavy else truth).astype(np.float32)
    ranks = np.argsort(np.argsort(truth)) / len(truth)
    if kind == "binary":
        return (ranks >= 1 - rate).astype(np.float32)
    return np.digitize(ranks, [rate, rate + (1 - rate) * 0.4]).astype(np.float32)


def _answers(kind, known, label, signal, rate, chance):
    """Return what a model says that believes to know more than it does, as one that learnt noise by heart."""
    belief = max(signal, chance.choice([0.03, 0.1, 0.3, 0.8]))
    if kind == "regression":
        middle, spread = float(label.mean()), float(label.std())
        estimate = middle + belief * spread * known
        return np.stack([estimate, estimate - 2 * spread, estimate + 2 * spread], 1).astype(np.float32)
    if kind == "binary":
        logit = np.log(rate / (1 - rate)) + 2 * belief * known
        return (1 / (1 + np.exp(-logit)))[:, None].astype(np.float32)
    shares = np.log(np.bincount(label.astype(np.int64), minlength=3) / len(label))
    weight = np.exp(shares + 2 * belief * known[:, None] * np.array([-1.0, 0.0, 1.0]))
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)

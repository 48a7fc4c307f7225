"""Facts of made-up sites for each task, judged by the real gates, and pages as a parser reads them."""

import dataclasses
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import polars as pl

from factory.evaluation.evidence import Evidence
from factory.evaluation.gates import GATES, judge
from factory.features.samples import Samples
from factory.line.gates import AgainstConstant, Comparison, Gates
from factory.reports.facts import Serving
from factory.reports.gathering import holdout, shown, site_facts
from factory.reports.site_page import site_page
from factory.storage.journal import Entry
from factory.tasks import Binary, Multiclass, Regression
from factory.tasks.binary import BinaryValue
from factory.tasks.holdout import Scored
from factory.tasks.intervals import Blocks
from factory.tasks.multiclass import MulticlassValue
from factory.tasks.regression import RegressionValue
from tests.toy.line import toy_line

COLUMNS = ("torque", "age", "idle_column")
DIGEST = "a" * 64
VALUES = {
    "binary": BinaryValue(caught_eur=50, missed_eur=-100, false_alarm_eur=-20),
    "multiclass": MulticlassValue(right_eur=4, wrong_eur=-9),
    "regression": RegressionValue(under_unit_eur=-5, over_unit_eur=0, over_eur=-300),
}
TASKS = {
    "binary": Binary(),
    "multiclass": Multiclass(classes=("cable", "card", "cash")),
    "regression": Regression(coverage=0.9),
}


def gates(**changes):
    """Gates that ask nothing, but for the changes."""
    nothing = Comparison(min_probability=0.0)
    asked = Gates(
        min_rows=1,
        min_contract_share=0.0,
        against_constant=AgainstConstant(mode="disabled"),
        against_baseline=nothing,
        against_champion=nothing,
    )
    return dataclasses.replace(asked, **changes)


def features(rows, seed=3):
    return np.random.default_rng(seed).normal(size=(rows, len(COLUMNS))).astype(np.float32)


def labels(task, rows_of_features):
    """Labels that depend on the first column, and some chance."""
    drawn = rows_of_features[:, 0] + 0.5 * np.random.default_rng(5).normal(size=len(rows_of_features))
    if task.kind == "binary":
        return (drawn > 0.6).astype(np.float32)
    if task.kind == "multiclass":
        return np.digitize(drawn, np.linspace(-0.5, 0.5, len(task.classes) - 1)).astype(np.float32)
    return (40 + 10 * drawn).astype(np.float32)


def answer(task, some, blur=0.0):
    """What a model says that looks at the first column, blurred."""
    noise = np.random.default_rng(7).normal(size=len(some)) * blur
    seen = some[:, 0].astype(np.float64) + noise
    if task.kind == "binary":
        return (1 / (1 + np.exp(1.5 - 2.5 * seen)))[:, None].astype(np.float32)
    if task.kind == "multiclass":
        centres = np.linspace(-1, 1, len(task.classes))
        weight = np.exp(-np.square(seen[:, None] - centres) * 3)
        return (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    middle = 40 + 10 * seen
    return np.stack([middle, middle - 9, middle + 9], 1).astype(np.float32)


def entry(stage, figures, site="north"):
    return Entry(
        stage=stage,
        site=site,
        fingerprint="f" * 16,
        figures=figures,
        at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        run="r",
        seconds=0.1,
    )


def facts(kind="binary", rows=400, **what):
    """One site's facts, as its stages would leave them; `what` changes single things."""
    task = what.get("task", TASKS[kind])
    columns = what.get("columns", COLUMNS)
    line = dataclasses.replace(
        toy_line(), task=task, value=VALUES[task.kind], gates=what.get("gates", gates()), figures={}
    )
    seen = features(rows)
    label = what.get("label", labels(task, seen))
    blurs = {"candidate": 0.0, "base": 0.5, "baseline": 1.0, **({"champion": 0.7} if what.get("champion") else {})}
    roles = {role: answer(task, seen, blur) for role, blur in blurs.items()}
    verdict = judge(_evidence(line, label, roles, what), line.gates, asked=what.get("asked", GATES))
    site = what.get("site", "north")
    samples = Samples(features=seen, label=label, site=np.array([site] * rows, np.str_), columns=columns)
    judged = holdout(line, samples, Blocks.rows(rows), roles, verdict.figures)
    model = {"why": "fine-tuned on 900 rows", "version": 2, "digest": DIGEST, "provenance": {"git_commit": "abc"}}
    epochs = [{"training_loss": 1 / n, "validation_loss": 1 / n + 0.1} for n in range(1, 6)]
    entries = {
        "clean": {"raw": 1234, "clean": 1230, "quarantine": 3, "superseded": 1, "contract_share": 0.99},
        "features": {"row_count": 1230, "labelled": 1200},
        "base_model": {"why": "base model of 3 sites", "epochs": epochs},
        "site_model": {**model, "epochs": epochs, **what.get("model", {})},
        "verdict": {"verdict": verdict.to_dict() | what.get("verdict", {})},
    }
    return site_facts(
        line,
        site,
        entries={stage: entry(stage, figures, site) for stage, figures in entries.items()},
        quarantine=pl.DataFrame({"rule": what.get("rules", ["torque: values to be between", "age: not null"])}),
        windows={"train": 600, "validation": 200, "holdout": rows},
        serving=what.get("serving", serving(verdict)),
        held_back=what.get("held_back"),
        seen=shown(judged, samples, lambda some: answer(task, some), columns),
    )


def serving(verdict):
    """A release of the very file that was judged."""
    return Serving(
        version=2, digest=DIGEST, since="2026-03-04T05:06:07+00:00", as_of="2026-03-01", figures=verdict.figures
    )


def _evidence(line, label, roles, what):
    # A site that keeps the base model has its file, and one that serves the baseline the baseline's.
    same = {"base": not what.get("fine_tuned", True), "baseline": what.get("is_baseline", False)}
    digests = {role: DIGEST for role, is_same in same.items() if is_same}
    scored = {
        role: Scored(answer=found, threshold=0.5, digest=digests.get(role, role)) for role, found in roles.items()
    }
    return Evidence(
        line=line.name,
        site=what.get("site", "north"),
        digest=DIGEST,
        task=line.task,
        label=label,
        blocks=Blocks.rows(len(label)),
        value=line.value,
        constant_before=line.task.without_model(label, line.value),
        contract_share=0.99,
        training_rows=600,
        fine_tuned=what.get("fine_tuned", True),
        rung=what.get("rung", ""),
        rungs=what.get("rungs", {}),
        parity_error=1e-7,
        latency_ms=0.3,
        latency_provider="CPUExecutionProvider",
        size_mb=0.1,
        **{"champion": None, "new_to_champion": what.get("new_to_champion"), **scored},
    )


class Page(HTMLParser):
    """A page as a parser reads it: tags with attributes, text, and the text of every figure that names itself."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.text, self.figures = [], "", {}
        self.styles, self._figure, self._inside = "", None, []
        self.feed(content)

    @classmethod
    def of(cls, facts):
        return cls(site_page(facts, "0" * 16))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        if name := dict(attrs).get("data-figure"):
            self._figure = name
            self.figures[name] = ""
        elif tag == "span":
            self._figure = None  # the interval beside a figure

    def handle_endtag(self, tag):
        self._inside = self._inside[:-1]
        if tag == "td":
            self._figure = None

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "style":
            self.styles += data
            return
        self.text += data
        if self._figure:
            self.figures[self._figure] += data.strip()

"""What holds for every task in the table, from rows to verdict: a task that is added is tested here without a word."""

import dataclasses
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from factory.errors import TrainingError
from factory.evaluation.evidence import Evidence
from factory.evaluation.gates import judge
from factory.evaluation.judging import JudgingInputs, judged
from factory.features.samples import samples
from factory.line.alike import blocks
from factory.line.recipe import SequenceRecipe, TableRecipe
from factory.line.split import EntitySplit
from factory.model.candidate import WEIGHTS_FILE
from factory.model.session import Latencies
from factory.names import LINE_SITE
from factory.tasks import TASKS, Binary, Multiclass, Regression
from factory.tasks.binary import BinaryValue
from factory.tasks.holdout import Scored
from factory.tasks.intervals import Blocks
from factory.tasks.multiclass import MulticlassValue
from factory.tasks.regression import RegressionValue
from factory.training.ladder import Judged
from factory.training.pooled import base_model
from factory.training.site import PooledRungs, SiteRows, site_candidates
from tests.toy.line import toy_line

UNTIL = datetime(2024, 3, 1)
CASES = {
    "binary": (Binary(), BinaryValue(caught_eur=10, missed_eur=-5, false_alarm_eur=-2)),
    "multiclass": (Multiclass(classes=("low", "middle", "high")), MulticlassValue(right_eur=1, wrong_eur=-3)),
    "regression": (Regression(), RegressionValue(under_unit_eur=-1, over_unit_eur=-2)),
}
FAST = {"epochs": 4, "batch_rows": 64, "fine_tune_epochs": 2, "fine_tune_steps": 4, "fine_tune_min_rows": 100}
QUICK = FAST | {"epochs": 10, "learning_rate": 1e-2}
RECIPES = {
    "table": TableRecipe(members=2, width=16, depth=1, bins=6, embedding=4, baseline_iterations=10, **FAST),
    "sequence": SequenceRecipe(
        window=6, patch=2, channels=8, blocks=1, members=2, head_width=8, baseline_iterations=10, **QUICK
    ),
}


def line_of(kind, recipe="table"):
    task, value = CASES[kind]
    toy = toy_line()
    return dataclasses.replace(
        toy,
        task=task,
        value=value,
        recipe=RECIPES[recipe],
        split=EntitySplit(holdout_share=0.25, validation_share=0.25),
        gates=dataclasses.replace(toy.gates, at_least={}),
        features=dataclasses.replace(toy.features, columns={"x": "", "y": ""}, entity=("thing",), key=("thing", "n")),
        figures={"rows_told": lambda label, _: float(len(label))},
    )


def lives(kind, things=120, cycles=8):
    """Rows of things whose first feature, as it was lately, decides the outcome."""
    chance = np.random.default_rng(5)
    x, y = chance.normal(size=(2, things * cycles))
    score = x + 0.1 * chance.normal(size=len(x))
    names = np.array(["low", "middle", "high"])
    label = {
        "binary": (score > 0).astype(np.float32),
        "multiclass": names[np.digitize(score, [-0.5, 0.5])],
        "regression": (20 + 5 * score).astype(np.float32),
    }[kind]
    number = np.arange(len(x))
    return pl.DataFrame(
        {
            "site": np.where(number // cycles % 2 == 0, "north", "south"),
            "thing": number // cycles,
            "n": number % cycles,
            "decided_at": number % cycles,
            "label": label,
            "x": x.astype(np.float32),
            "y": y.astype(np.float32),
        }
    ).sort("site", "decided_at", "thing")


def test_the_cases_are_the_whole_table():
    assert set(CASES) == set(TASKS)


def trained(line, parts, tmp_path):
    """The base model of all sites, and the sites' candidates."""
    base = base_model(line, parts, device="cpu", checkpoint=tmp_path / "base", report=lambda _: None, provenance={})
    label = line.task.codes(parts.validation["label"])
    files = base.candidate.files
    pooled = PooledRungs(
        reference=base.candidate.reference.rows,
        weights=files.get(WEIGHTS_FILE),
        plain=base.candidate.plain,
        training_s={
            name.removesuffix("_training_s"): took
            for name, took in base.candidate.metrics.items()
            if name.endswith("_training_s")
        },
        sites=2,
        judged=Judged(label=label, answers=base.on_validation),
    )
    sites = {site: site_rows(line, parts, base, site) for site in ("north", "south")}
    return base, site_candidates(line, pooled, sites, device="cpu", provenance={})


def site_rows(line, parts, base, site):
    mine, own = parts.of(site), (parts.validation["site"] == site).to_numpy()
    return SiteRows(
        train=samples(line, mine.train, mine.rows),
        validation=samples(line, mine.validation, mine.rows),
        plain={rung: base.on_validation[rung][own] for rung in base.candidate.plain},
        decisions=1000.0,
    )


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", CASES)
def test_from_rows_to_a_verdict(kind, recipe, tmp_path):
    line = line_of(kind, recipe)
    parts = line.parts(lives(kind), UNTIL)
    whole, made = trained(line, parts, tmp_path)
    base = whole.candidate
    assert f"validation_{line.task.headline}" in base.metrics
    assert base.name.endswith(LINE_SITE.removeprefix("_line") + "._base")
    seen = samples(line, parts.train, parts.rows)
    for name, values in zip(seen.columns, seen.features.reshape(-1, len(seen.columns)).T, strict=True):
        known = values[np.isfinite(values)]  # a sequence that began later has steps of which nothing is known
        assert base.typical[name] in known
        assert np.mean(known < base.typical[name]) < 0.5 <= np.mean(known <= base.typical[name])
    mine, own = parts.of("north"), (parts.validation["site"] == "north").to_numpy()
    holdout = samples(line, mine.holdout, mine.rows)
    candidate = made["north"]
    verdict = judged(
        line,
        "north",
        JudgingInputs(
            train=line.task.codes(mine.train["label"]),
            validation=samples(line, mine.validation, mine.rows),
            holdout=holdout,
            blocks=blocks(line, mine),
            candidate=candidate.onnx,
            reference=candidate.reference,
            threshold=candidate.threshold,
            fine_tuned=candidate.fine_tuned,
            rung=candidate.rung,
            rungs=candidate.rungs,
            base=base.onnx,
            base_on_validation=whole.on_validation["network"][own],
            champion=None,
            champion_threshold=0.0,
            new_to_champion=np.ones(len(holdout), np.bool_),
            champion_rows=None,
            baseline_on_validation=whole.on_validation["trees"][own],
            baseline_on_holdout=whole.baseline.answers(holdout.features),
            baseline_digest=None,
            contract_share=1.0,
            contract_failures=(),
        ),
        Latencies(),
    )
    rungs = {"network"} if recipe == "sequence" else {"linear", "trees", "network"}
    assert rungs <= {name.removeprefix("tuned ") for name in candidate.rungs}
    assert verdict.figures["rung"] == candidate.rung
    figures = verdict.figures
    assert figures["parity_error"] < 1e-5
    assert figures["headline"] == line.task.headline
    assert figures["rows_told"] == figures["base_rows_told"] == len(holdout)
    assert set(line.task.gateable) <= set(figures)
    assert {f"{role}_{name}" for role in ("base", "baseline", "champion") for name in line.task.compared} <= set(
        figures
    )
    assert figures["value_eur"] > 0
    assert not any("answers" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("rungs", [("trees",), ("linear", "trees", "blend"), ("linear",)])
@pytest.mark.parametrize("kind", CASES)
def test_a_ladder_without_a_network_trains_none(kind, rungs, tmp_path):
    plain = line_of(kind)
    line = dataclasses.replace(plain, recipe=dataclasses.replace(plain.recipe, rungs=rungs))
    base, made = trained(line, line.parts(lives(kind), UNTIL), tmp_path)
    assert not (tmp_path / "base").exists()
    for candidate in (base.candidate, made["north"], made["south"]):
        assert candidate.safetensors is None
        assert not candidate.fine_tuned
        assert candidate.reference.parity_error(candidate.onnx) < 1e-4
        assert candidate.rung in (*rungs, "blend")


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("rows", [0, 1, 40])
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -1.0])
def test_poor_evidence_gives_reasons_and_raises_nothing(kind, rows, bad):
    line = line_of(kind)
    answer = np.full((rows, len(line.task.answers)), 1 / len(line.task.answers), np.float32)
    if bad is not None and rows:
        answer[-1, 0] = bad
    label = np.zeros(rows, np.float32)
    scored = Scored(answer=answer, threshold=0.5)
    found = judge(
        Evidence(
            line="l",
            site="s",
            digest="d",
            task=line.task,
            label=label,
            blocks=Blocks.rows(rows),
            candidate=scored,
            base=scored,
            baseline=scored,
            champion=None,
            value=line.value,
            constant_before=line.task.without_model(label, line.value),
            contract_share=1.0,
            training_rows=0,
            fine_tuned=False,
            parity_error=0.0,
            latency_ms=0.0,
            latency_provider="CPUExecutionProvider",
            size_mb=0.0,
        ),
        dataclasses.replace(line.gates, min_rows=500),
    )
    assert f"scored on {rows} rows, needs 500" in found.reasons


@pytest.mark.parametrize("kind", TASKS)
def test_what_a_task_says_of_its_figures_is_about_figures_it_has(kind):
    task = CASES[kind][0]
    assert task.headline in task.compared
    assert set(task.compared) | task.smaller_is_better | set(task.units) <= set(task.gateable)
    assert task.greater_is_better == (task.headline not in task.smaller_is_better)
    answer = np.full((4, len(task.answers)), 0.25, np.float32)
    measured = {**task.figures(np.ones(4), answer), **task.counts(np.ones(4), answer, 0.5)}
    assert set(task.gateable) <= set(measured)
    assert {name for name, unit in task.units.items() if unit == "count"} == {
        name for name in task.gateable if isinstance(measured[name], int)
    }


@pytest.mark.parametrize(("kind", "label"), [("binary", [0, 2]), ("multiclass", ["low", "odd"]), ("regression", ["a"])])
def test_a_label_that_the_task_does_not_know_is_refused_with_its_value(kind, label):
    task, _ = CASES[kind]
    with pytest.raises(TrainingError, match=r"labels (say 2|name \['odd'\]|are String)"):
        task.codes(pl.Series(label))

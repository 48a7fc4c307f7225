"""The pooled rungs of a line: plain models and the network of all sites, from divided feature rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np

from factory.features.samples import Samples, samples
from factory.line.line import Line
from factory.line.recipe import BASELINE
from factory.line.split import Parts
from factory.model.candidate import Candidate, PlainRung
from factory.model.reference_answers import MAX_ROWS, ReferenceAnswers, Rows
from factory.names import LINE_SITE
from factory.training.candidates import FittedModel, candidate, latest_rows
from factory.training.checkpoint import Epoch
from factory.training.fine_tune import SiteModel
from factory.training.ladder import NETWORK
from factory.training.loop import train_base
from factory.training.onnx_export import export_onnx
from factory.training.plain import Plain, PlainModel, fit_plain
from factory.training.plain_export import plain_onnx
from factory.training.predict import answers


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseModel:
    """What came of the pooled rows."""

    candidate: Candidate
    """The network, with the plain rungs beside it; without a network, the trees or the linear model."""
    on_validation: Mapping[str, Rows]
    """What each rung answered to the validation rows before it learnt from them, `[rows, answers]`; NaN for a row
    without a label."""
    baseline: PlainModel


def base_model(
    line: Line,
    parts: Parts,
    *,
    device: str,
    checkpoint: Path | None,
    report: Callable[[Epoch], None],
    provenance: Mapping[str, str],
) -> BaseModel:
    """Train the pooled rungs; an interrupted training of the network continues from its checkpoint."""
    began = datetime.now(UTC)
    train, validation = (samples(line, rows, parts.rows) for rows in (parts.train, parts.validation))
    reference = latest_rows(train, validation, line.signature, MAX_ROWS)
    # The trees are the baseline, too, whether or not a site may serve them.
    wanted = [name for name in get_args(Plain) if name in {*line.recipe.rungs, BASELINE}]
    fitted = {name: fit_plain(name, train, validation, line.recipe, line.task) for name in wanted}
    plain = {
        name: PlainRung(onnx=plain_onnx(rung.model, line.signature), reference=rung.model.answers(reference))
        for name, rung in fitted.items()
        if name in line.recipe.rungs
    }
    seconds: dict[str, float] = {name: rung.training_s for name, rung in fitted.items()}
    on_validation: dict[str, Rows] = {name: _placed(validation, rung.on_validation) for name, rung in fitted.items()}
    if NETWORK in line.recipe.rungs:
        started = time.process_time()
        network = _network(line, train, validation, device, checkpoint, report)
        seconds[NETWORK] = time.process_time() - started
        on_validation[NETWORK] = answers(network.weights, line.recipe, line.task, validation.features)
        model = _of_network(line, network, reference, on_validation[NETWORK][~np.isnan(validation.label)])
    else:
        name = BASELINE if BASELINE in plain else "linear"
        model = _of_plain(plain[name], name, reference, fitted[name].on_validation)
    metrics = {f"{name}_training_s": took for name, took in seconds.items()}
    return BaseModel(
        candidate=candidate(line, replace(model, metrics=metrics), train, validation, provenance, began, plain=plain),
        on_validation=on_validation,
        baseline=fitted[BASELINE].model,
    )


def _network(
    line: Line,
    train: Samples,
    validation: Samples,
    device: str,
    checkpoint: Path | None,
    report: Callable[[Epoch], None],
) -> SiteModel:
    trained = train_base(
        train, validation, line.recipe, task=line.task, device=device, checkpoint=checkpoint, report=report
    )
    taken, best = (line.recipe.training_length(rounds) for rounds in (len(trained.history), trained.best_epoch))
    why = f"base model of {len(set(train.site))} sites: trained for {taken}, the best after {best}"
    return SiteModel(site=LINE_SITE, weights=trained.weights, fine_tuned=False, why=why, history=tuple(trained.history))


def _of_network(line: Line, network: SiteModel, reference: Rows, on_validation: Rows) -> FittedModel:
    return FittedModel(
        site=LINE_SITE,
        onnx=export_onnx({LINE_SITE: network.weights}, line.recipe, line.task, line.signature)[LINE_SITE],
        reference=ReferenceAnswers(rows=reference, answers=answers(network.weights, line.recipe, line.task, reference)),
        on_validation=on_validation,
        rung=NETWORK,
        why=network.why,
        network=network,
    )


def _of_plain(rung: PlainRung, name: str, reference: Rows, on_validation: Rows) -> FittedModel:
    return FittedModel(
        site=LINE_SITE,
        onnx=rung.onnx,
        reference=ReferenceAnswers(rows=reference, answers=rung.reference),
        on_validation=on_validation,
        rung=name,
        why=f"base model of all sites: {name}, for the recipe's rungs have no network",
        network=None,
    )


def _placed(validation: Samples, labelled: Rows) -> Rows:
    """Return answers to the labelled rows at the places of these among all; NaN elsewhere."""
    answer = np.full((len(validation), labelled.shape[1]), np.nan, np.float32)
    answer[~np.isnan(validation.label)] = labelled
    return answer

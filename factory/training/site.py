"""The sites' candidates: the network fine-tuned on each site's rows, and the rung that its validation rows choose."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from factory.features.samples import Samples
from factory.line.line import Line
from factory.model.candidate import Candidate, PlainRung
from factory.model.reference_answers import ReferenceAnswers, Rows
from factory.model.session import OnnxSession
from factory.training.blend import blend_onnx, blended
from factory.training.candidates import FittedModel, candidate
from factory.training.fine_tune import SiteModel, fine_tune
from factory.training.ladder import MAX_ROWS, NETWORK, Choice, Cost, Judged, Ladder, Rung, Terms
from factory.training.onnx_export import export_onnx
from factory.training.predict import answers
from factory.training.weights import Weights, from_bytes

TUNED = "tuned network"
_TIMED_ROWS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledRungs:
    """What the sites' candidates are made from: the rungs of all sites, and their answers to validation rows."""

    reference: Rows
    """The rows that every rung's own answers are known to."""
    weights: bytes | None
    """The network's safetensors; None where the recipe has no network."""
    plain: Mapping[str, PlainRung]
    training_s: Mapping[str, float]
    """What each rung's training took, in processor seconds."""
    sites: int
    """How many sites share in that."""
    judged: Judged
    """The validation rows of all sites."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteRows:
    """One site's windows, what the plain rungs answered to its validation rows, and how often it decides."""

    train: Samples
    validation: Samples
    """Those with a label that every plain rung was asked about."""
    plain: Mapping[str, Rows]
    decisions: float
    """Within the horizon of the line's costs."""


def site_candidates(
    line: Line, pooled: PooledRungs, sites: Mapping[str, SiteRows], *, device: str, provenance: Mapping[str, str]
) -> dict[str, Candidate]:
    """Fine-tune all the sites in one training, and return the rung that each site's validation rows choose.

    A site that is too small, or that fine-tuning does not improve, has the network of all sites. A site's result does
    not depend on which others are trained with it.
    """
    began, started = datetime.now(UTC), time.process_time()
    networks = _networks(line, pooled, sites, device)
    tuning_s = (time.process_time() - started) / max(len(networks), 1)
    weights: dict[str, Weights] = {site: network.weights for site, network in networks.items()}
    graphs = export_onnx(weights, line.recipe, line.task, line.signature)
    serving_s = {name: _serving_s(rung.onnx, pooled.reference) for name, rung in pooled.plain.items()}
    if graphs:
        serving_s[NETWORK] = _serving_s(next(iter(graphs.values())), pooled.reference)
    every = pooled.judged.some(MAX_ROWS, line.recipe.seed)
    candidates = {}
    for site, rows in sites.items():
        members = _members(line, pooled, rows, networks.get(site), graphs.get(site))
        is_tuned = site in networks and networks[site].fine_tuned
        costs = {
            name: Cost(
                training_s=pooled.training_s[name] / max(pooled.sites, 1)
                + (tuning_s if name == NETWORK and is_tuned else 0.0),
                serving_s=serving_s[name],
            )
            for name in members
        }
        ladder = Ladder(
            Judged(label=rows.validation.label, answers={name: one.on_validation for name, one in members.items()}),
            every,
            costs,
            Terms(
                task=line.task,
                value=line.value,
                decisions=rows.decisions,
                second_eur=line.costs.compute_hour_eur / 3600,
            ),
            names={NETWORK: TUNED} if is_tuned else {},
        )
        choice = ladder.choice([*members], blend="blend" in line.recipe.rungs)
        model = _chosen_model(line, site, members, choice, networks.get(site), pooled.reference)
        candidates[site] = candidate(
            line, model, rows.train, rows.validation, provenance, began, rungs=_figures_of(choice)
        )
    return candidates


@dataclass(frozen=True, kw_only=True, eq=False)
class _Member:
    """A model that a site may serve, alone or in a blend."""

    onnx: bytes
    on_validation: Rows
    reference: Rows


def _networks(line: Line, pooled: PooledRungs, sites: Mapping[str, SiteRows], device: str) -> dict[str, SiteModel]:
    """Return each site's network; none where the recipe has none."""
    if pooled.weights is None:
        return {}
    base = from_bytes(pooled.weights)
    if "tuned" not in line.recipe.rungs:
        why = "base model kept: the recipe's rungs do not name tuned"
        return {site: SiteModel(site=site, weights=base, fine_tuned=False, why=why) for site in sites}
    train, validation = (
        _together([getattr(rows, window) for rows in sites.values()]) for window in ("train", "validation")
    )
    return fine_tune(base, train, validation, line.recipe, task=line.task, sites=[*sites], device=device)


def _members(
    line: Line, pooled: PooledRungs, rows: SiteRows, network: SiteModel | None, graph: bytes | None
) -> dict[str, _Member]:
    """Return what the site's ladder chooses from; its network may be fine-tuned."""
    members = {
        name: _Member(onnx=rung.onnx, on_validation=rows.plain[name], reference=rung.reference)
        for name, rung in pooled.plain.items()
    }
    if network is not None and graph is not None:
        on_validation, reference = (
            answers(network.weights, line.recipe, line.task, features)
            for features in (rows.validation.features, pooled.reference)
        )
        members[NETWORK] = _Member(onnx=graph, on_validation=on_validation, reference=reference)
    return members


def _chosen_model(
    line: Line,
    site: str,
    members: Mapping[str, _Member],
    choice: Choice,
    network: SiteModel | None,
    reference: Rows,
) -> FittedModel:
    """Return the chosen rung as one model."""
    weights = choice.chosen.weights
    return FittedModel(
        site=site,
        onnx=blend_onnx([(members[name].onnx, weight) for name, weight in weights.items()], line.signature),
        reference=ReferenceAnswers(
            rows=reference, answers=blended({name: one.reference for name, one in members.items()}, weights)
        ),
        on_validation=blended({name: one.on_validation for name, one in members.items()}, weights),
        rung=choice.chosen.name,
        why="; ".join([choice.why, *([network.why] if network else [])]),
        network=network if NETWORK in weights else None,
    )


def _figures_of(choice: Choice) -> dict[str, dict[str, float]]:
    """Return what the verdict says of each rung, cheapest first."""
    return {rung.name: _rung_figures(rung) for rung in choice.rungs}


def _rung_figures(rung: Rung) -> dict[str, float]:
    return {
        "validation_loss": rung.loss,
        "value_per_decision_eur": rung.value_per_decision_eur,
        "training_s": rung.training_s,
        "serving_s_per_1000": rung.serving_s,
        "cost_eur": rung.cost_eur,
    }


def _serving_s(content: bytes, rows: Rows) -> float:
    """Return the thread's own seconds for a thousand answers."""
    session, some = OnnxSession(content), rows[:_TIMED_ROWS]
    session.answer(some)
    started = time.thread_time()
    session.answer(some)
    return (time.thread_time() - started) / len(some) * 1000


def _together(parts: Sequence[Samples]) -> Samples:
    return Samples(
        features=np.concatenate([part.features for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        site=np.concatenate([part.site for part in parts]),
        columns=parts[0].columns,
    )

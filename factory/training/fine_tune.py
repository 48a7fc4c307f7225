"""Fine-tuning the base model on many sites at once: one batched training, each site as if it were alone.

Sites do not influence each other: each draws its own rows from a seed of its own, and is clipped, stopped, judged and
calibrated by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from factory.features.samples import Samples
from factory.line.recipe import Recipe
from factory.tasks import Task
from factory.training.checkpoint import Epoch
from factory.training.network import rebuilt
from factory.training.predict import joined, judgement
from factory.training.reproducible import reproducible
from factory.training.stack import Stack
from factory.training.weights import Weights, weights_of


@dataclass(frozen=True, kw_only=True)
class SiteModel:
    """A site's weights: fine-tuned, or exactly the base model's; and in one sentence why."""

    site: str
    weights: dict[str, Tensor]
    fine_tuned: bool
    why: str
    history: tuple[Epoch, ...] = ()


def fine_tune(
    base: Weights, train: Samples, validation: Samples, recipe: Recipe, *, task: Task, sites: Sequence[str], device: str
) -> dict[str, SiteModel]:
    """Return a model for each of the sites, fine-tuned from the base where the site's own rows make it better.

    A site keeps the base model, and says why, if it has fewer than `recipe.fine_tune_min_rows` labelled training rows,
    labels that teach nothing or an empty validation window, or if no epoch takes the share `recipe.fine_tune_min_gain`
    off the base model's loss on its validation window. A site's result does not depend on which others are trained
    with it.
    """
    base = dict(base)
    untuned, tuned = {}, []
    for name in dict.fromkeys(sites):
        rows, judged = train.of(name).labelled(), validation.of(name).labelled()
        if why := refusal(rows, judged, recipe, task):
            untuned[name] = SiteModel(site=name, weights=base, fine_tuned=False, why=why)
        else:
            loss = judgement(rebuilt(recipe, task, base), task, judged)[0]
            tuned.append(_Site(name=name, train=rows, validation=judged, base_loss=loss))
    with reproducible(device):
        _train_together(base, tuned, recipe, task, device)
    models = untuned | {site.name: _site_model(site, base, recipe, task) for site in tuned}
    return {name: models[name] for name in sites}


def refusal(train: Samples, validation: Samples, recipe: Recipe, task: Task) -> str | None:
    """Return in one sentence why a site's labelled rows cannot be fine-tuned on, or None if they can."""
    if len(train) < recipe.fine_tune_min_rows:
        return f"base model kept: {len(train)} labelled training rows, fine-tuning needs {recipe.fine_tune_min_rows}"
    for window, rows in (("training", train), ("validation", validation)):
        if flaw := task.flaw(rows.label):
            return f"base model kept: in the {window} window {flaw}"
    return None


@dataclass(kw_only=True)
class _Site:
    """One site under way: its rows, and the best it has reached on its own validation window."""

    name: str
    train: Samples
    validation: Samples
    base_loss: float
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    history: list[Epoch] = field(default_factory=list)
    idle: int = 0

    def note(self, weights: dict[str, Tensor], epoch: Epoch) -> None:
        """Record an epoch, and keep its weights if they are the best so far; a NaN loss never is."""
        self.history.append(epoch)
        self.idle += 1
        if epoch.validation_loss < self.best_loss:
            self.best, self.best_loss, self.idle = weights, epoch.validation_loss, 0


def _train_together(base: dict[str, Tensor], sites: Sequence[_Site], recipe: Recipe, task: Task, device: str) -> None:
    """Fine-tune all sites in one training; each site stops by itself, and the training when all have stopped."""
    if not sites:
        return
    stack = Stack(base, {site.name: site.train for site in sites}, recipe, task, device)
    for number in range(1, recipe.fine_tune_epochs + 1):
        losses = stack.one_epoch()
        for index, site in enumerate(sites):
            if site.idle < recipe.patience:
                weights = base | stack.weights(index)
                loss, headline = judgement(rebuilt(recipe, task, weights), task, site.validation)
                site.note(weights, _epoch(number, float(losses[index]), loss, headline))
        if all(site.idle >= recipe.patience for site in sites):
            break


def _epoch(number: int, training_loss: float, validation_loss: float, headline: float) -> Epoch:
    return Epoch(
        number=number, training_loss=training_loss, validation_loss=validation_loss, validation_headline=headline
    )


def _site_model(site: _Site, base: dict[str, Tensor], recipe: Recipe, task: Task) -> SiteModel:
    """Return the site's best epoch, calibrated on its validation rows, or the base model if no better."""
    history = tuple(site.history)
    gain = 1.0 - site.best_loss / site.base_loss
    if not gain >= recipe.fine_tune_min_gain:
        why = (
            f"base model kept: the best of {len(history)} fine-tuning epochs took {max(gain, -1.0):.2%} off the "
            f"validation loss {site.base_loss:.4f}, needs {recipe.fine_tune_min_gain:.2%}"
        )
        return SiteModel(site=site.name, weights=base, fine_tuned=False, why=why, history=history)
    network = rebuilt(recipe, task, site.best)
    network.head.calibrate(
        joined(network, site.validation.features),
        site.validation.label,
        prior=rebuilt(recipe, task, base).head,
        prior_rows=recipe.calibration_prior_rows,
    )
    why = f"fine-tuned on {len(site.train)} rows: validation loss {site.base_loss:.4f} to {site.best_loss:.4f}"
    return SiteModel(site=site.name, weights=weights_of(network), fine_tuned=True, why=why, history=history)

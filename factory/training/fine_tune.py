"""Fine-tuning the base model on many sites at once: one batched training, each site as if it were alone.

Nothing crosses from one site to another: each draws its own rows by its own name, is clipped, stopped, judged and
calibrated by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from factory.training.calibration import calibrated, calibration_of, fit_platt
from factory.training.epoch import Epoch
from factory.training.network import rebuilt
from factory.training.predict import average_precision, log_loss, raw_logit
from factory.training.recipe import Recipe
from factory.training.reproducible import reproducible
from factory.training.samples import Samples
from factory.training.stack import Stack
from factory.training.weights import Weights


@dataclass(frozen=True, kw_only=True)
class SiteModel:
    """A site's weights: fine-tuned, or exactly the base model's; and in one sentence why."""

    site: str
    weights: dict[str, Tensor]
    fine_tuned: bool
    why: str
    history: tuple[Epoch, ...] = ()


def fine_tune(
    base: Weights, train: Samples, validation: Samples, recipe: Recipe, *, sites: Sequence[str], device: str
) -> dict[str, SiteModel]:
    """Return a model for each of the sites, fine-tuned from the base where the site's own rows make it better.

    A site keeps the base model, and says why, if it has fewer than `recipe.fine_tune_min_rows` labelled training rows,
    a single class or an empty validation window, or if no epoch takes the share `recipe.fine_tune_min_gain` off the
    base model's log loss on its validation window. A site's result does not depend on which others are trained with it.
    """
    base = dict(base)
    kept, tuned = {}, []
    for name in dict.fromkeys(sites):
        rows, judged = train.of(name).labelled(), validation.of(name).labelled()
        if why := refusal(rows, judged, recipe):
            kept[name] = SiteModel(site=name, weights=base, fine_tuned=False, why=why)
        else:
            loss = _judgement(base, recipe, judged)[0]
            tuned.append(_Site(name=name, train=rows, validation=judged, base_loss=loss))
    with reproducible(device):
        _train_together(base, tuned, recipe, device)
    models = kept | {site.name: _site_model(site, base, recipe) for site in tuned}
    return {name: models[name] for name in sites}


def refusal(train: Samples, validation: Samples, recipe: Recipe) -> str | None:
    """Return in one sentence why a site's labelled rows cannot be fine-tuned on, or None if they can."""
    if len(train) < recipe.fine_tune_min_rows:
        return f"base model kept: {len(train)} labelled training rows, fine-tuning needs {recipe.fine_tune_min_rows}"
    for window, rows in (("training", train), ("validation", validation)):
        if flaw := rows.flaw():
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
        """Note an epoch, and keep its weights if they are the best so far; a loss that is no number never is."""
        self.history.append(epoch)
        self.idle += 1
        if epoch.validation_loss < self.best_loss:
            self.best, self.best_loss, self.idle = weights, epoch.validation_loss, 0


def _train_together(base: dict[str, Tensor], sites: Sequence[_Site], recipe: Recipe, device: str) -> None:
    """Fine-tune all sites in one training; each stops by itself, and the training when all have."""
    if not sites:
        return
    stack = Stack(base, {site.name: site.train for site in sites}, recipe, device)
    for number in range(1, recipe.fine_tune_epochs + 1):
        losses = stack.one_epoch()
        for index, site in enumerate(sites):
            if site.idle < recipe.patience:
                weights = base | stack.weights(index)
                loss, precision = _judgement(weights, recipe, site.validation)
                site.note(weights, _epoch(number, float(losses[index]), loss, precision))
        if all(site.idle >= recipe.patience for site in sites):
            break


def _epoch(number: int, training_loss: float, validation_loss: float, precision: float) -> Epoch:
    return Epoch(
        number=number,
        training_loss=training_loss,
        validation_loss=validation_loss,
        validation_average_precision=precision,
    )


def _judgement(weights: Weights, recipe: Recipe, validation: Samples) -> tuple[float, float]:
    """Return log loss and average precision on one site's validation rows; NaN and 0 if a logit is no number."""
    logit = raw_logit(rebuilt(recipe, weights), validation.features)
    return log_loss(logit, validation.label), average_precision(logit, validation.label)


def _site_model(site: _Site, base: dict[str, Tensor], recipe: Recipe) -> SiteModel:
    """Return the site's best epoch, calibrated on its validation rows, or the base model if no better."""
    history = tuple(site.history)
    gain = 1.0 - site.best_loss / site.base_loss
    if not gain >= recipe.fine_tune_min_gain:
        why = (
            f"base model kept: the best of {len(history)} fine-tuning epochs took {max(gain, -1.0):.2%} off the "
            f"validation loss {site.base_loss:.4f}, needs {recipe.fine_tune_min_gain:.2%}"
        )
        return SiteModel(site=site.name, weights=base, fine_tuned=False, why=why, history=history)
    logit = raw_logit(rebuilt(recipe, site.best), site.validation.features)
    platt = fit_platt(
        logit, site.validation.label, prior=calibration_of(base), prior_rows=recipe.calibration_prior_rows
    )
    why = f"fine-tuned on {len(site.train)} rows: validation loss {site.base_loss:.4f} to {site.best_loss:.4f}"
    return SiteModel(site=site.name, weights=calibrated(site.best, platt), fine_tuned=True, why=why, history=history)

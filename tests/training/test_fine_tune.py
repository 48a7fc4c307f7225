import dataclasses

import numpy as np
import pytest
import torch

from factory.features.samples import Samples
from factory.training.fine_tune import fine_tune
from factory.training.stack import Stack
from tests.training.builders import SMALL, TASK, average_precision, pooled, probability, rows, with_label


def site(name, *, train=600, seed=10, **kind):
    return rows(name, count=train, seed=seed, **kind), rows(name, count=300, seed=seed + 1, **kind)


def tune(base, *sites, recipe=SMALL, device="cpu"):
    train, validation = (pooled(*parts) for parts in zip(*sites, strict=True))
    names = sorted(set(train.site) | set(validation.site))
    return fine_tune(base.weights, train, validation, recipe, task=TASK, sites=names, device=device)


def gap(one, other):
    """Return the greatest difference between two models' weights."""
    return max(float((one.weights[name] - other.weights[name]).abs().max()) for name in one.weights)


def is_base(model, base):
    return not model.fine_tuned and all(torch.equal(model.weights[name], base.weights[name]) for name in base.weights)


REVERSED = {"turn": -1.0, "shift": -0.5}


def test_a_site_unlike_the_others_is_better_off_fine_tuned(base):
    model = tune(base, site("X", **REVERSED))["X"]
    assert model.fine_tuned
    assert "600 rows" in model.why
    test = rows("X", count=2000, seed=99, **REVERSED)
    own, pooled_ = (
        average_precision(probability(weights, SMALL, test.features), test.label)
        for weights in (model.weights, base.weights)
    )
    assert own > pooled_ + 0.2


def test_a_site_does_not_depend_on_which_others_are_trained_with_it(base):
    a, b, c = (
        site(name, train=size, seed=seed, turn=turn)
        for name, size, seed, turn in (("A", 230, 10, -2.0), ("B", 600, 20, -1.0), ("C", 900, 30, 1.5))
    )
    recipe = dataclasses.replace(SMALL, max_gradient_norm=0.05)
    together, alone = tune(base, a, b, c, recipe=recipe), tune(base, b, recipe=recipe)
    assert together["B"].fine_tuned
    assert gap(together["B"], alone["B"]) <= 5e-5  # a batched product of another size rounds otherwise
    assert together["B"].why == alone["B"].why


def test_fine_tuning_is_reproducible(base):
    sites = site("A", **REVERSED), site("B", shift=1.0)
    once, again = tune(base, *sites), tune(base, *sites)
    assert all(torch.equal(once[name].weights[key], again[name].weights[key]) for name in once for key in base.weights)


@pytest.mark.parametrize(
    ("sick", "says"),
    [
        (site("S", train=199), "199 labelled training rows, fine-tuning needs 200"),
        ((with_label(rows("S"), np.zeros(600)), rows("S")), "in the training window all 600 labels are 0"),
        ((rows("S"), with_label(rows("S"), np.ones(600))), "in the validation window all 600 labels are 1"),
        ((rows("S"), rows("other")), "in the validation window no row has a known label"),
        ((with_label(rows("S"), np.full(600, np.nan)), rows("S")), "0 labelled training rows"),
        ((with_label(rows("S"), np.arange(600) % 3), rows("S")), "labels must be 0 or 1"),
    ],
)
def test_a_site_that_cannot_be_fine_tuned_keeps_the_base_model_and_says_why(base, sick, says):
    model = tune(base, sick, site("A", **REVERSED))["S"]
    assert is_base(model, base)
    assert says in model.why


def test_a_site_that_fine_tuning_does_not_help_keeps_the_base_model_and_says_why(base):
    model = tune(base, site("A"), recipe=dataclasses.replace(SMALL, fine_tune_min_gain=0.5))["A"]
    assert is_base(model, base)
    assert "needs 50.00%" in model.why
    assert model.history


def infinite(samples):
    features = np.where(np.arange(len(samples))[:, None] % 2, np.inf, -np.inf) * np.ones_like(samples.features)
    return Samples(features=features.astype(np.float32), label=samples.label, site=samples.site)


@pytest.mark.parametrize("spoil", [infinite, lambda samples: with_label(samples, np.full(len(samples), np.nan))])
def test_one_sick_site_harms_no_other(base, spoil):
    healthy = site("A", **REVERSED)
    sick = tuple(spoil(part) for part in site("S"))
    models = tune(base, sick, healthy)
    assert gap(models["A"], tune(base, healthy)["A"]) <= 1e-5
    assert all(torch.isfinite(tensor).all() for tensor in models["S"].weights.values())


def test_weights_that_are_no_numbers_any_more_stay_in_their_own_slice(base):
    recipe = dataclasses.replace(SMALL, fine_tune_epochs=2)
    healthy, sick = site("A", **REVERSED), site("S")
    stack = Stack(base.weights, {"S": sick[0], "A": healthy[0]}, recipe, TASK, "cpu")
    with torch.no_grad():
        for tensor in stack.stacked.values():
            tensor[0] = float("nan")
    losses = stack.one_epoch()
    assert torch.isnan(losses[0])
    assert torch.isfinite(losses[1])
    alone = Stack(base.weights, {"A": healthy[0]}, recipe, TASK, "cpu")
    alone.one_epoch()
    for name, tensor in stack.weights(1).items():
        torch.testing.assert_close(tensor, alone.weights(0)[name], atol=1e-5, rtol=0)


def test_fine_tuned_weights_leave_the_bins_as_they_are(base):
    model = tune(base, site("X", **REVERSED))["X"]
    for name in ("left", "inverse_width", "low", "high", "inverse_range"):
        assert torch.equal(model.weights[f"members.embedding.{name}"], base.weights[f"members.embedding.{name}"])


@pytest.mark.gpu
def test_on_a_gpu_a_site_does_not_depend_on_the_others_either(base):
    a, b = site("A", **REVERSED), site("B", train=300, seed=20)
    together, alone = tune(base, a, b, device="cuda"), tune(base, a, device="cuda")
    assert together["A"].fine_tuned
    assert together["A"].history[-1].validation_loss == pytest.approx(alone["A"].history[-1].validation_loss, abs=0.02)

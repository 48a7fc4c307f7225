"""Synthetic rows with a known rule, small enough to train on in a second."""

import numpy as np

from factory.features.samples import Samples
from factory.line.recipe import TableRecipe
from factory.tasks import Binary
from factory.tasks.binary import figures
from factory.tasks.binary.head import BinaryHead
from factory.training import predict

TASK = Binary()
SMALL = TableRecipe(
    members=2,
    width=16,
    depth=2,
    bins=6,
    embedding=4,
    dropout=0.1,
    learning_rate=6e-3,
    epochs=4,
    patience=4,
    batch_rows=128,
    fine_tune_epochs=4,
    fine_tune_steps=10,
    fine_tune_batch_rows=64,
    fine_tune_min_rows=200,
    fine_tune_learning_rate=5e-3,
    fine_tune_pull=0.1,
    fine_tune_min_gain=0.002,
    calibration_prior_rows=100,
)


def rows(site="A", *, count=600, seed=0, turn=1.0, features=4, shift=0.0):
    """Return a site whose first feature decides the label; `turn=-1` reverses the rule, `shift` moves the base rate."""
    chance = np.random.default_rng(seed)
    values = chance.normal(size=(count, features)).astype(np.float32)
    values[chance.random(values.shape) < 0.05] = np.nan
    logit = 2.0 * turn * np.nan_to_num(values[:, 0]) + 0.5 * np.nan_to_num(values[:, 1]) ** 2 + shift
    label = (chance.random(count) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return Samples(features=values, label=label, site=np.full(count, site))


def pooled(*parts):
    return Samples(
        features=np.concatenate([part.features for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        site=np.concatenate([part.site for part in parts]),
    )


def with_label(samples, label):
    return Samples(features=samples.features, label=np.asarray(label, np.float32), site=samples.site)


def probability(weights, recipe, features):
    """Return the probability of each row, `[rows]`."""
    return predict.answers(weights, recipe, TASK, features)[:, 0]


def average_precision(probability, label):
    return figures.average_precision(label, probability)


def log_loss(logit, label):
    return BinaryHead().joined_loss(np.asarray(logit)[:, None], label)

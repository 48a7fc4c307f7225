"""The sequence recipe's training against a plain PyTorch loop over the same network, rows, batches and optimizer.

    python benchmarks/sequence_speed.py [--rounds 3]

Prints windows a second of both, in turn, and the ratio of medians. What the factory's loop does besides: reproducible
kernels, the learning-rate schedule, gradient clipping, validation and its figures after each epoch.
"""

import argparse
import dataclasses
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.features.samples import Samples  # noqa: E402
from factory.line.recipe import SequenceRecipe  # noqa: E402
from factory.tasks import Regression  # noqa: E402  found through the line above
from factory.training.loop import train_base  # noqa: E402
from factory.training.network import new_network  # noqa: E402

ROWS, COLUMNS = 20_000, 25
RECIPE = SequenceRecipe(epochs=1)
TASK = Regression()


def windows(rows: int, seed: int) -> Samples:
    """Return windows of noise whose last moments decide the label."""
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(rows, RECIPE.window, COLUMNS)).astype(np.float32)
    label = features[:, -5:, 0].mean(axis=1) * 20 + 60
    return Samples(features=features, label=label.astype(np.float32), site=np.full(rows, "A"))


def factory_epoch(train: Samples, validation: Samples) -> float:
    """Return the seconds of the factory's epoch."""
    started = time.perf_counter()
    train_base(train, validation, RECIPE, task=TASK, device="cpu", checkpoint=None, report=lambda _: None)
    return time.perf_counter() - started


def plain_epoch(train: Samples, validation: Samples) -> float:
    """Return the seconds of a loop as one writes it in a notebook."""
    started = time.perf_counter()
    network = new_network(dataclasses.replace(RECIPE), TASK, train)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RECIPE.learning_rate)
    features, label = torch.from_numpy(train.features), torch.from_numpy(train.label)
    network.train()
    for batch in torch.randperm(len(label)).split(RECIPE.batch_rows):
        optimizer.zero_grad()
        network.head.loss(network.members(features[batch]), label[batch]).mean().backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        for rows in torch.from_numpy(validation.features).split(8192):
            network(rows)
    return time.perf_counter() - started


def main(rounds: int) -> None:
    """Time both in turn and print the figures."""
    train, validation = windows(ROWS, 0), windows(2_000, 1)
    pairs = [(factory_epoch(train, validation), plain_epoch(train, validation)) for _ in range(rounds + 1)][1:]
    ours, plain = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"factory {ROWS / ours:,.0f} windows/s, plain loop {ROWS / plain:,.0f} windows/s, ratio {plain / ours:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)

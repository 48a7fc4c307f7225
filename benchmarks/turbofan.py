"""Remaining life of turbofan engines as published: last moment of each test engine, RUL capped at 125.

    FACTORY_DATA=<folder with cmapss/> python benchmarks/turbofan.py [--seeds 5] [--without-age]

For each seed trains the line's base model on the pooled engines of its fleets, fine-tunes each fleet, and prints root
mean squared error and NASA score on the published test engines, with what training took; then mean and spread, beside
scikit-learn's HistGradientBoosting on the same windows and the published table. Test engines choose nothing here.
"""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.the_line import shipped  # noqa: E402  found through the line above
from factory.connectors.source import Source  # noqa: E402
from factory.features.samples import samples  # noqa: E402
from factory.line.line import Line  # noqa: E402
from factory.line.split import Parts  # noqa: E402
from factory.training.fine_tune import fine_tune  # noqa: E402
from factory.training.loop import train_base  # noqa: E402
from factory.training.plain import fit_plain  # noqa: E402
from factory.training.predict import answers  # noqa: E402
from lines.turbofan_rul.nasa import nasa_score  # noqa: E402

PUBLISHED = {"DCNN": (12.61, 12.64), "BiLSTM": (13.65, 13.74), "DAST": (11.43, 11.32), "STAR": (10.61, 10.71)}
"""Root mean squared error on FD001 and FD003."""


def divided(line: Line, source: Source) -> Parts:
    """Return the line's feature rows of all fleets, divided."""
    table = line.decisions
    rows = pl.concat(list(source.read(table, site=None, after=None, until=line.default_until)))
    clean = table.repair(rows.with_columns(site=pl.col(str(table.site_column))).lazy())
    built = line.features.build({table.name: clean}).collect().sort("site", "decided_at", *line.features.key)
    return line.parts(built, line.default_until)


def measured(line: Line, parts: Parts) -> dict[str, dict[str, tuple[float, float]]]:
    """Return what base model, site models and baseline reach at each fleet: error and score; and print the cost."""
    train, validation, test = (
        samples(line, part, parts.rows) for part in (parts.train, parts.validation, parts.holdout)
    )
    sites = sorted(set(test.site.tolist()))
    wall, cpu = time.perf_counter(), time.process_time()
    base = train_base(
        train, validation, line.recipe, task=line.task, device="cpu", checkpoint=None, report=lambda _: None
    )
    tuned = fine_tune(base.weights, train, validation, line.recipe, task=line.task, sites=sites, device="cpu")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    baseline = fit_plain("trees", train, validation, line.recipe, line.task).model.answers(test.features)
    found: dict[str, dict[str, tuple[float, float]]] = {"base model": {}, "site model": {}, "HistGradientBoosting": {}}
    for site in sites:
        mine = test.of(site)
        said = {
            "base model": answers(base.weights, line.recipe, line.task, mine.features),
            "site model": answers(tuned[site].weights, line.recipe, line.task, mine.features),
            "HistGradientBoosting": baseline[test.site == site],
        }
        for model, answer in said.items():
            found[model][site] = (line.task.headline_of(mine.label, answer), nasa_score(mine.label, answer))
        held = line.task.figures(mine.label, said["site model"])["coverage"]
        print(f"  {site}: {'tuned' if tuned[site].fine_tuned else 'base kept'}, interval holds {held:.0%}")
    figures = "  ".join(f"{site} {rmse:.2f} / {score:.0f}" for site, (rmse, score) in found["site model"].items())
    print(f"seed {line.recipe.seed}: {figures}; training {wall:.0f} s, {cpu:.0f} s of processor time", flush=True)
    return found


def main(seeds: int, *, age: bool) -> None:
    """Train with each seed and print the table."""
    line, source = shipped("turbofan_rul", Path(os.environ.get("FACTORY_DATA") or ROOT / ".factory" / "data"))
    if not age:
        columns = {name: text for name, text in line.features.columns.items() if name != "age"}
        line = dataclasses.replace(line, features=dataclasses.replace(line.features, columns=columns))
    parts = divided(line, source)
    runs = []
    for seed in range(1, seeds + 1):
        runs.append(measured(dataclasses.replace(line, recipe=dataclasses.replace(line.recipe, seed=seed)), parts))
    for model in runs[0]:
        cells = []
        for site in runs[0][model]:
            both = np.array([run[model][site] for run in runs])
            spread = both.std(axis=0, ddof=1) if seeds > 1 else np.zeros(2)
            cells.append(
                f"{site} RMSE {both[:, 0].mean():.2f} ± {spread[0]:.2f}, NASA {both[:, 1].mean():.0f} ± {spread[1]:.0f}"
            )
        print(f"{model:<22} {'   '.join(cells)}")
    for name, figures in PUBLISHED.items():
        print(f"{name + ', published':<22} FD001 RMSE {figures[0]:.2f}   FD003 RMSE {figures[1]:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-age", action="store_true", help="leave out the engine's age: sensors alone")
    asked = parser.parse_args()
    main(asked.seeds, age=not asked.without_age)

"""Remaining life of turbofan engines as published: last moment of each test engine, RUL capped at 125.

    FACTORY_DATA=<folder with cmapss/> python benchmarks/turbofan.py [--seeds 5] [--without-age]

For each seed trains the line's rungs on the pooled engines of its fleets, fine-tunes each fleet and lets its validation
engines choose, as the factory does. Prints root mean squared error, NASA score and the share that the interval holds on
the published test engines, with what training took; then mean and spread, beside the published table. Test engines
choose nothing here.
"""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.the_line import shipped  # noqa: E402  found through the line above
from factory.connectors.source import Source  # noqa: E402
from factory.features.samples import samples  # noqa: E402
from factory.line.line import Line  # noqa: E402
from factory.line.split import LABEL, Parts  # noqa: E402
from factory.model.candidate import Candidate  # noqa: E402
from factory.model.session import onnx_answer  # noqa: E402
from factory.storage.columns import SITE  # noqa: E402
from factory.training.ladder import Judged  # noqa: E402
from factory.training.pooled import BaseModel, base_model  # noqa: E402
from factory.training.site import PooledRungs, SiteRows, site_candidates  # noqa: E402
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


def candidates(line: Line, parts: Parts) -> tuple[BaseModel, dict[str, Candidate]]:
    """Return the pooled rungs, and each fleet's candidate as the ladder chooses it on validation rows."""
    base = base_model(line, parts, device="cpu", checkpoint=None, report=lambda _: None, provenance={})
    rungs = base.candidate
    sites = parts.validation[SITE].to_numpy()
    pooled = PooledRungs(
        reference=rungs.reference.rows,
        weights=rungs.safetensors,
        plain=rungs.plain,
        training_s=dict.fromkeys(base.on_validation, 0.0),
        sites=len(set(sites)),
        judged=Judged(label=line.task.codes(parts.validation[LABEL]), answers=base.on_validation),
    )
    rows = {site: _site_rows(line, parts.of(site), base, sites == site) for site in sorted(set(sites))}
    return base, site_candidates(line, pooled, rows, device="cpu", provenance={})


def _site_rows(line: Line, parts: Parts, base: BaseModel, own: npt.NDArray[np.bool_]) -> SiteRows:
    return SiteRows(
        train=samples(line, parts.train, parts.rows),
        validation=samples(line, parts.validation, parts.rows),
        plain={name: base.on_validation[name][own] for name in base.candidate.plain},
        decisions=float(len(parts.rows)),
    )


def measured(line: Line, parts: Parts) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return what each rung and each fleet's candidate reach: error, score, share in the interval; print the cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    base, chosen = candidates(line, parts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    files = {name: rung.onnx for name, rung in base.candidate.plain.items()} | {"network": base.candidate.onnx}
    reached: dict[str, dict[str, tuple[float, ...]]] = {}
    for site, candidate in chosen.items():
        mine = parts.of(site)
        test = samples(line, mine.holdout, mine.rows)
        for model, file in (files | {"the site's candidate": candidate.onnx}).items():
            answer = onnx_answer(file, test.features)
            error, coverage = (line.task.figures(test.label, answer)[name] for name in ("rmse", "coverage"))
            reached.setdefault(model, {})[site] = (error, nasa_score(test.label, answer), 100 * coverage)
        print(f"  {site}: {candidate.why}")
    print(f"seed {line.recipe.seed}: training {wall:.0f} s, {cpu:.0f} s of processor time", flush=True)
    for model, figures in reached.items():
        print(f"  {model:<22} " + "   ".join(f"{site} {rmse:.2f}" for site, (rmse, *_) in figures.items()), flush=True)
    return reached


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
            spread = both.std(axis=0, ddof=1) if seeds > 1 else np.zeros(3)
            cells.append(
                f"{site} RMSE {both[:, 0].mean():.2f} ± {spread[0]:.2f}, NASA {both[:, 1].mean():.0f} ± {spread[1]:.0f}"
                f", holds {both[:, 2].mean():.0f} %"
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

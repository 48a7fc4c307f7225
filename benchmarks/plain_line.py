"""The work of `departure_delay` as one plain script: no lake, no contract, no Dagster, no MLflow, no gates, no release.

    python benchmarks/plain_line.py FOLDER

Reads the source, dedupes, repairs, builds features, trains base model, site models and baseline, writes one ONNX file
a site and prints the mean average precision. It is the peer of `factory run` in benchmarks/whole_line.py.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.the_line import departure_delay  # noqa: E402  found through the line above
from factory.connectors.source import Source  # noqa: E402
from factory.data.contract.typing import typed_rows  # noqa: E402
from factory.features.samples import samples  # noqa: E402
from factory.line.line import Line  # noqa: E402
from factory.model.session import onnx_answer  # noqa: E402
from factory.tasks.binary.figures import average_precision  # noqa: E402
from factory.training.fine_tune import fine_tune  # noqa: E402
from factory.training.loop import train_base  # noqa: E402
from factory.training.onnx_export import export_onnx  # noqa: E402
from factory.training.plain import fit_plain  # noqa: E402


def features(line: Line, source: Source) -> pl.DataFrame:
    """Return the feature rows of all sites."""
    tables = {}
    for name, table in line.tables.items():
        raw = pl.concat(list(source.read(table, site=None, after=None, until=line.default_until)))
        rows = typed_rows(raw.lazy(), table, ()).select(list(table.columns)).collect()
        if table.site_column:
            rows = rows.with_columns(pl.col(table.site_column).alias("site"))
        tables[name] = table.repair(rows.lazy().unique(table.key, keep="last", maintain_order=True))
    return line.features.build(tables).collect().sort("site", "decided_at", *line.features.key)


def main(folder: Path) -> None:
    """Do the work."""
    line, source = departure_delay()
    parts = line.parts(features(line, source), line.default_until)
    train, validation, holdout = (
        samples(line, part, parts.rows) for part in (parts.train, parts.validation, parts.holdout)
    )
    task = line.task
    base = train_base(train, validation, line.recipe, task=task, device="cpu", checkpoint=None, report=lambda _: None)
    sites = sorted(set(holdout.site.tolist()))
    models = fine_tune(base.weights, train, validation, line.recipe, task=task, sites=sites, device="cpu")
    baseline = fit_plain("trees", train, validation, line.recipe, task).model.answers(holdout.features)[:, 0]
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = [], []
    weights = {site: model.weights for site, model in models.items()}
    for site, content in export_onnx(weights, line.recipe, task, line.signature).items():
        (folder / f"{site}.onnx").write_bytes(content)
        mine = holdout.of(site)
        if 0 < mine.label.sum() < len(mine):
            ours.append(average_precision(mine.label, onnx_answer(content, mine.features)[:, 0]))
            theirs.append(average_precision(mine.label, baseline[holdout.site == site]))
    print(f"mean AP of {len(ours)} sites: site model {np.mean(ours):.4f}, baseline {np.mean(theirs):.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

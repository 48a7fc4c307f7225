"""How good the models are: mean over sites of average precision and AUC, April after January to March.

    python benchmarks/quality.py HOME          # a home in which `factory run departure_delay` has run

Site model, base model and baseline (the pooled trees) are read from the verdicts; beside them scikit-learn's
HistGradientBoosting as it comes, on training and validation rows.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.the_line import departure_delay  # noqa: E402  found through the line above
from factory.features.samples import samples  # noqa: E402
from factory.reports.status import line_status  # noqa: E402
from factory.storage.home import Home  # noqa: E402
from factory.storage.lake_store import LakeStore  # noqa: E402
from factory.tasks.binary.figures import average_precision, roc_auc  # noqa: E402

FIGURES = (average_precision, roc_auc)
MIN_ROWS = 50
"""Below, a mean over sites is mostly about a handful of flights."""


def verdict_means(home: Home) -> list[str]:
    """Return a row for each model the gates looked at: means over the sites where both classes occur."""
    figures = [state["verdict"]["figures"] for state in line_status(home, "departure_delay").values()]
    both = [site for site in figures if site["average_precision"] is not None]
    rows = []
    for some in (both, [site for site in both if site["rows"] >= MIN_ROWS]):
        for name, prefix in {"site model": "", "base model": "base_", "boosted trees": "baseline_"}.items():
            names = (f"{prefix}average_precision", f"{prefix}roc_auc")
            precision, auc = (np.mean([site[figure] for site in some]) for figure in names)
            rows.append(f"{name:<24} mean AP {precision:.4f}  mean AUC {auc:.4f}  ({len(some)} sites)")
    return rows


def boosted_on_everything(home: Home) -> list[str]:
    """Return the rows of HistGradientBoosting trained on training and validation window together."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    line, _ = departure_delay()
    rows = LakeStore.at(home).of(line.name).scan("features").sort("site", "decided_at", *line.features.key).collect()
    parts = line.parts(rows, line.default_until)
    train, validation, holdout = (
        samples(line, part, parts.rows) for part in (parts.train, parts.validation, parts.holdout)
    )
    features = np.concatenate([train.features, validation.features])
    model = HistGradientBoostingClassifier(random_state=0).fit(
        features, np.concatenate([train.label, validation.label])
    )
    probability = model.predict_proba(holdout.features)[:, 1]
    per_site = []
    for site in sorted(set(holdout.site.tolist())):
        mine = holdout.site == site
        figures = [figure(holdout.label[mine], probability[mine]) for figure in FIGURES]
        if np.isfinite(figures).all():
            per_site.append((mine.sum(), figures))
    said = []
    for some in (per_site, [site for site in per_site if site[0] >= MIN_ROWS]):
        precision, auc = np.mean([figures for _, figures in some], axis=0)
        said.append(f"{'HistGB, January-March':<24} mean AP {precision:.4f}  mean AUC {auc:.4f}  ({len(some)} sites)")
    pooled = [figure(holdout.label, probability) for figure in FIGURES]
    name = "  the same, pooled rows"
    return [*said, f"{name:<24}      AP {pooled[0]:.4f}       AUC {pooled[1]:.4f}  ({len(holdout)} rows)"]


if __name__ == "__main__":
    home = Home.at(Path(sys.argv[1]))
    print(*verdict_means(home), *boosted_on_everything(home), sep="\n")

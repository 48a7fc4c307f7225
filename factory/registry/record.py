"""How a candidate and its verdict are written down in MLflow: run, files, figures. No pickle anywhere.

A model's folder is MLflow's ONNX flavour plus the weights as safetensors.
"""

import functools
import importlib.metadata
import json
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from factory.model.candidate import Candidate
from factory.model.signature import INPUT, Signature
from factory.model.verdict import Verdict

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "weights.safetensors"
VERDICT_FILE = "verdict.json"
_MAX_REASONS = 4000
"""Characters of reasons in a tag: MLflow takes 5,000 on some databases; all of them are in the verdict's file."""

MlflowClient = Any
ModelVersion = Any


@contextmanager
def log_candidate(client: MlflowClient, experiment: str, candidate: Candidate) -> Iterator[str]:
    """Open a run with the candidate's record and give its id; close it as failed if the block raises."""
    tags = {"line": candidate.line, "site": candidate.site, "digest": candidate.digest, **candidate.provenance}
    run_id = client.create_run(experiment, run_name=candidate.name, tags=tags).info.run_id
    status = "FAILED"
    try:
        _log_params(client, run_id, {**candidate.params, "fine_tuned": candidate.fine_tuned, "why": candidate.why})
        by_epoch = {name for epoch in candidate.epochs for name in epoch}
        kept = {name: value for name, value in candidate.metrics.items() if name in by_epoch}
        _log_metrics(client, run_id, [{name: value for name, value in candidate.metrics.items() if name not in kept}])
        # After the epochs comes what was kept, the best of them: a metric's last value is the one that lists show.
        _log_metrics(client, run_id, [*candidate.epochs, kept])
        yield run_id
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


@contextmanager
def save_model_folder(candidate: Candidate, model_id: str) -> Iterator[Path]:
    """Give a folder with the model in MLflow's ONNX flavour and its weights; it is gone after the block."""
    import onnx
    from mlflow.models import Model

    flavour = _onnx_flavour()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        flavour.save_model(
            onnx.load_model_from_string(candidate.onnx),
            str(folder),
            mlflow_model=Model(model_id=model_id),
            signature=_signature(candidate.signature),
            input_example={INPUT: candidate.example.astype(np.float32)},
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in ("onnxruntime", "numpy")],
            onnx_execution_providers=["CPUExecutionProvider"],
            metadata={**asdict(candidate.signature), "digest": candidate.digest},
            save_as_external_data=False,
        )
        # MLflow wrote the graph anew, which need not give the same bytes; what is served must be what was judged.
        (folder / MODEL_FILE).write_bytes(candidate.onnx)
        (folder / WEIGHTS_FILE).write_bytes(candidate.safetensors)
        yield folder


def log_verdict(client: MlflowClient, kept: ModelVersion, verdict: Verdict) -> None:
    """Write the verdict as metrics of the run, as tags, and whole as a file; the same one again is no change.

    The file comes last: where it is, the rest is, so that a death on the way is made good by doing it again.
    """
    if _recorded(client, kept.run_id) == verdict.to_dict():
        return
    figures = {figure: float(found) for figure, found in verdict.figures.items() if isinstance(found, int | float)}
    _log_metrics(client, kept.run_id, [figures])
    reasons = "; ".join(verdict.reasons)
    shown = reasons if len(reasons) <= _MAX_REASONS else f"{reasons[:_MAX_REASONS]}… ({VERDICT_FILE} has all)"
    tags = {"passed": str(verdict.passed).lower(), "verdict_digest": verdict.digest, "reasons": shown}
    for tag, value in tags.items():
        client.set_model_version_tag(kept.name, str(kept.version), tag, value)
    client.log_dict(kept.run_id, verdict.to_dict(), VERDICT_FILE)


def _recorded(client: MlflowClient, run_id: str) -> Any:
    """Return the verdict on record as `to_dict` wrote it, or None."""
    try:
        return json.loads(logged_text(client, run_id, VERDICT_FILE))
    except (OSError, ValueError):
        return None


def logged_text(client: MlflowClient, run_id: str, file: str) -> str:
    """Return a text file that was logged with a run. Raises OSError if it cannot be read."""
    return stored_file(client, f"{client.get_run(run_id).info.artifact_uri}/{file}").decode()


def stored_file(client: MlflowClient, uri: str) -> bytes:
    """Return a file from wherever MLflow keeps files. Raises OSError if it cannot be read."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(artifact_uri=uri, tracking_uri=client.tracking_uri)).read_bytes()
    except MlflowException as error:
        raise OSError(f"{uri}: {error.message}") from error


@functools.cache
def _onnx_flavour() -> Any:
    """Return `mlflow.onnx`, with `mlflow.pyfunc` that it loads late and that warns about MLflow's own type hints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.onnx
        import mlflow.pyfunc
    return mlflow.onnx


def _signature(signature: Signature) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    single = np.dtype(np.float32)
    return ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, *signature.input_shape), INPUT)]),
        outputs=Schema([TensorSpec(single, (-1, len(signature.answers)), signature.output)]),
    )


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    entries = [Param(name, str(value)) for name, value in params.items()]
    for start in range(0, len(entries), 100):  # MLflow's limit of one batch
        client.log_batch(run_id, params=entries[start : start + 100])


def _log_metrics(client: MlflowClient, run_id: str, steps: Any) -> None:
    """Log one mapping of metrics for each step, from 0; what is not a number is left out."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    entries = [
        Metric(name, float(value), now, step)
        for step, metrics in enumerate(steps)
        for name, value in metrics.items()
        if np.isfinite(value)
    ]
    for start in range(0, len(entries), 1000):  # MLflow's limit of one batch
        client.log_batch(run_id, metrics=entries[start : start + 1000])

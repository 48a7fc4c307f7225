"""How a candidate and its verdict are written down in MLflow: run, files, figures. No pickle anywhere.

A model's folder is MLflow's ONNX flavour plus the candidate's other files.
"""

import functools
import importlib.metadata
import json
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from factory.errors import RegistryError
from factory.errors.masking import masked, masked_values
from factory.model.candidate import Candidate
from factory.model.provenance import CONTENT_OF
from factory.model.signature import INPUT, Signature
from factory.model.verdict import Verdict
from factory.names import LINE_SITE
from factory.registry.connection import Connection
from factory.storage.journal import fingerprint

VERDICT_FILE = "verdict.json"
BASE_MODEL = "base model"
"""The name of the run of a line's base model; a site model's run has its site's name."""
FRAME_MODEL = "factory_frame_model"
"""The module beside a model by which MLflow's `pyfunc` asks it."""
_PASSED = "passed"
_NEEDS = ("onnxruntime", "numpy", "pandas")
_FRAME_MODEL = Path(__file__).with_name("frame_model.py")
_MAX_REASONS = 4000
"""Characters of reasons in a tag: MLflow takes 5,000 on some databases; all of them are in the verdict's file."""

ModelVersion = Any


@contextmanager
def log_candidate(mlflow: Connection, experiment: str, candidate: Candidate) -> Iterator[str]:
    """Open a run with the candidate's record and give its id; close it as failed if the block raises.

    Its name is the site's, and it lasted as long as the training.
    """
    tags = {"line": candidate.line, "site": candidate.site, "digest": candidate.digest, **candidate.provenance}
    name = BASE_MODEL if candidate.site == LINE_SITE else candidate.site
    run_id = mlflow.create_run(experiment, name, tags, candidate.began)
    status, ended = "FAILED", None
    try:
        params = {**candidate.params, "fine_tuned": candidate.fine_tuned, "why": candidate.why}
        by_epoch = {name for epoch in candidate.epochs for name in epoch}
        best = {name: value for name, value in candidate.metrics.items() if name in by_epoch}
        others = {name: value for name, value in candidate.metrics.items() if name not in best}
        # The best epoch's values come after all epochs: a metric's last value is the one that lists show.
        _log(mlflow, run_id, [others], [*candidate.epochs, best], params=params)
        mlflow.runs.log_inputs(run_id, datasets=[_dataset(candidate)])
        yield run_id
        status, ended = "FINISHED", candidate.ended
    finally:
        mlflow.runs.set_terminated(run_id, status, int(ended.timestamp() * 1000) if ended else None)


@contextmanager
def save_model_folder(candidate: Candidate, model_id: str) -> Iterator[Path]:
    """Give a folder with the model in MLflow's ONNX flavour, as a `pyfunc` over frames, and with its other files.

    It is gone after the block.
    """
    import onnx
    from mlflow.models import Model

    flavour = _onnx_flavour()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        model = Model(model_id=model_id)
        flavour.save_model(
            onnx.load_model_from_string(candidate.onnx),
            str(folder),
            mlflow_model=model,
            signature=_signature(candidate.signature),
            input_example=_example(candidate),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _NEEDS],
            onnx_execution_providers=["CPUExecutionProvider"],
            metadata={**asdict(candidate.signature), "digest": candidate.digest},
            save_as_external_data=False,
        )
        model.flavors["python_function"].update(loader_module=FRAME_MODEL, code="code")
        model.save(str(folder / "MLmodel"))
        (folder / "code").mkdir()
        (folder / "code" / f"{FRAME_MODEL}.py").write_bytes(_FRAME_MODEL.read_bytes())
        # MLflow wrote the graph anew, which need not give the same bytes; what is served must be what was judged.
        for name, content in candidate.files.items():
            (folder / name).write_bytes(content)
        yield folder


def log_verdict(mlflow: Connection, registered: ModelVersion, verdict: Verdict) -> None:
    """Write the verdict as metrics of the run, as tags, and whole as a file; the same one again is no change.

    The file comes last: where it is, the rest is too, so that a call that died half-way can be repeated. A run that
    somebody deleted shows no metrics; tags and file are kept all the same.
    """
    # Without its tag no verdict was written yet, so no file is read.
    if _PASSED in registered.tags and _recorded(mlflow, registered) == verdict.to_dict():
        return
    figures = {name: float(figure) for name, figure in verdict.figures.items() if isinstance(figure, int | float)}
    try:
        _log(mlflow, registered.run_id, [figures])
    except RegistryError:
        if mlflow.is_active(registered.run_id):
            raise
    reasons = "; ".join(verdict.reasons)
    shown = reasons if len(reasons) <= _MAX_REASONS else f"{reasons[:_MAX_REASONS]}… ({VERDICT_FILE} has all)"
    tags = {_PASSED: str(verdict.passed).lower(), "reasons": masked(shown)}
    for tag, value in tags.items():
        if registered.tags.get(tag, "") != value:
            mlflow.models.set_model_version_tag(registered.name, str(registered.version), tag, value)
    mlflow.put_record(registered, verdict.to_dict(), VERDICT_FILE)


def _recorded(mlflow: Connection, registered: ModelVersion) -> Any:
    """Return the verdict on record as `to_dict` wrote it, or None."""
    try:
        return json.loads(mlflow.record_text(registered, VERDICT_FILE))
    except (OSError, ValueError):
        return None


@functools.cache
def _onnx_flavour() -> Any:
    """Return `mlflow.onnx`, with `mlflow.pyfunc` that it loads late and that warns about MLflow's own type hints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.onnx
        import mlflow.pyfunc
    return mlflow.onnx


def _example(candidate: Candidate) -> Any:
    """Return the candidate's example as its `pyfunc` takes it: a frame, or the tensor of a sequence model."""
    if candidate.signature.steps is not None:
        return {INPUT: candidate.example.astype(np.float32)}
    import pandas as pd

    return pd.DataFrame(candidate.example.astype(np.float64), columns=list(candidate.signature.features))


def _signature(signature: Signature) -> Any:
    """Return what the model's `pyfunc` takes and gives, by the columns' names; a sequence model takes a tensor.

    A feature is a number of any type: with `double`, MLflow refuses whole numbers.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    columns = [ColSpec(AnyType(), name) for name in signature.features]
    tensor = TensorSpec(np.dtype(np.float32), (-1, *signature.input_shape), INPUT)
    return ModelSignature(
        inputs=Schema(columns if signature.steps is None else [tensor]),
        outputs=Schema([ColSpec(DataType.float, name) for name in signature.answers]),
    )


def _log(
    mlflow: Connection, run_id: str, *series: Sequence[Mapping[str, float]], params: Mapping[str, Any] | None = None
) -> None:
    """Log params and each series of metrics, one mapping a step from 0; what is not a number is left out."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, float(value), now, step)
        for steps in series
        for step, values in enumerate(steps)
        for name, value in values.items()
        if np.isfinite(value)
    ]
    said = masked_values({name: str(value) for name, value in (params or {}).items()})
    mlflow.runs.log_batch(run_id, metrics, [Param(name, value) for name, value in said.items()])


def _dataset(candidate: Candidate) -> Any:
    """Return the rows that the candidate learnt from, as MLflow's input of a run.

    The digest names the content of the rows and the site: MLflow's own would not see the order of rows, and the version
    of a table moves when another program compacts it. Of a candidate that says no content, the version stands for it.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    versions = {name: version for name, version in candidate.provenance.items() if name.startswith("delta")}
    content = {name: digest for name, digest in candidate.provenance.items() if name.startswith(CONTENT_OF)}
    whose = {"line": candidate.line, "site": candidate.site}
    made_from = {**whose, **versions, **content}
    columns = [{"type": "double", "name": name, "required": True} for name in candidate.signature.features]
    rows = {name: count for name, count in candidate.metrics.items() if name.endswith("_rows")}
    dataset = Dataset(
        name=f"{candidate.line}/features",
        digest=fingerprint({**whose, **(content or versions)}, candidate.provenance.get("as_of", "")),
        source_type="delta",
        source=json.dumps(made_from),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(rows),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])

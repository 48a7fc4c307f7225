"""A released model in memory, ready to answer; built only from what the model repository let through."""

from datetime import datetime
from typing import Any

import numpy as np
import onnxruntime

from factory.errors import ModelRefused
from factory.gateway.protocol import DATATYPE, Rows
from factory.repository import Manifest, Released
from factory.repository.triton import INPUT, OUTPUT


class ServedModel:
    """One session of ONNX Runtime on one thread, with the manifest it was released under. Safe in several threads."""

    def __init__(self, released: Released) -> None:
        """Build the session and try the release's example; raises ModelRefused if the file cannot do what it must."""
        self.manifest: Manifest = released.manifest
        self.marker = released.marker
        self.columns = len(released.manifest.features)
        try:
            self._session = _session(released.content)
            _require_signature(self._session, self.columns)
            example = np.array([self.manifest.example], dtype=np.float32)
            probability = self.probability(example)
        except ModelRefused:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common base but this
            raise ModelRefused(f"{self._name}: ONNX Runtime cannot run it: {str(error)[:300]}") from error
        if probability.shape != (1, 1) or not np.isfinite(probability).all():
            raise ModelRefused(
                f"{self._name}: its own example gives {probability.tolist()}; expected one number [1, 1]"
            )

    def probability(self, rows: Rows) -> Rows:
        """Return float32 `[batch, 1]` for float32 `[batch, features]`, NaN where unknown."""
        answer: Rows = self._session.run([OUTPUT], {INPUT: rows})[0]
        return answer

    @property
    def since(self) -> datetime:
        """When it was released."""
        return datetime.fromisoformat(self.manifest.released_at)

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata, and beside it what a person needs for a first request."""
        manifest = self.manifest
        return {
            "name": manifest.model,
            "versions": [str(manifest.version)],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, self.columns]}],
            "outputs": [{"name": OUTPUT, "datatype": DATATYPE, "shape": [-1, 1]}],
            "parameters": {
                "line": manifest.line,
                "site": manifest.site,
                "digest": manifest.digest,
                "released_at": manifest.released_at,
                "threshold": manifest.threshold,
                "features": list(manifest.features),
                "example": list(manifest.example),
            },
        }

    @property
    def _name(self) -> str:
        return f"{self.manifest.model} version {self.manifest.version}"


def _session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _require_signature(session: Any, columns: int) -> None:
    """Raise ModelRefused unless the graph has the one input and the one output of every model of ours."""
    inputs = [(tensor.name, tensor.type, tensor.shape) for tensor in session.get_inputs()]
    outputs = [tensor.name for tensor in session.get_outputs()]
    name, kind, shape = inputs[0] if len(inputs) == 1 else ("", "", [])
    any_batch = bool(shape) and not isinstance(shape[0], int)
    if (name, kind, shape[1:]) != (INPUT, "tensor(float)", [columns]) or not any_batch:
        raise ModelRefused(f"the graph has inputs {inputs}; expected {INPUT!r} of floats, [any, {columns}]")
    if OUTPUT not in outputs:
        raise ModelRefused(f"the graph has outputs {outputs}; expected {OUTPUT!r}")

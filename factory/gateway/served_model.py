"""A released model in memory, ready to answer; built only from what the model repository let through."""

from dataclasses import asdict
from datetime import datetime
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from factory.errors import ModelRefused
from factory.repository import Manifest, Released
from factory.signature import INPUT, Signature

DATATYPE = "FP32"
Rows = NDArray[np.float32]

_TIMED_ROWS, _TIMED_CALLS = 64, 2


class ServedModel:
    """One session of ONNX Runtime on one thread, with the manifest it was released under. Safe in several threads."""

    def __init__(self, released: Released) -> None:
        """Build the session and try the release's example; raises ModelRefused if the file cannot do what it must."""
        self.manifest: Manifest = released.manifest
        self.marker = released.marker
        self.signature: Signature = released.manifest.model_signature
        try:
            self._session = _session(released.content)
            _require_signature(self._session, self.signature)
            example = np.array(self.manifest.example, dtype=np.float32)
            answers = self.answers(example.reshape(1, *self.signature.input_shape))
        except ModelRefused:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common base but this
            raise ModelRefused(f"{self._name}: ONNX Runtime cannot run it: {str(error)[:300]}") from error
        expected = (1, len(self.signature.answers))
        if answers.shape != expected or not np.isfinite(answers).all():
            raise ModelRefused(
                f"{self._name}: its own example gives {answers.tolist()}; expected numbers {list(expected)}"
            )
        self.row_s = self._timed(example)

    def answers(self, rows: Rows) -> Rows:
        """Return float32 `[batch, answers]` for float32 `[batch, *input_shape]`, NaN where unknown."""
        answers: Rows = self._session.run([self.signature.output], {INPUT: rows})[0]
        return answers

    def _timed(self, example: Rows) -> float:
        """Return about how many seconds a row of a batch takes."""
        rows = np.tile(example, (_TIMED_ROWS, 1)).reshape(_TIMED_ROWS, *self.signature.input_shape)
        times = []
        for _ in range(_TIMED_CALLS):
            start = perf_counter()
            self.answers(rows)
            times.append(perf_counter() - start)
        return min(times) / _TIMED_ROWS

    @property
    def since(self) -> datetime:
        """When it was released."""
        return datetime.fromisoformat(self.manifest.released_at)

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata, and beside it what a person needs for a first request."""
        manifest, signature = self.manifest, self.signature
        gives = [-1, len(signature.answers)]
        return {
            "name": manifest.model,
            "versions": [str(manifest.version)],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, *signature.input_shape]}],
            "outputs": [{"name": signature.output, "datatype": DATATYPE, "shape": gives}],
            "parameters": {
                "line": manifest.line,
                "site": manifest.site,
                "digest": manifest.digest,
                "released_at": manifest.released_at,
                "threshold": manifest.threshold,
                **asdict(signature),
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


def _require_signature(session: Any, signature: Signature) -> None:
    """Raise ModelRefused unless the graph has the one input and the one output that the release says."""
    inputs = [(tensor.name, tensor.type, tensor.shape) for tensor in session.get_inputs()]
    outputs = [tensor.name for tensor in session.get_outputs()]
    name, kind, shape = inputs[0] if len(inputs) == 1 else ("", "", [])
    any_batch = bool(shape) and not isinstance(shape[0], int)
    if (name, kind, shape[1:]) != (INPUT, "tensor(float)", [*signature.input_shape]) or not any_batch:
        expected = ", ".join(map(str, signature.input_shape))
        raise ModelRefused(f"the graph has inputs {inputs}; expected {INPUT!r} of floats, [any, {expected}]")
    if signature.output not in outputs:
        raise ModelRefused(f"the graph has outputs {outputs}; expected {signature.output!r}")

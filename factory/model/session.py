"""The one way to run a model's file: the same session answers for gates, smoke test, pages and gateway.

One thread, no arena, a provider that is really the one in use: what is judged is what will be served, without torch.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.errors import ModelRefused
from factory.model.provider import ON_CPU
from factory.model.signature import INPUT, Signature

Rows = NDArray[np.float32]
FLOATS = "tensor(float)"
_WARM_UP_CALLS, _TIMED_CALLS = 50, 500
_PART_ROWS = 256
"""What a network holds of so few rows stays in the processor's cache: twice as fast as thousands at once."""
_CONFIG = {
    # Even of a model given as bytes, ONNX Runtime reads weights outside it, from the working directory, below it
    # or above it. Nothing lies below a device.
    "session.model_external_initializers_file_folder_path": f"{os.devnull}/none",
    # ONNX Runtime's own format is a second door, which no gate has looked at.
    "session.load_model_format": "ONNX",
}


class OnnxSession:
    """A model's file, open. Safe in several threads."""

    def __init__(self, content: bytes, providers: Sequence[str] = ON_CPU) -> None:
        """Open the file's bytes on the first provider; raises ModelRefused where it cannot run there.

        Weights that a file keeps outside itself are not read, whatever path it names.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # An arena for each of a thousand models would hold three times their memory, and is no faster here.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        for name, value in _CONFIG.items():
            options.add_session_config_entry(name, value)
        try:
            # No fallback: where a provider fails in a call, ONNX Runtime would go on upon another one, unseen.
            self._session: Any = onnxruntime.InferenceSession(content, options, list(providers), enable_fallback=0)
        except Exception as error:  # ONNX Runtime's errors have no common base but this
            raise ModelRefused(f"ONNX Runtime cannot run it: {str(error)[:300]}") from error
        self.provider: str = self._session.get_providers()[0]
        if self.provider != providers[0]:
            raise ModelRefused(
                f"it would run on {self.provider}, not on {providers[0]}, whose libraries or device are missing"
            )
        self.output: str = self._session.get_outputs()[0].name

    def require(self, signature: Signature) -> "OnnxSession":
        """Return the session; raises ModelRefused unless the graph has the one input and the one output named."""
        inputs = [(tensor.name, tensor.type, tensor.shape) for tensor in self._session.get_inputs()]
        outputs = [(tensor.name, tensor.type) for tensor in self._session.get_outputs()]
        name, kind, shape = inputs[0] if len(inputs) == 1 else ("", "", [])
        any_batch = bool(shape) and not isinstance(shape[0], int)
        if (name, kind, shape[1:]) != (INPUT, FLOATS, [*signature.input_shape]) or not any_batch:
            expected = ", ".join(map(str, signature.input_shape))
            raise ModelRefused(f"the graph has inputs {inputs}; expected {INPUT!r} of floats, [any, {expected}]")
        if outputs != [(signature.output, FLOATS)]:
            raise ModelRefused(f"the graph has outputs {outputs}; expected {signature.output!r} of floats alone")
        return self

    def call(self) -> Callable[[Rows], Rows]:
        """Return what gives `[rows, answers]` for `[rows, *input_shape]` in one call; it holds the session open."""
        return partial(_run, self._session, [self.output])

    def answer(self, features: Rows) -> Rows:
        """Return the answer to each row, float32 `[rows, answers]`, some rows at a time."""
        rows, call = np.ascontiguousarray(features, np.float32), self.call()
        return np.concatenate([call(part) for part in np.array_split(rows, max(1, len(rows) // _PART_ROWS))])

    def try_example(self, example: Sequence[float | None], signature: Signature) -> Rows:
        """Return the example as a row, `[1, *input_shape]`; raises ModelRefused unless it is answered with numbers."""
        row = np.array(example, dtype=np.float32).reshape(1, *signature.input_shape)
        try:
            answers = self.call()(row)
        except Exception as error:  # as above
            raise ModelRefused(f"ONNX Runtime cannot run it: {str(error)[:300]}") from error
        expected = (1, len(signature.answers))
        if answers.shape != expected or not np.isfinite(answers).all():
            raise ModelRefused(f"its own example gives {answers.tolist()}; expected numbers {list(expected)}")
        return row

    def latency_ms(self, signature: Signature) -> float:
        """Return the 99th percentile of 500 calls with one row, in milliseconds, warmed up.

        It is the thread's own time: another busy process on the machine makes no model slower.
        """
        row = np.random.default_rng(0).normal(size=(1, *signature.input_shape)).astype(np.float32)
        call, seconds = self.call(), []
        for _ in range(_WARM_UP_CALLS + _TIMED_CALLS):
            start = time.thread_time()
            call(row)
            seconds.append(time.thread_time() - start)
        return float(np.percentile(seconds[_WARM_UP_CALLS:], 99) * 1000)


def _run(session: Any, outputs: Sequence[str], rows: Rows) -> Rows:
    answers: Rows = session.run(outputs, {INPUT: rows})[0]
    return answers


def onnx_answer(content: bytes, features: Rows) -> Rows:
    """Return a file's answer to each row, float32 `[rows, answers]`; raises ModelRefused where it cannot run."""
    return OnnxSession(content).answer(features)


class Latencies:
    """How long graphs take, each measured once: weights change the numbers, and not what is computed with them.

    So the models of a line's sites, which are one graph with other weights, are one measurement.
    """

    def __init__(self, providers: Sequence[str] = ON_CPU) -> None:
        self.providers = tuple(providers)
        self._known: dict[str, float] = {}

    def of(self, content: bytes, signature: Signature) -> float:
        """Return the latency of a file's graph in milliseconds; raises ModelRefused where it cannot run."""
        graph = graph_digest(content)
        if graph not in self._known:
            self._known[graph] = OnnxSession(content, self.providers).latency_ms(signature)
        return self._known[graph]


def graph_digest(content: bytes) -> str:
    """Return a digest of a file's graph: nodes, types and shapes, those of its weights too, but no weight's value."""
    import onnx

    model = onnx.load_model_from_string(content)
    for weights in model.graph.initializer:
        shape, kind, name = list(weights.dims), weights.data_type, weights.name
        weights.Clear()
        weights.dims.extend(shape)
        weights.data_type, weights.name = kind, name
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()

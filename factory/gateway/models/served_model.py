"""A released model in memory, ready to answer; built only from what the model repository let through."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from factory.errors import ModelRefused
from factory.model.provider import ON_CPU
from factory.model.signature import INPUT, Signature
from factory.release import Manifest, Released

DATATYPE, FLOATS = "FP32", "tensor(float)"
Rows = NDArray[np.float32]

_TIMED_ROWS, _TIMED_CALLS = 64, 2


class ServedModel:
    """A released model: its manifest always, its session while it is awake. Safe in several threads.

    The session is one of ONNX Runtime on one thread. Asleep, a model costs some kilobytes; waking it checks its file
    anew, as every loading does.
    """

    def __init__(self, released: Released, again: Callable[[], Released], providers: Sequence[str] = ON_CPU) -> None:
        """Take what was let through; `again` reads the same release once more. The model is asleep.

        `providers` are ONNX Runtime's, first the one that it must run on.
        """
        self.manifest: Manifest = released.manifest
        self.marker = released.marker
        self.signature: Signature = released.manifest.model_signature
        self.row_s = 0.0
        """About how many seconds a row of a batch takes; known once it was awake."""
        self._again = again
        self.providers = providers
        self._session: Any = None

    @property
    def awake(self) -> bool:
        """Whether it can answer now."""
        return self._session is not None

    def sleep(self) -> None:
        """Give the session's memory back; a call under way ends with it."""
        self._session = None

    def wake(self, released: Released | None = None) -> None:
        """Build the session, from the file or from what was read of it, and try the release's example.

        Raises ModelRefused if the file cannot do what it must, or is no longer what it was.
        """
        try:
            session = _session((released or self._again()).content, self.providers)
            _require_signature(session, self.signature)
            self._try(session)
        except ModelRefused:
            raise
        except OSError:  # a disk that is away for a moment
            raise
        except Exception as error:  # ONNX Runtime's errors have no common base but this
            raise ModelRefused(f"{self._name}: ONNX Runtime cannot run it: {str(error)[:300]}") from error
        self._session = session

    def _try(self, session: Any) -> None:
        example = np.array(self.manifest.example, dtype=np.float32).reshape(1, *self.signature.input_shape)
        answers = self._run(session, example)
        expected = (1, len(self.signature.answers))
        if answers.shape != expected or not np.isfinite(answers).all():
            raise ModelRefused(
                f"{self._name}: its own example gives {answers.tolist()}; expected numbers {list(expected)}"
            )
        self.row_s = self._timed(session, example)

    def call(self) -> Callable[[Rows], Rows]:
        """Return what gives `[batch, answers]` for `[batch, *input_shape]`, float32, NaN where unknown; awake only.

        It goes on answering when the model is put to sleep meanwhile.
        """
        return partial(self._run, self._session)

    def _run(self, session: Any, rows: Rows) -> Rows:
        answers: Rows = session.run([self.signature.output], {INPUT: rows})[0]
        return answers

    def _timed(self, session: Any, example: Rows) -> float:
        """Return about how many seconds a row of a batch takes."""
        rows = np.repeat(example, _TIMED_ROWS, axis=0)
        times = []
        for _ in range(_TIMED_CALLS):
            start = perf_counter()
            self._run(session, rows)
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
                "provider": self.providers[0],
            },
        }

    @property
    def _name(self) -> str:
        return f"{self.manifest.model} version {self.manifest.version}"


def _session(content: bytes, providers: Sequence[str]) -> Any:
    """Return a session on the first provider; raises ModelRefused where it would run on another one, unseen."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # An arena for each of a thousand models would hold three times their memory, and is no faster here.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(content, options, providers=list(providers))
    if (found := session.get_providers()[0]) != providers[0]:
        raise ModelRefused(f"it would run on {found}, not on {providers[0]}, whose libraries or device are missing")
    return session


def _require_signature(session: Any, signature: Signature) -> None:
    """Raise ModelRefused unless the graph has the one input and the one output that the release says."""
    inputs = [(tensor.name, tensor.type, tensor.shape) for tensor in session.get_inputs()]
    outputs = [(tensor.name, tensor.type) for tensor in session.get_outputs()]
    name, kind, shape = inputs[0] if len(inputs) == 1 else ("", "", [])
    any_batch = bool(shape) and not isinstance(shape[0], int)
    if (name, kind, shape[1:]) != (INPUT, FLOATS, [*signature.input_shape]) or not any_batch:
        expected = ", ".join(map(str, signature.input_shape))
        raise ModelRefused(f"the graph has inputs {inputs}; expected {INPUT!r} of floats, [any, {expected}]")
    if outputs != [(signature.output, FLOATS)]:
        raise ModelRefused(f"the graph has outputs {outputs}; expected {signature.output!r} of floats alone")

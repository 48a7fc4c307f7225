"""A released model in memory, ready to answer; built only from what the model repository let through."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime  # noqa: F401  a gateway loads it as it starts, and not with its first question

from factory.errors import ModelRefused
from factory.model.provider import ON_CPU
from factory.model.session import OnnxSession, Rows
from factory.model.signature import INPUT, Signature
from factory.release import Manifest, Released

DATATYPE = "FP32"

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
        self._session: OnnxSession | None = None

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
        content = (released or self._again()).content
        try:
            session = OnnxSession(content, self.providers).require(self.signature)
            example = session.try_example(self.manifest.example, self.signature)
        except ModelRefused as error:
            raise ModelRefused(f"{self._name}: {error}") from error
        self.row_s = _timed(session.call(), example)
        self._session = session

    def call(self) -> Callable[[Rows], Rows]:
        """Return what gives `[batch, answers]` for `[batch, *input_shape]`, float32, NaN where unknown; awake only.

        It goes on answering when the model is put to sleep meanwhile.
        """
        if self._session is None:
            raise ModelRefused(f"{self._name} is asleep")
        return self._session.call()

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


def _timed(call: Callable[[Rows], Rows], example: Rows) -> float:
    """Return about how many seconds a row of a batch takes."""
    rows = np.repeat(example, _TIMED_ROWS, axis=0)
    times = []
    for _ in range(_TIMED_CALLS):
        start = perf_counter()
        call(rows)
        times.append(perf_counter() - start)
    return min(times) / _TIMED_ROWS

"""Reference answers: some rows and what a model itself answered to them when it was trained.

They are kept beside the file that is served, so that a gate can compare the file with the model, whatever library
trained it, without loading that library or the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.errors import ModelRefused
from factory.model.session import onnx_answer

Rows = NDArray[np.float32]
MAX_ROWS = 1000
"""So many rows tell whether a graph was exported well; they are a small file even of sequences."""
_PARTS = ("rows", "answers")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceAnswers:
    """Rows float32 `[rows, *input_shape]` and the trained model's answers to them, float32 `[rows, answers]`."""

    rows: Rows
    answers: Rows

    def __post_init__(self) -> None:
        """Raise ModelRefused where there are no rows, or not an answer to each."""
        if not len(self.rows) or self.answers.ndim != 2 or len(self.rows) != len(self.answers):
            raise ModelRefused(
                f"reference answers of shape {self.answers.shape} to rows of shape {self.rows.shape}: there must be "
                "one row at least, and an answer to each; train the model anew"
            )

    def to_bytes(self) -> bytes:
        """Return them as one safetensors file."""
        return tensor_bytes({name: getattr(self, name) for name in _PARTS})

    @classmethod
    def from_bytes(cls, content: bytes) -> "ReferenceAnswers":
        """Return those in a safetensors file; raises ModelRefused if it is not one, or holds something else."""
        tensors = tensors_of(content)
        if missing := sorted(set(_PARTS) - set(tensors)):
            raise ModelRefused(
                f"{len(content)} bytes are no reference answers ({missing[0]} missing); train and register anew"
            )
        return cls(**{name: tensors[name] for name in _PARTS})

    def parity_error(self, content: bytes) -> float:
        """Return the greatest difference between the answers of a model's file and these; NaN counts as 1.

        It is absolute up to 1 and relative beyond, so that one limit serves probabilities and amounts alike. Raises
        ModelRefused where the file cannot run, or answers in another shape.
        """
        served = onnx_answer(content, self.rows)
        if served.shape != self.answers.shape:
            raise ModelRefused(f"the file answers in shape {served.shape}, the trained model in {self.answers.shape}")
        difference = np.abs(served - self.answers) / np.maximum(1.0, np.abs(self.answers))
        return float(np.nan_to_num(difference, nan=1.0).max())


def tensor_bytes(tensors: Mapping[str, Rows]) -> bytes:
    """Return arrays by name as one safetensors file, float32; equal ones give equal bytes."""
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(tensor, np.float32) for name, tensor in sorted(tensors.items())}))


def tensors_of(content: bytes) -> dict[str, Rows]:
    """Return the arrays in a safetensors file, by name; raises ModelRefused if it is not one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(content))
    except SafetensorError as error:
        raise ModelRefused(
            f"{len(content)} bytes are no reference answers ({error}); train and register the model anew"
        ) from error

"""A candidate: a site model just trained, with all that says where it came from; not yet trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from factory.errors import ModelRefused
from factory.model.reference_answers import ReferenceAnswers, Rows, tensor_bytes
from factory.model.signature import Signature
from factory.model.verdict import digest_of
from factory.names import model_name

MODEL_FILE = "model.onnx"
REFERENCE_FILE = "reference.safetensors"
WEIGHTS_FILE = "weights.safetensors"
RUNGS_FILE = "rungs.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainRung:
    """A plain rung of all sites: the file that a site may serve, and its model's own answers to the reference rows."""

    onnx: bytes
    reference: Rows


def rung_file(name: str) -> str:
    """Return the name of a plain rung's file beside the base model."""
    return f"{name}.onnx"


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One site's model files and the record of their making."""

    line: str
    site: str
    onnx: bytes
    """The file that will be served, byte for byte."""
    reference: ReferenceAnswers
    """What the trained model itself answers to some rows: the file must answer the same."""
    threshold: float
    """What is decided by, chosen on rows that the model has not learnt from; see Task.best_threshold."""
    digest: str
    """SHA-256 of `onnx`."""
    signature: Signature
    example: npt.NDArray[np.float32]
    """A few rows of input, [rows, *signature.input_shape]; NaN is unknown."""
    ranges: Mapping[str, tuple[float, float]]
    """The lowest and the highest value of each feature in the training rows; a feature never known is absent."""
    typical: Mapping[str, float]
    """The median of each feature in the training rows; a feature never known is absent."""
    params: Mapping[str, str | int | float | bool]
    metrics: Mapping[str, float]
    epochs: Sequence[Mapping[str, float]]
    """Metrics of each epoch, first to last."""
    provenance: Mapping[str, str]
    """Versions of the data, commit of the code, and the as-of date."""
    fine_tuned: bool
    why: str
    """Why it was or was not fine-tuned, in a sentence."""

    safetensors: bytes | None = None
    """The weights alone, to fine-tune from; None of a model that is not a network."""
    rung: str = ""
    """Which rung of the ladder it is."""
    rungs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What every rung that was tried is worth on validation rows and costs, by its name."""
    plain: Mapping[str, PlainRung] = field(default_factory=dict)
    """Of a base model: the plain rungs that were fitted beside it, by their names."""
    began: datetime | None = None
    """When its training began; of models that were trained together, the training of all of them."""
    ended: datetime | None = None

    def __post_init__(self) -> None:
        """Raise ModelRefused where the digest is not that of the file, or the example is not of these features."""
        digest = digest_of(self.onnx)
        if digest != self.digest:
            raise ModelRefused(
                f"{self.name}: the model file's digest is {digest[:12]}, not {self.digest[:12]} as claimed"
            )
        if self.example.shape[1:] != self.signature.input_shape:
            raise ModelRefused(
                f"{self.name}: example has shape {self.example.shape}, the model takes {self.signature.input_shape}"
            )

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """Every file to keep, by its name."""
        weights = {} if self.safetensors is None else {WEIGHTS_FILE: self.safetensors}
        graphs = {rung_file(name): rung.onnx for name, rung in self.plain.items()}
        answers = {RUNGS_FILE: tensor_bytes({name: rung.reference for name, rung in self.plain.items()})}
        return {
            MODEL_FILE: self.onnx,
            REFERENCE_FILE: self.reference.to_bytes(),
            **weights,
            **(graphs | answers if graphs else {}),
        }

    @property
    def name(self) -> str:
        """The registered model's name."""
        return model_name(self.line, self.site)

"""A release's manifest: what is served, why it may be, where it came from; signed as a whole."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from factory.errors import ModelRefused
from factory.model.answers import Decision
from factory.model.check import Check
from factory.model.payoff import Payoff
from factory.model.signature import Signature
from factory.model.verdict import Verdict
from factory.names import model_name
from factory.release.guard import Guard
from factory.release.signing import Signed

_LATER = frozenset({"stakes", "constant", "typical", "checks"})
"""Fields that came after the first releases; left out where empty, so that an older release still verifies."""
_NESTED = (("verdict", Verdict), ("model_signature", Signature), ("guard", Guard), ("stakes", Payoff))


@dataclass(frozen=True, kw_only=True)
class Manifest(Signed):
    """One release of one site's model.

    `version` is the registry's, `sequence` counts the releases of this model, `previous` is the sequence served before
    (None for the first). `digest` is the SHA-256 of `model.onnx`. `model_signature` says what the model takes and gives
    (`signature` is the key's, over the manifest). `example` is one row of input, flat, None where
    unknown. `released_at` is an ISO time in UTC. `guard` holds what training saw of each feature, `stakes` the line's
    money where a decision is right or wrong, `constant` the best constant decision of the rows that the model was made
    of: 0 for doing nothing, otherwise the place, from 1, of the answer that is always acted on.
    """

    line: str
    site: str
    model: str
    version: int
    digest: str
    verdict: Verdict
    model_signature: Signature
    threshold: float
    released_at: str
    provenance: Mapping[str, str]
    example: tuple[float | None, ...]
    sequence: int
    previous: int | None
    guard: Guard
    stakes: Payoff | None = None
    constant: float = 0.0
    signature: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError on a manifest that contradicts itself."""
        if self.model != model_name(self.line, self.site):
            raise ValueError(f"model {self.model!r} is not that of line {self.line!r}, site {self.site!r}")
        if self.version < 1 or self.sequence < 1:
            raise ValueError(f"version {self.version} and sequence {self.sequence} must be 1 or more")
        if self.previous is not None and not 1 <= self.previous < self.sequence:
            raise ValueError(f"previous sequence {self.previous} must come before {self.sequence}")
        if len(self.example) != self.model_signature.input_size:
            raise ValueError(f"{len(self.example)} values of the example; its model takes {self._takes}")
        if unknown := sorted({*self.guard.ranges, *self.guard.typical} - set(self.features)):
            raise ValueError(f"guard of {unknown}, which are no features; there are {list(self.features)}")
        self.model_signature.answer_kind  # noqa: B018  raises on a task whose decisions nobody here could take
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold {self.threshold} is not a finite number")

    @property
    def features(self) -> tuple[str, ...]:
        """The input's columns, in order."""
        return self.model_signature.features

    @property
    def _takes(self) -> str:
        return f"{self.model_signature.input_size} numbers, {list(self.model_signature.input_shape)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self) if field.name not in _LATER},
            "provenance": dict(self.provenance),
            "verdict": self.verdict.to_dict(),
            "model_signature": asdict(self.model_signature),
            "guard": self.guard.to_dict(),
            "example": list(self.example),
            **({"stakes": asdict(self.stakes)} if self.stakes else {}),
            **({"constant": self.constant} if self.constant else {}),
        }

    def to_json(self) -> bytes:
        """Return the file's content; `from_json` is the inverse. Raises ValueError where JSON has no such value."""
        return (json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n").encode("ascii")

    @classmethod
    def from_json(cls, content: bytes, what: str = "manifest") -> "Manifest":
        """Rebuild a manifest; raises ModelRefused on an unknown field, a missing one, or one of another type."""
        try:
            data = msgspec.json.decode(content)
            _require_fields(data, cls, what)
            for name, nested in _NESTED:
                if name not in _LATER or name in data:
                    _require_fields(data[name], nested, f"{what}: {name}")
            for check in _listed(data["verdict"], "checks"):
                _require_fields(check, Check, f"{what}: check")
            return msgspec.convert(data, cls)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise ModelRefused(f"{what} cannot be read: {error}; release the model again") from error

    def decision(self, answer: npt.NDArray[np.float64]) -> Decision:
        """Return what the line does with one row's answer, `[answers]`, at the threshold that its money chose."""
        signature = self.model_signature
        return signature.answer_kind.decision(answer, self.threshold, signature.answers)

    @property
    def named(self) -> str:
        """What it is, in an error."""
        return f"{self.model}: release {self.sequence}"


def known(row: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the row with None for every value that JSON cannot say: NaN and the infinities."""
    return tuple(None if value is None or not math.isfinite(value) else float(value) for value in row)


def _listed(data: Mapping[str, Any], name: str) -> list[Any]:
    """Return the list under this name, empty without one; `msgspec.convert` refuses any other type."""
    value = data.get(name)
    return value if isinstance(value, list) else []


def _require_fields(data: object, expected: type[Any], what: str) -> None:
    names = {field.name for field in fields(expected)}
    if not isinstance(data, dict):
        raise ModelRefused(f"{what} is not a JSON object")
    if unknown := sorted(set(data) - names):
        raise ModelRefused(f"{what} has unknown fields {unknown}: another version wrote it; release the model again")
    if missing := sorted(names - _LATER - set(data)):
        raise ModelRefused(f"{what} lacks the fields {missing}; release the model again")

"""A verdict: a gate's answer as data, bound to one model file by its SHA-256."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from factory.errors import ReleaseRefused

Figure = float | int | bool | str | None


def digest_of(model: bytes) -> str:
    """Return the SHA-256 of a model file as 64 hexadecimal digits."""
    return hashlib.sha256(model).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether one site may serve one model file, with every reason against it and every figure looked at."""

    line: str
    site: str
    digest: str
    passed: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, Figure]

    def __post_init__(self) -> None:
        """A verdict with reasons against the model cannot have passed, nor fail without one."""
        if self.passed == bool(self.reasons):
            raise ValueError(f"verdict of {self.line}.{self.site}: passed={self.passed} with reasons {self.reasons}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is the inverse."""
        return {**asdict(self), "reasons": list(self.reasons), "figures": dict(self.figures)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Verdict":
        """Rebuild a verdict from `to_dict`'s answer; raises KeyError or ValueError on anything else."""
        fields = ("line", "site", "digest", "passed", "figures")
        return cls(**{name: data[name] for name in fields}, reasons=tuple(data["reasons"]))


def require_permission(verdict: Verdict | None, *, line: str, site: str, digest: str) -> None:
    """Raise ReleaseRefused unless the verdict passed this very model file for this very site.

    The one rule of invariant 2: the promoting function, the releasing function and the loading function all call it.
    """
    who = f"{line}.{site}: model {digest[:12]}"
    if verdict is None:
        raise ReleaseRefused(f"{who} has no verdict; run the line's verdict for this site first")
    if (verdict.line, verdict.site) != (line, site):
        raise ReleaseRefused(f"{who}: the verdict shown is for {verdict.line}.{verdict.site}")
    if verdict.digest != digest:
        raise ReleaseRefused(f"{who}: the verdict shown is for another file, {verdict.digest[:12]}; judge this one")
    if not verdict.passed:
        raise ReleaseRefused(f"{who} did not pass its gates: {'; '.join(verdict.reasons)}")

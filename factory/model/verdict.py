"""A verdict: the gates' answer as data, bound to one model file by its SHA-256."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from factory.errors import ReleaseRefused
from factory.model.check import Check, Figure, reasons

_ALWAYS = ("line", "site", "digest", "passed", "reasons", "figures")


def digest_of(model: bytes) -> str:
    """Return the SHA-256 of a model file as 64 hexadecimal digits."""
    return hashlib.sha256(model).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether one site may serve one model file, with every check made, every reason against it, every figure.

    A verdict is made by `of_checks`; `passed` and `reasons` are kept beside the checks for those who read its JSON.
    """

    line: str
    site: str
    digest: str
    passed: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, Figure]
    checks: tuple[Check, ...] = ()
    """None in a verdict from before checks were kept: of those only the reasons are known."""

    def __post_init__(self) -> None:
        """Raise ValueError on a verdict that contradicts itself or its checks."""
        who = f"verdict of {self.line}.{self.site}"
        if self.passed == bool(self.reasons):
            raise ValueError(f"{who}: passed={self.passed} with reasons {self.reasons}")
        if self.checks and self.reasons != reasons(self.checks):
            raise ValueError(f"{who}: its reasons are {self.reasons}, those of its checks {reasons(self.checks)}")

    @classmethod
    def of_checks(
        cls, checks: Sequence[Check], figures: Mapping[str, Figure], *, line: str, site: str, digest: str
    ) -> "Verdict":
        """Return the verdict that follows from the checks; raises ValueError where there are no checks.

        The figure `would_refuse` has the reasons of the checks in a dry run.
        """
        if not checks:
            raise ValueError(f"verdict of {line}.{site}: no gate was asked, so nothing can have passed")
        against, dry = reasons(checks), "; ".join(reasons(checks, "dry_run")) or None
        return cls(
            line=line,
            site=site,
            digest=digest,
            passed=not against,
            reasons=against,
            figures={**figures, "would_refuse": dry},
            checks=tuple(checks),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is the inverse.

        A verdict without checks has no key `checks`, so that an older verdict still has the bytes that were signed.
        """
        plain = {name: getattr(self, name) for name in _ALWAYS}
        checks = {"checks": [asdict(check) for check in self.checks]} if self.checks else {}
        return {**plain, "reasons": list(self.reasons), "figures": dict(self.figures), **checks}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Verdict":
        """Rebuild a verdict from `to_dict`'s answer; raises KeyError or ValueError on anything else."""
        checks = tuple(Check.from_dict(check) for check in data.get("checks", ()))
        return cls(**{name: data[name] for name in _ALWAYS} | {"reasons": tuple(data["reasons"]), "checks": checks})


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

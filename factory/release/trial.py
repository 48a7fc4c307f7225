"""A trial: a release that lies beside what a site serves and takes a share of its requests, or copies of them.

It is one small file, signed with the release key. It names the release it runs beside, and is over when another one is
served: the rename that switches a site to another release ends its trial too.
"""

import json
import math
from dataclasses import dataclass, fields
from typing import Literal

import msgspec

from factory.errors import ModelRefused
from factory.release.signing import Signed

Mode = Literal["shadow", "canary"]
MAX_TRIAL_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a trial is run, and who wants it.

    A canary answers a `share` of the requests; a shadow is asked copies of a share of them, and answers nobody.
    """

    mode: Mode
    share: float
    by: str
    reason: str

    def __post_init__(self) -> None:
        """Raise ValueError on a share that is not above 0 and at most 1."""
        if not (math.isfinite(self.share) and 0.0 < self.share <= 1.0):
            raise ValueError(f"share {self.share} of a {self.mode} is not above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class Trial(Terms, Signed):
    """Release `release` of `model`, file `digest`, is on trial beside release `beside` since an ISO time in UTC."""

    model: str
    release: int
    version: int
    digest: str
    beside: int
    since: str
    signature: str = ""

    @property
    def terms(self) -> Terms:
        """How it is run, without which release it is of."""
        return Terms(mode=self.mode, share=self.share, by=self.by, reason=self.reason)

    @property
    def description(self) -> str:
        """Which release runs beside which, in words for people."""
        what = f"release {self.release}, version {self.version}"
        return f"{what}, is a {self.mode} of {self.share:.4g} of requests beside release {self.beside}"

    def to_json(self) -> bytes:
        """Return the file's content; `from_json` is the inverse."""
        return (json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n").encode("ascii")

    @classmethod
    def from_json(cls, content: bytes, what: str = "trial") -> "Trial":
        """Rebuild a trial; raises ModelRefused on anything that `to_json` never wrote."""
        try:
            data = msgspec.json.decode(content)
            if not isinstance(data, dict) or set(data) != {field.name for field in fields(cls)}:
                raise ModelRefused(f"{what} is no trial: {content[:60]!r}; end it and start it again")
            return msgspec.convert(data, cls)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise ModelRefused(f"{what} cannot be read: {error}; end it and start it again") from error

    @property
    def named(self) -> str:
        """What it is, in an error."""
        return f"{self.model}: trial of release {self.release}"

"""What the stages need from outside: the registry, the releases, the engine, people.

The rooms above implement these, the composition root binds them, and tests pass fakes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.compute.engine import Engine
from factory.data.contract.result import ContractResult
from factory.model.candidate import Candidate
from factory.model.verdict import Verdict
from factory.release.protocols import ReleaseRepository


class Compute(Protocol):
    """Where frames and tensors run."""

    @property
    def resolved(self) -> Engine:
        """The engine in use."""
        ...

    @property
    def device(self) -> str:
        """The PyTorch device in use."""
        ...

    def reading(self, scan: pl.LazyFrame) -> pl.LazyFrame:
        """Return a scan of the lake as the engine can take it."""
        ...

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        """Run a lazy plan once; on a GPU, fail rather than fall back to the CPU unseen."""
        ...


class Registered(Protocol):
    """Where a candidate is in the registry."""

    @property
    def version(self) -> int:
        """The registered version."""
        ...

    @property
    def url(self) -> str:
        """Where a person opens its run."""
        ...


class Registry(Protocol):
    """Keeps every candidate, its verdict, and who was promoted; `promote` alone makes a champion."""

    def remember(self, model: str, version: int) -> None:
        """Give no version of the model this number, or one below it, whatever the registry itself knows of it."""
        ...

    def register(self, candidate: Candidate) -> Registered:
        """Keep the candidate, under a number that none had; the same digest again returns the version it has."""
        ...

    def lost(self, model: str, version: int, digest: str) -> str | None:
        """Return what happened to a version that is not there any more as it was registered; None where it is."""
        ...

    def record_verdict(self, model: str, version: int, verdict: Verdict) -> None:
        """Keep the verdict beside the version; one that passed makes it challenger. Raises ReleaseRefused."""
        ...

    def promote(
        self, model: str, version: int, verdict: Verdict | None, *, by: str, approval_required: bool = False
    ) -> None:
        """Make the version champion by a passing verdict on its very file; raises ReleaseRefused."""
        ...

    def onnx(self, model: str, version: int) -> bytes:
        """Return the version's ONNX file; raises ModelRefused unless it is the one that was registered."""
        ...

    def file(self, model: str, version: int, file: str) -> bytes:
        """Return a file beside the ONNX file; raises ModelRefused unless it is the one that was registered."""
        ...


class ReleaseStore(Protocol):
    """The releases that sites serve, and the key that signs them."""

    @property
    def root(self) -> Path:
        """The folder beside whose releases the online snapshots lie."""
        ...

    def repository(self) -> ReleaseRepository:
        """Return the repository of releases."""
        ...

    def key(self) -> Ed25519PrivateKey:
        """Return the release key."""
        ...

    def removed_sites(self, line: str) -> Mapping[str, str]:
        """Return the sites that somebody removed from a line, each with how it comes back."""
        ...


class ContractDocs(Protocol):
    """Where people read what contracts found."""

    def publish(self, line: str, table: str, results: Mapping[str, ContractResult]) -> Path:
        """Put each site's result in the place of its earlier one; return the page to open."""
        ...


class Alerts(Protocol):
    """Where a person is told that something happened."""

    def tell(self, kind: str, text: str, *, picture: str | bytes | None = None, **facts: Any) -> bool:
        """Tell people; return whether every receiver took it."""
        ...

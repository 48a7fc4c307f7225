"""Where frames and tensors run."""

from typing import Literal

import dagster as dg
import polars as pl
from pydantic import Field

from factory.compute.engine import Engine, FrameEngine, probed_engine


class Compute(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """One switch for the engine of frames and the device of tensors; the code that uses it never knows which it is."""

    engine: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="auto probes the device once")

    @property
    def resolved(self) -> Engine:
        """The engine in use."""
        return probed_engine() if self.engine == "auto" else self.engine

    @property
    def device(self) -> str:
        """The PyTorch device in use."""
        return "cuda" if self.resolved == "gpu" else "cpu"

    def reading(self, scan: pl.LazyFrame) -> pl.LazyFrame:
        """Return a scan of the lake as the engine can take it: the GPU engine knows frames and Parquet, not Delta."""
        return scan if self.resolved == "cpu" else scan.collect(engine="streaming").lazy()

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        """Run a lazy plan once. On `gpu`, fail rather than fall back to the CPU unseen."""
        return FrameEngine(self.resolved).collect(plan)

"""What runs frames and tensors: `cpu` or `gpu`, decided by probing the device and never by an import."""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import polars as pl

Engine = Literal["cpu", "gpu"]
DRIVER = Path("/dev/nvidiactl")
"""Exists where a driver is loaded, also in a container that was given a device; not on Linux under Windows."""
CUDA_DRIVER_TOO_OLD = 35


class Collector(Protocol):
    """Runs a lazy plan; the code that wrote the plan never knows on which engine."""

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        """Run the plan once and return its table."""
        ...


@functools.cache
def probed_engine() -> Engine:
    """Return `gpu` if a CUDA device answers and the GPU frame engine is installed, else `cpu`."""
    return "cpu" if gpu_fault() else "gpu"


@functools.cache
def gpu_fault() -> str:
    """Return why this machine cannot use the engine `gpu`, in a clause for a person; empty if it can.

    Importing RAPIDS succeeds without a driver, so the device itself is asked.
    """
    no_driver = "" if DRIVER.exists() else "no NVIDIA driver is loaded"
    if importlib.util.find_spec("cudf_polars") is None:
        return " and ".join(filter(None, [no_driver, "the extra gpu-cu12 or gpu-cu13 is not installed"]))
    try:
        import cudf_polars  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        from cuda.bindings import runtime  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        return f"the extra for the GPU cannot be imported: {error}"
    status, devices = runtime.cudaGetDeviceCount()
    if int(status) == CUDA_DRIVER_TOO_OLD and not no_driver:
        return f"the driver knows CUDA {_dotted(runtime.cudaDriverGetVersion()[1])} and the extra wants a later one"
    if int(status) != 0:
        return no_driver or f"the device does not answer: CUDA error {int(status)}"
    return "" if devices > 0 else "the driver has no device"


def _dotted(version: int) -> str:
    """Return 12.4 of 12040."""
    return f"{version // 1000}.{version % 1000 // 10}"


class FrameEngine:
    """Collects plans on one engine. A plan that the GPU cannot run fails; it never falls back to the CPU silently."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        """Run the plan once and return its table."""
        if self.engine == "gpu":
            return plan.collect(engine=pl.GPUEngine(raise_on_fail=True))
        return plan.collect(engine="streaming")


@dataclass(frozen=True, kw_only=True)
class Compute:
    """One switch for the engine of frames and the device of tensors; the code that uses it does not depend on it."""

    engine: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto` probes the device once."""

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
        """Run a lazy plan once. On `gpu`, fail rather than fall back to the CPU silently."""
        return FrameEngine(self.resolved).collect(plan)

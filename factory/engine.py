"""What runs frames and tensors: `cpu` or `gpu`, decided by probing the device and never by an import."""

import functools
from typing import Literal, Protocol

import polars as pl

Engine = Literal["cpu", "gpu"]


class Collector(Protocol):
    """Runs a lazy plan; the code that wrote the plan never knows on which engine."""

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        """Run the plan once and return its table."""
        ...


@functools.cache
def probed_engine() -> Engine:
    """Return `gpu` if a CUDA device answers and the GPU frame engine is installed, else `cpu`.

    Importing RAPIDS succeeds without a driver, so the device itself is asked.
    """
    try:
        import cudf_polars  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        from cuda.bindings import runtime  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return "cpu"
    status, devices = runtime.cudaGetDeviceCount()
    return "gpu" if int(status) == 0 and devices > 0 else "cpu"


class FrameEngine:
    """Collects plans on one engine. On `gpu` a plan that cannot run there fails instead of falling back unseen."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def collect(self, plan: pl.LazyFrame) -> pl.DataFrame:
        """Run the plan once and return its table."""
        if self.engine == "gpu":
            return plan.collect(engine=pl.GPUEngine(raise_on_fail=True))
        return plan.collect(engine="streaming")

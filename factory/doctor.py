"""What the machine has and lacks for running lines."""

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from factory.engine import probed_engine

PACKAGES = ("dagster", "mlflow", "polars", "deltalake", "torch", "onnxruntime", "great-expectations", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: what it is, what was found, and whether that will do."""

    thing: str
    found: str
    fine: bool


def findings(home: Path) -> list[Finding]:
    """Return what was found about Python, processors, disk, engine and packages."""
    folder = next(place for place in (home, *home.parents) if place.exists())
    free_gb = shutil.disk_usage(folder).free / 1e9
    return [
        Finding(thing="python", found=platform.python_version(), fine=platform.python_version_tuple()[:2] in _PYTHONS),
        Finding(thing="processors", found=str(os.cpu_count()), fine=True),
        Finding(thing=f"disk free at {folder}", found=f"{free_gb:.0f} GB (wants 2)", fine=free_gb > 2),
        Finding(thing="home writable", found=str(home), fine=os.access(folder, os.W_OK)),
        Finding(thing="engine", found=f"{probed_engine()} (gpu needs a CUDA device and an extra)", fine=True),
        *(_package(name) for name in PACKAGES),
    ]


_PYTHONS = {("3", "11"), ("3", "12")}


def _package(name: str) -> Finding:
    try:
        return Finding(thing=name, found=importlib.metadata.version(name), fine=True)
    except importlib.metadata.PackageNotFoundError:
        return Finding(thing=name, found="not installed: run `make setup`", fine=False)

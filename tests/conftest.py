"""What holds for all tests."""

import os

# As in definitions.py, before torch is loaded: threads that wait must not spin on a machine that does other things too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says something of the machine, and nothing of us. CI tries the same examples every time,
# for what it says of a change must not hang on chance; elsewhere every run tries others.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

LONGEST = ("orchestration", "pipeline", "scaffold", "lines", "cli", "data", "registry")
"""The rooms whose files take longest: begun first, they leave small files for the end, when a worker may be idle."""


def pytest_collection_modifyitems(items):
    """Put the tests of the rooms that take longest first; within a room the order stays."""
    place = {room: number for number, room in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.relative_to(ROOT / "tests").parts[0], len(place)))


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A new environment with the library from its wheel; what the library needs is borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = folder.glob("ai_factory-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", str(wheel)], check=True, timeout=300)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


@pytest.fixture(scope="session")
def first_runs(tmp_path_factory):
    """The toy line's homes after a first run, to be copied."""
    from tests.toy.first_runs import FirstRuns

    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder
    return FirstRuns(folder=shared / "first_runs")

"""What the machine has and lacks for running lines; nothing is left behind, and nothing mended unless that is asked."""

import fcntl
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from factory.cli.home_parts import UNREADABLE, unfit
from factory.compute.engine import gpu_fault
from factory.errors import CannotListen, FactoryError
from factory.gateway.processes.ports import held_port
from factory.registry.relocation import misplaced, relocate
from factory.storage.faults import ROOM_BYTES
from factory.storage.home import Home
from factory.storage.project import found_root

DISTRIBUTION, IMPORT_NAME = "ai-factory", "factory"
PYTHONS = ("3.11", "3.12")
PORTS = {3000: "factory ui", 5000: "factory registry", 8080: "factory serve"}
WANTS_CORES, WANTS_MEMORY_GB, WANTS_DISK_GB = 2, 2, ROOM_BYTES / 1e9
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: what it is, what was found, whether that will do, and whether anything depends on it."""

    thing: str
    found: str
    fine: bool = True
    needed: bool = True


def findings(home: Home, *, mend: bool = False) -> list[Finding]:
    """Return what was found about machine, home, engine, packages, ports, lines and their data; takes seconds.

    With `mend`, what in the home names an old place of it is put right first, and told.
    """
    return [
        *_machine(),
        *_home(home.root),
        *_registry(home, mend=mend),
        *_parts(home),
        *_engine(),
        *_import_name(),
        *_packages(),
        *_ports(),
        *_lines(home),
    ]


def lacks(findings: Sequence[Finding]) -> bool:
    """Whether something is lacking that is needed."""
    return any(finding.needed and not finding.fine for finding in findings)


def _machine() -> Iterator[Finding]:
    python = platform.python_version()
    yield Finding(thing="python", found=f"{python} (wants {' or '.join(PYTHONS)})", fine=python.startswith(PYTHONS))
    cores = len(os.sched_getaffinity(0))
    yield Finding(thing="cores", found=f"{cores} (wants {WANTS_CORES})", fine=cores >= WANTS_CORES, needed=False)
    memory_gb = _memory_bytes() / 1e9
    yield Finding(
        thing="memory", found=f"{memory_gb:.1f} GB (wants {WANTS_MEMORY_GB})", fine=memory_gb >= WANTS_MEMORY_GB
    )


def _memory_bytes() -> int:
    """Return what this process may use: the machine's, or its container's limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = MEMORY_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdigit() else machine


def _home(home: Path) -> Iterator[Finding]:
    folder = next(place for place in (home, *home.parents) if place.is_dir())
    free_gb = shutil.disk_usage(folder).free / 1e9
    yield Finding(
        thing=f"disk free at {folder}",
        found=f"{free_gb:.0f} GB (wants {WANTS_DISK_GB:.0f})",
        fine=free_gb > WANTS_DISK_GB,
    )
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as scratch:
            yield Finding(thing="home writable", found=str(home))
            yield _tried("SQLite with a write-ahead log in home", _try_sqlite, Path(scratch))
            yield _tried("file locks in home", _try_lock, Path(scratch))
    except OSError as error:
        yield Finding(thing="home writable", found=f"{home}: {error}; choose another with --home", fine=False)


def _registry(home: Home, *, mend: bool) -> Iterator[Finding]:
    """Look whether MLflow's database names the models' files where this home is."""
    database, thing = home.registry_database, "registry's files"
    if not database.is_file():
        return
    try:
        mended = relocate(database, home.artifacts) if mend else []
        elsewhere = [experiment for experiment in misplaced(database, home.artifacts) if not experiment.is_default]
    except (OSError, sqlite3.Error) as error:
        yield Finding(
            thing=thing, found=f"{database} cannot be put right: {error}; look at its permissions", fine=False
        )
        return
    if mended:
        yield Finding(thing=thing, found=f"mended: the database named those of {_listed(mended)}")
    elif elsewhere:
        found = f"{_listed(elsewhere)}: the home was moved; `factory doctor --mend` puts it right, and so does a run"
        yield Finding(thing=thing, found=found, fine=False, needed=False)
    else:
        yield Finding(thing=thing, found=f"in {home.artifacts}, or where somebody wanted them")


def _parts(home: Home) -> Iterator[Finding]:
    """Look whether lake, registry, releases and histories are of one time, and none is back from an older backup."""
    try:
        for line, gaps in unfit(home).items():
            found = "; ".join(gaps) or "fit together"
            yield Finding(thing=f"parts of {line}", found=found, fine=not gaps, needed=False)
    except UNREADABLE as error:
        yield Finding(thing="parts of the home", found=f"cannot be read: {error}", fine=False, needed=False)


def _listed(things: Sequence[object]) -> str:
    return ", ".join(map(str, things))


def _tried(thing: str, attempt: Callable[[Path], None], scratch: Path) -> Finding:
    try:
        attempt(scratch)
    except (OSError, sqlite3.Error) as error:
        return Finding(thing=thing, found=f"{error}; use a home on a local disk", fine=False)
    return Finding(thing=thing, found="works")


def _try_sqlite(scratch: Path) -> None:
    """Write through one connection and read through another, as the orchestrator's processes do."""
    place = scratch / "probe.db"
    with closing(sqlite3.connect(place)) as writer, closing(sqlite3.connect(place)) as reader:
        mode = writer.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise OSError(f"SQLite keeps a {mode} journal there and no write-ahead log")
        with writer:
            writer.execute("CREATE TABLE probe AS SELECT 1 AS one")
        if reader.execute("SELECT one FROM probe").fetchone() != (1,):
            raise OSError("one SQLite connection does not see what another wrote")


def _try_lock(scratch: Path) -> None:
    place = scratch / "probe.lock"
    with place.open("w") as first, place.open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise OSError("two hold the same file lock at once")


def _engine() -> Iterator[Finding]:
    fault = gpu_fault()
    yield Finding(thing="engine", found=f"cpu; not gpu, for {fault}" if fault else "gpu")
    yield Finding(thing="torch build", found=_torch_build())


def _torch_build() -> str:
    """Return what torch was built for, from the file that its build writes; importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return "torch is not installed"
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    cuda = re.search(r"^cuda\b.*= *'([\d.]+)'", text, re.MULTILINE)
    return f"CUDA {cuda[1]}" if cuda else "cpu"


def _packages() -> Iterator[Finding]:
    """Compare each package that this library requires on this machine with the one installed."""
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(thing=DISTRIBUTION, found="not installed: run `make setup`", fine=False)
        return
    for requirement in map(Requirement, required):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _import_name() -> Iterator[Finding]:
    """Look whether another package has the same import name, as factory_boy has: one of the two is then broken."""
    owners = sorted({*importlib.metadata.packages_distributions().get(IMPORT_NAME, ())} - {DISTRIBUTION})
    if owners:
        found = (
            f"`import {IMPORT_NAME}` belongs to {', '.join(owners)} too, and each overwrites files of the other: "
            f"install {DISTRIBUTION} in an environment without it"
        )
        yield Finding(thing="import name", found=found, fine=False)


def _package(requirement: Requirement) -> Finding:
    wants = f"wants {requirement.specifier}" if requirement.specifier else "any"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(thing=requirement.name, found=f"not installed ({wants}): run `make setup`", fine=False)
    fits = requirement.specifier.contains(version, prereleases=True)
    return Finding(thing=requirement.name, found=f"{version} ({wants})", fine=fits)


def _ports() -> Iterator[Finding]:
    for port, command in PORTS.items():
        try:
            with held_port("127.0.0.1", port):
                yield Finding(thing=f"port {port}", found=f"free, for `{command}`")
        except CannotListen as error:
            found = f"{error}: `{command} --port PORT`"
            yield Finding(thing=f"port {port}", found=found, fine=False, needed=False)


def _lines(home: Home) -> Iterator[Finding]:
    """Load the project's lines, which takes seconds, and ask each what its source lacks."""
    if found_root() is None:
        found = "none at the working folder or above it; `factory new project NAME` makes one"
        yield Finding(thing="project", found=found, fine=False, needed=False)
        return
    from factory.cli.lines import lacking

    try:
        for line, faults in lacking(home):
            if isinstance(faults, FactoryError):
                yield Finding(thing=f"line {line}", found=f"cannot be loaded: {faults}", fine=False)
                continue
            yield Finding(thing=f"line {line}", found="loads")
            # One line's data is for those who run that line.
            found = "; ".join(faults) or "present"
            yield Finding(thing=f"data of {line}", found=found, fine=not faults, needed=False)
    except FactoryError as error:
        yield Finding(thing="lines", found=str(error), fine=False)
    except ImportError as error:  # a package that is missing is told of above, and is why nothing loads
        yield Finding(thing="lines", found=f"cannot be loaded: {error}", fine=False)

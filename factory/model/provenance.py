"""Where a model came from: the commit of the code that made it and the versions of the data it saw."""

import importlib.metadata
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from factory.storage.journal import fingerprint
from factory.storage.lake import Lake

LIBRARY = Path(__file__).resolve().parents[1]
DRAWING = ("pictures.py", "curves.py", "holdout.py")
"""The files of a task's that its pages are drawn by: no model depends on them."""


def provenance(lake: Lake, until: datetime, tables: Iterable[str]) -> dict[str, str]:
    """Return what a model made now came from: the as-of date, each table's version, the code's commit and version."""
    return {
        "as_of": f"{until:%Y-%m-%d}",
        "git_commit": git_commit(Path(__file__).parent),
        "library_version": library_version(),
        **{f"delta_version.{table}": str(lake.version(table)) for table in tables},
    }


def git_commit(folder: Path) -> str:
    """Return the checked-out commit, with `-dirty` when files differ from it, or `unknown` outside a repository."""
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return "unknown"
    return f"{head}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else head


def library_version() -> str:
    """Return the installed version of this library."""
    return importlib.metadata.version("ai-factory")


def room_sources(*rooms: str) -> list[Path]:
    """Return the files of some of the library's rooms, such as `features` or `data/contract`, but not what only draws.

    Raises ValueError where there is no such room: a misspelt one would never change.
    """
    if missing := [room for room in rooms if not (LIBRARY / room).is_dir()]:
        raise ValueError(f"the library has no room {missing[0]!r}")
    found = [path for room in rooms for path in (LIBRARY / room).rglob("*.py")]
    return [path for path in found if path.name not in DRAWING]


def drawing_sources() -> list[Path]:
    """Return the library's files that decide how a page looks, and nothing else."""
    pages = [path for room in ("reports", "charts") for path in (LIBRARY / room).rglob("*")]
    drawn = [path for path in (LIBRARY / "tasks").rglob("*.py") if path.name in DRAWING]
    return [path for path in [*pages, *drawn] if path.suffix in (".py", ".html", ".css")]


def code_digest(files: Iterable[Path]) -> str:
    """Return a fingerprint of source files' contents, in the order of their names."""
    return fingerprint([[path.parent.name, path.name, path.read_text(encoding="utf-8")] for path in sorted(files)])


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words],  # noqa: S607  the user's own git, found as the user's shell would
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

"""Where a model came from: the commit of the code that made it and the versions of the data it saw."""

import importlib.metadata
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from factory.journal import fingerprint
from factory.lake import Lake

PICTURES = ("pictures.py", "holdout.py")
"""What a task's report is drawn from and by: the files of a task that no model depends on."""


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


def deciding_sources() -> list[Path]:
    """Return the library's files that decide what a stage makes of its inputs; screens, servers and reports do not."""
    here = Path(__file__).parent
    deciding = (
        "ingest",
        "cleaning",
        "windows",
        "splitting",
        "sampling",
        "candidates",
        "judging",
        "scoring",
        "gates",
        "evidence",
        "resampling",
        "stakes",
    )
    rooms = [path for room in ("contract", "training", "tasks") for path in (here / room).rglob("*.py")]
    return [*(path for path in rooms if path.name not in PICTURES), *(here / f"{name}.py" for name in deciding)]


def picturing_sources() -> list[Path]:
    """Return the library's files that decide how a report looks, and nothing else."""
    here = Path(__file__).parent
    report = [path for path in (here / "report").rglob("*") if path.suffix in (".py", ".html", ".css")]
    return [*report, *(path for name in PICTURES for path in (here / "tasks").rglob(name))]


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

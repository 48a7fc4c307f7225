"""Where a model came from: the commit of the code that made it and the versions of the data it saw."""

import importlib.metadata
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from factory.storage.lake import Lake

CONTENT_OF = "content."
"""What is made of a table's rows alone has this before the table's name: it stays when another program moves them."""


def provenance(lake: Lake, until: datetime, tables: Iterable[str], project: Path) -> dict[str, str]:
    """Return what a model made now came from: as-of date, each table's version, the project's commit, the library."""
    return {
        "as_of": f"{until:%Y-%m-%d}",
        "git_commit": git_commit(project),
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

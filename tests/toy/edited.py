"""The toy line in a project of its own, whose files a test edits; each run is a process, as a module stays imported."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.toy.line import FILE, NAME, ToyFactory

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = """
import functools
import os
from pathlib import Path

from factory.orchestration.project_definitions import project_definitions
from tests.toy.line import ToyFactory


@functools.cache
def defs():
    return project_definitions(Path(__file__).parent, ToyFactory(Path(os.environ["FACTORY_HOME"])).bound())
"""
FEATURES = '''"""What is known when a part leaves the press."""

import polars as pl

from lines.press_faults.scales import in_kn


def build(tables):
    crews = tables["shifts"].select("day", "crew")
    force = in_kn(pl.col("force_kn"))
    return (
        tables["parts"]
        .join(crews, on="day", how="left")
        .select(
            "site",
            "part",
            pl.col("pressed_at").alias("decided_at"),
            pl.col("faulty").cast(pl.Float32).alias("label"),
            force.cast(pl.Float32).alias("force_kn"),
            *(pl.col(name).cast(pl.Float32) for name in ("heat_c", "crew")),
        )
    )
'''
SCALES = '''"""Units."""

KN = 1.0


def in_kn(force):
    """Return a force in kN."""
    return force * KN
'''
RUN = """
import json, sys
from pathlib import Path

from factory.cli.lines import opened_lines
from factory.pipeline.events import LineRequest
from factory.storage.home import Home

with opened_lines(Home.at(Path(sys.argv[1]))) as lines:
    outcome = lines.run(LineRequest(line=sys.argv[2]), lambda event: None)
json.dump({"changed": outcome.changed, "failed": outcome.failed}, sys.stdout)
"""


class EditedProject:
    """A project around a copy of the toy line, and its home."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home
        self.line = root / "lines" / NAME

    @classmethod
    def new(cls, folder: Path) -> "EditedProject":
        """Write the project; nothing has run."""
        project = cls(folder / "project", ToyFactory(folder / "home").home)
        shutil.copytree(FILE.parent, project.line, ignore=shutil.ignore_patterns("__pycache__"))
        (project.root / "lines" / "__init__.py").touch()
        shutil.copy(ROOT / "pyproject.toml", project.root)
        (project.root / "definitions.py").write_text(DEFINITIONS)
        (project.line / "features.py").write_text(FEATURES)
        (project.line / "scales.py").write_text(SCALES)
        project.edit("defs.yaml", "tests.toy.press_faults.presses:build", f"lines.{NAME}.features:build")
        project.edit("defs.yaml", "tests.toy.press_faults", f"lines.{NAME}")
        return project

    def copied(self, folder: Path) -> "EditedProject":
        """Return a copy of the project and of its home, which costs less than another first run."""
        shutil.copytree(self.root, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(self.home, folder / "home", symlinks=True)
        return EditedProject(folder / "project", folder / "home")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace words in a file of the line; they must be there."""
        place = self.line / file
        text = place.read_text()
        assert old in text, f"{file} has no {old!r}"
        place.write_text(text.replace(old, new))

    def run(self) -> dict[str, Any]:
        """Run the line in a new process; return how many sites each asset changed at, and what failed."""
        told = {**os.environ, "FACTORY_HOME": str(self.home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        words = [sys.executable, "-c", RUN, str(self.home), NAME]
        done = subprocess.run(words, cwd=self.root, env=told, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

"""A project around the toy line, as `factory run` finds one: a folder with `lines/` and a `definitions.py`."""

from pathlib import Path

DEFINITIONS = """
import os
from pathlib import Path

from factory.line.gates import Comparison
from tests.toy.line import ToyFactory

home = Path(os.environ["FACTORY_HOME"])
defs = ToyFactory(home, {swapped}).definitions
"""


def toy_project(folder: Path, swapped: str = "") -> Path:
    """Write the project and return its folder; `swapped` are further arguments of `ToyFactory`, as Python."""
    (folder / "lines").mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(DEFINITIONS.format(swapped=swapped))
    return folder

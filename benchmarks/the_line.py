"""The shipped line and its source, read from its file without an orchestrator's run."""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from assets.line_file import LineFile  # noqa: E402  found through the line above
from assets.production_line import ProductionLine  # noqa: E402
from factory.line import Line  # noqa: E402
from factory.sources import Source  # noqa: E402


def departure_delay() -> tuple[Line, Source]:
    """Return the line as its file says, and its source, opened."""
    file = LineFile(ROOT / "lines" / "departure_delay" / "defs.yaml")
    section = yaml.safe_load(file.path.read_text(encoding="utf-8"))["attributes"]
    component = ProductionLine.resolve_from_dict(section)
    source: Source = file.imported(component.source.use, "source", "use")(**component.source.arguments)
    return component.line(file), source

"""A shipped line and its source, read from its file without an orchestrator's run."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.connectors.source import Source  # noqa: E402
from factory.line.file import LineFile  # noqa: E402  found through the line above
from factory.line.line import Line  # noqa: E402
from factory.orchestration.line_source import LineSource  # noqa: E402


def shipped(name: str, data_folder: Path | None = None) -> tuple[Line, Source]:
    """Return the line as its file says, and its source; `data_folder` is where its data is, if not where it says."""
    file = LineFile(ROOT / "lines" / name / "defs.yaml")
    said = file.sections()
    line = file.line(said)
    source = LineSource(line, file, said.source)
    if data_folder:
        source.bind(data_folder)
    return line, source


def departure_delay() -> tuple[Line, Source]:
    """Return the first line."""
    return shipped("departure_delay")
